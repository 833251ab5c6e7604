"""What a program reads: the documents of `--json`, values in, JSON's own types out. Keys are camelCase.

Each has a JSON schema of its name in docs/schemas/. A key that goes, or means something else, makes another
`schemaVersion`; one that comes does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab.checks import Finding, Kind, LeftOut, failed, left_out
from lab.observe.model import Silent
from lab.pods import RunningPod
from lab.render.shapes import ShownImage, ShownLab, ShownLine, ShownNode, ShownStep
from lab.spec import LabSpec

if TYPE_CHECKING:
    from lab.bundle.model import Entry, Evidence

__all__ = [
    "SCHEMA_VERSION",
    "Document",
    "built",
    "bundle",
    "check",
    "created",
    "images",
    "labs",
    "loaded",
    "plan",
    "pod_state",
    "pods",
    "removed",
    "status",
    "tutorial",
    "up",
    "validated",
    "versioned",
]

Document = Mapping[str, Any]

SCHEMA_VERSION = 1


def versioned(members: Document) -> Document:
    """A document with these members."""
    return {"schemaVersion": SCHEMA_VERSION, **members}


def check(
    findings: Sequence[Finding], left_out: Iterable[LeftOut] = (), *, failures: bool = False
) -> Document:
    """`lab check`: all of the findings, or those that do not hold."""
    return versioned(_check(findings, left_out, failures=failures))


def up(spec: LabSpec, made: bool, findings: Sequence[Finding]) -> Document:
    """`lab up`: whether it has made the lab, and what it has found."""
    return versioned({"lab": spec.name, "made": made, **_check(findings, left_out(spec))})


def _counts(findings: Sequence[Finding]) -> Document:
    counts = {kind: sum(item.kind is kind for item in findings) for kind in Kind}
    return {"passed": counts[Kind.PASS], "failed": counts[Kind.FAIL], "unknown": counts[Kind.UNKNOWN]}


def _check(findings: Sequence[Finding], left_out: Iterable[LeftOut], *, failures: bool = False) -> Document:
    return {
        **_counts(findings),
        "findings": [_finding(item) for item in (failed(findings) if failures else findings)],
        "leftOut": [{"node": item.node, "why": item.why} for item in left_out],
    }


def _finding(item: Finding) -> Document:
    return {
        "id": item.id,
        "title": item.title,
        "kind": item.kind.value,
        "subject": item.subject.data,
        "expected": item.expected.data,
        "seen": item.seen.data,
        "expectedText": item.expected.text,
        "seenText": item.seen.text,
    }


def plan(steps: Iterable[tuple[str, Iterable[str], str]]) -> Document:
    """`lab up --dry-run`: each step's name, those that it comes after, and what it does."""
    return versioned(
        {"steps": [{"step": name, "needs": sorted(needs), "does": does} for name, needs, does in steps]}
    )


def validated(problems: Mapping[str, Sequence[str]]) -> Document:
    """`lab validate`: by file, what is wrong with it."""
    return versioned(
        {"files": [{"file": file, "valid": not lines, "problems": lines} for file, lines in problems.items()]}
    )


def removed(what: Iterable[str]) -> Document:
    """`lab down`, `gc`, `pod rm` and `images rm`."""
    return versioned({"removed": list(what)})


def labs(found: Iterable[ShownLab]) -> Document:
    """`lab ls`."""
    return versioned(
        {
            "labs": [
                {
                    "name": lab.name,
                    "state": lab.state,
                    "underlay": lab.underlay or None,
                    "nodes": lab.nodes,
                    "madeBy": lab.made_by or None,
                }
                for lab in found
            ]
        }
    )


def status(lab: str, complete: bool, nodes: Iterable[ShownNode], running: Iterable[RunningPod]) -> Document:
    """`lab status`."""
    return versioned(
        {
            "lab": lab,
            "complete": complete,
            "nodes": [_node(node) for node in nodes],
            "pods": [_pod(pod) for pod in running],
        }
    )


