"""Pods, and the checks that nothing else here explains."""

from collections import defaultdict
from collections.abc import Iterator

from lab.checks.catalog.store import TTL
from lab.checks.finding import Finding
from lab.doctor.case import Case, texts
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.registry import diagnosis
from lab.pods import RunningPod

EXPLAINED = {
    "node.answers", "service.active", "config.value", "leases.key", "leases.value", "leases.owner",
    "leases.subnets", "underlay.address", "underlay.mtu", "overlay.address", "overlay.mtu", "overlay.state",
    "docker0.address", "docker0.mtu", "subnet-env.text", "routes.overlay", "overlay.neighbours",
    "overlay.fdb", "pod.running", "pod.mtu",
}  # fmt: skip
"""Checks that other diagnoses stand on, or see the cause of."""

OFTEN = 3
"""Restarts of a pod's containers."""

STARTING = 10.0
"""Seconds that a Docker that was started takes to run its pods again."""


@diagnosis(
    "pod.down",
    Layer.POD,
    finds="A pod that does not run, is not ready, or is not where it is to be (worth knowing while its "
    "machine's Docker has just been started)",
)
def down(case: Case) -> Iterator[Found]:
    """As the check compares it."""
    for finding in case.failing("pod.running"):
        (name,) = finding.subject.names
        pod = case.seen.pod(name)
        restarts = (f"restarted {pod.restarts} times",) if pod is not None and pod.restarts else ()
        fix = (case.lab("pod", "logs", name), case.lab("status"))
        young = _young(case, pod) if pod is not None else None
        docker = (f"docker on {pod.node} was started {young:.0f} s ago",) if pod and young is not None else ()
        evidence = (*texts(finding), *restarts, *docker)
        severity = Severity.MEND if young is None else Severity.NOTE
        yield Found(name, "the pod does not run as it should", evidence, fix, severity)


def _young(case: Case, pod: RunningPod) -> float | None:
    """Seconds since the Docker of a pod's machine was started, where that is why the pod does not run yet."""
    look = case.look(pod.node)
    unit = look.units.get("docker") if look is not None else None
    up = unit.up if unit is not None else None
    return up if up is not None and up < STARTING and pod.restarts < OFTEN else None


@diagnosis(
    "pod.crashes",
    Layer.POD,
    severity=Severity.NOTE,
    finds="A pod that Docker has restarted three times or more",
)
def crashes(case: Case) -> Iterator[Found]:
    """Its containers end by themselves."""
    for pod in case.seen.pods:
        if pod.restarts >= OFTEN:
            evidence = (
                f"{pod.name} on {pod.node}: {pod.status}, ready {pod.ready}, restarted {pod.restarts} times",
            )
            fix = (case.lab("pod", "logs", pod.name),)
            severity = Severity.NOTE if pod.status == "Running" else Severity.MEND
            yield Found(pod.name, "the pod ends again and again", evidence, fix, severity)


def _is_news(case: Case, finding: Finding) -> bool:
    """Whether no diagnosis has named the cause: a device that is missing, a lease without an end."""
    if finding.id == "leases.ttl":
        left = finding.seen.data
        return isinstance(left, tuple) and any(isinstance(it, int) and it > TTL for it in left)
    if finding.id == "pod.address" and finding.seen.data is None:
        return False  # the pod has ended
    look = case.look(finding.subject.names[0])
    gone = finding.id == "overlay.queue" and look is not None and look.devices is not None
    return not (gone and look is not None and look.device(finding.subject.part) is None)


@diagnosis(
    "check.fails", Layer.CHECK, finds="Checks of `lab check` that do not hold and that nothing above explains"
)
def checks(case: Case) -> Iterator[Found]:
    """Of what was asked: pings and logins are not."""
    by: dict[str, list[Finding]] = defaultdict(list)
    for finding in case.failing(*{item.id for item in case.findings} - EXPLAINED):
        if _is_news(case, finding):
            by[str(finding.subject)].append(finding)
    for subject, findings in by.items():
        evidence = tuple(f"{it.id}: {it.title}: {'; '.join(texts(it))}" for it in findings)
        fix = (case.lab("check", "--failed"),)
        yield Found(subject, f"{len(findings)} of its checks do not hold", evidence, fix)
