"""What a run has found, as text and as a document."""

from collections.abc import Mapping, Sequence

from lab.bench.report import camel, members, short
from lab.render.documents import versioned
from lab.render.text import table
from lab.scale.figures import MB, Judged, Measured, Moment, Phase, Results, judge
from lab.scale.plan import Settings

__all__ = ["document", "text"]

BYTES = ("pss", "rss")
TITLES = {
    "pss": "memory, PSS (MB)",
    "rss": "memory, RSS (MB)",
    "sockets": "sockets",
    "descriptors": "descriptors",
    "threads": "threads",
}


def text(results: Results, width: int | None) -> str:
    """For a person; `width` is that of the terminal, None without one."""
    settings = results.settings
    facts = [
        f"{results.program.title}, {settings.backend}, etcd of {settings.members}",
        *(f"{name}: {value}" for name, value in results.machine.items()),
        *(f"all of it under the fault: {fault}" for fault in settings.in_force),
    ]
    parts = [
        "; ".join(facts),
        _seconds(results, width),
        _work(results, width),
        _sizes(results, width),
        _targets(judge(results), width),
        "\n".join(
            f"FAILED with {item.nodes} nodes: {item.failure}" for item in results.measured if item.failure
        ),
        "\n".join(
            f"With {item.nodes} nodes the kernel's table of neighbours was full {item.refused} times: other "
            "containers and labs on this machine fill it, too (net.ipv4.neigh.default.gc_thresh3)."
            for item in results.measured
            if item.refused
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _seconds(results: Results, width: int | None) -> str:
    phases = [phase for found in results.measured for phase in found.phases]
    timed = sorted((phase for phase in phases if phase.moment is not Moment.IDLE), key=_place)
    titles = list(dict.fromkeys(phase.title for phase in timed))
    rows = [
        [str(found.nodes), *(seconds.get(title, "-") for title in titles)]
        for found in results.measured
        for seconds in [{phase.title: f"{phase.seconds:.2f}" for phase in found.phases}]
    ]
    return table(["NODES", *(f"{title} (s)" for title in titles)], rows, width) if titles else ""


def _place(phase: Phase) -> int:
    return list(Moment).index(phase.moment)


def _work(results: Results, width: int | None) -> str:
    rows = [
        [
            str(found.nodes),
            phase.title,
            f"{phase.cpu:.3f}",
            f"{phase.etcd_cpu:.2f}",
            f"{phase.sent / MB:.2f}",
            f"{phase.requests:.0f}",
            ", ".join(f"{name}: {value:.4g}" for name, value in phase.parts.items()),
        ]
        for found in results.measured
        for phase in found.phases
    ]
    header = [
        "NODES",
        "PHASE",
        "CPU of a node (s)",
        "CPU of etcd (s)",
        "etcd sent (MB)",
        "etcd's requests",
        "",
    ]
    return table(header, rows, width) if rows else ""


def _sizes(results: Results, width: int | None) -> str:
    rows = [
        [
            str(found.nodes),
            TITLES[name],
            _size(name, seen.median),
            _size(name, seen.low),
            _size(name, seen.high),
        ]
        for found in results.measured
        for name, seen in found.sizes
    ]
    return table(["NODES", "A NODE HAS", "median", "least", "greatest"], rows, width) if rows else ""


def _size(name: str, value: float) -> str:
    return f"{value / MB:.1f}" if name in BYTES else f"{value:.0f}"


def _targets(judged: Sequence[Judged], width: int | None) -> str:
    rows = [
        [
            f"{item.what}, {item.nodes} nodes",
            f"{item.seen:.3g} {item.unit}",
            f"at most {item.limit:g} {item.unit}",
            "met" if item.met else "MISSED",
        ]
        for item in judged
    ]
    return table(["TARGET", "SEEN", "", ""], rows, width) if rows else ""


def document(results: Results) -> Mapping[str, object]:
    """The same as one JSON document (docs/schemas/scale.json)."""
    settings = results.settings
    return versioned(
        {
            "machine": {camel(name): value for name, value in results.machine.items()},
            "program": results.program.title,
            "forked": results.program.forks,
            "backend": settings.backend,
            "members": settings.members,
            "churn": settings.churn or None,
            "faults": [
                {"fault": item.text, "when": item.manner.value, "seconds": item.seconds}
                for item in settings.faults
            ],
            "runs": [_run(found, settings) for found in results.measured],
            "targets": [
                {
                    "nodes": item.nodes,
                    "what": item.what,
                    "unit": item.unit,
                    "atMost": item.limit,
                    "seen": short(item.seen),
                    "met": item.met,
                }
                for item in judge(results)
            ],
        }
    )


def _run(found: Measured, settings: Settings) -> Mapping[str, object]:
    return {
        "nodes": found.nodes,
        "phases": [
            {
                "phase": phase.moment.name.lower(),
                "title": phase.title,
                "faults": [*settings.in_force, *([phase.fault] if phase.fault else [])],
                "seconds": short(phase.seconds),
                "cpuOfANode": short(phase.cpu),
                "cpuOfEtcd": short(phase.etcd_cpu),
                "etcdSentBytes": round(phase.sent),
                "etcdRequests": round(phase.requests),
                "parts": {camel(name): short(value) for name, value in phase.parts.items()},
            }
            for phase in found.phases
        ],
        "node": {name: members(seen) for name, seen in found.sizes},
        "etcd": [
            {"pss": round(item.pss), "rss": round(item.rss), "sockets": item.sockets, "threads": item.threads}
            for item in found.etcd
        ],
        "neighboursRefused": found.refused,
        "failure": found.failure or None,
    }