def _node(node: ShownNode) -> Document:
    return {
        "name": node.name,
        "role": node.role,
        "address": node.address,
        "state": node.state,
        "engine": node.engine or None,
        "ok": node.ok,
        "services": [
            {
                "unit": service.unit,
                "state": service.state,
                "detail": service.detail,
                "since": _time(service.since),
                "restarts": service.restarts,
            }
            for service in node.services
        ],
        "subnet": node.subnet or None,
        "subnet6": node.subnet6 or None,
        "flanneld": node.flanneld or None,
        "silences": [
            {"question": silent.question or None, "reason": silent.reason, "since": _time(silent.since)}
            for silent in node.silences
        ],
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def pods(running: Iterable[RunningPod]) -> Document:
    """`lab pod ls`."""
    return versioned({"pods": [_pod(pod) for pod in running]})


def pod_state(pod: RunningPod) -> Document:
    """Where a pod is, and how it does."""
    return {
        "name": pod.name,
        "node": pod.node,
        "address": str(pod.address) if pod.address is not None else None,
        "address6": str(pod.address6) if pod.address6 is not None else None,
        "status": pod.status,
        "ready": pod.ready,
        "restarts": pod.restarts,
    }


def _pod(pod: RunningPod) -> Document:
    """Its specification as Kubernetes writes it, but for what its variables hold."""
    return {
        **pod_state(pod),
        "created": _time(pod.created),
        "containers": list(pod.containers),
        "infraPid": pod.infra_pid or None,
        "spec": pod.spec.without_values().to_document(),
    }


def created(placed: Mapping[str, str]) -> Document:
    """`lab pod create`: the node of each pod."""
    return versioned({"created": [{"pod": pod, "node": node} for pod, node in placed.items()]})


def tutorial(results: Iterable[ShownStep]) -> Document:
    """`lab tutorial`."""
    return versioned({"steps": [_step(result) for result in results]})


def _step(result: ShownStep) -> Document:
    return {
        "section": result.section,
        "node": result.node or None,
        "document": result.document,
        "command": result.command,
        "output": result.output,
        "ok": result.ok,
        "agreement": result.agreement.value,
        "commandAgreement": result.command_agreement.value,
        "commandWhy": result.command_why.en or None,
        "shown": [_shown(item) for item in result.shown],
        "why": result.why.en or None,
    }


def _shown(item: ShownLine) -> Document:
    return {
        "what": item.what.en,
        "document": item.document,
        "expected": item.expected,
        "seen": item.seen,
        "ok": item.ok,
        "agreement": item.agreement.value,
        "why": item.why.en or None,
    }


def images(found: Iterable[ShownImage]) -> Document:
    """`lab images ls`: the sizes are bytes."""
    return versioned(
        {
            "images": [
                {
                    "name": item.name,
                    "kind": item.kind,
                    "size": item.size or None,
                    "state": item.state,
                    "engine": item.engine or None,
                }
                for item in found
            ]
        }
    )


def built(node: str, mysql: str, seed: str) -> Document:
    """`lab images build`: the names of what a lab is made from."""
    return versioned({"node": node, "mysql": mysql, "seed": seed})


def loaded(names: Iterable[str]) -> Document:
    """`lab images load`."""
    return versioned({"loaded": list(names)})


def bundle(evidence: "Evidence", entries: "Iterable[Entry]", file: str | None = None) -> Document:
    """`lab bundle`, and the list in the bundle itself: `file` is where it is; sizes are bytes."""
    return versioned(
        {
            "file": file,
            "lab": evidence.spec.name,
            "at": _time(evidence.at),
            "why": evidence.why,
            "checks": None if evidence.findings is None else _counts(evidence.findings),
            "nodes": [
                {
                    "name": machine.name,
                    "address": machine.address or None,
                    "state": machine.state,
                    "silence": machine.answers.reason if isinstance(machine.answers, Silent) else None,
                }
                for machine in evidence.machines
            ],
            "files": [
                {
                    "path": entry.path,
                    "node": entry.node or None,
                    "command": entry.command or None,
                    "exitStatus": entry.status,
                    "size": len(entry.data),
                }
                for entry in entries
            ],
        }
    )
