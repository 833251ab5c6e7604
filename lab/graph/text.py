"""A lab's topology as text for programs that draw: Mermaid, and Graphviz's dot. Pure."""

from collections.abc import Iterable, Iterator

from lab.graph.model import Graph, Machine

__all__ = ["dot", "mermaid"]


def mermaid(graph: Graph) -> str:
    """A flow chart, as GitHub shows it in a block of code of that language."""
    lines = ["---", f'title: "{"; ".join((graph.title, *graph.notes))}"', "---", "flowchart TB"]
    lines += [
        f'    n{number}(["{_br(network.lines)}"]):::network' for number, network in enumerate(graph.networks)
    ]
    numbers = {network.name: number for number, network in enumerate(graph.networks)}
    for number, machine in enumerate(graph.machines):
        kind = "machine" if machine.well else "wrong"
        lines.append(f'    m{number}["{_br((machine.name, *machine.lines))}"]:::{kind}')
        for port in machine.ports:
            lines.append(f'    n{numbers[port.network]} ---|"{_br(port.lines)}"| m{number}')
        for place, pod in enumerate(machine.pods):
            lines.append(f'    p{number}_{place}("{_br(pod.lines)}"):::pod')
            lines.append(f"    m{number} --- p{number}_{place}")
    lines += [
        "    classDef network fill:#ddf4ff,stroke:#0969da,color:#0a3069",
        "    classDef machine fill:#f6f8fa,stroke:#57606a,color:#1f2328",
        "    classDef wrong fill:#ffebe9,stroke:#cf222e,color:#82071e",
        "    classDef pod fill:#dafbe1,stroke:#1a7f37,color:#116329",
    ]
    return "\n".join(lines) + "\n"


def _br(lines: Iterable[str]) -> str:
    return "<br>".join(lines)


def dot(graph: Graph) -> str:
    """For `dot -Tsvg`."""
    head = r"\l".join((graph.title, *graph.notes, ""))
    lines = [
        "graph lab {",
        f'    graph [label="{head}", labelloc=t, labeljust=l, fontname=monospace, ranksep=0.9];',
        "    node [fontname=monospace, fontsize=11, style=filled, shape=box];",
        "    edge [fontname=monospace, fontsize=10];",
    ]
    lines += [
        f'    "net {network.name}" [label="{_newlines(network.lines)}", '
        'style="filled,rounded", color="#0969da", fillcolor="#ddf4ff"];'
        for network in graph.networks
    ]
    for machine in graph.machines:
        lines += _dot_machine(machine)
    return "\n".join([*lines, "}"]) + "\n"


def _dot_machine(machine: Machine) -> Iterator[str]:
    colour = '"#57606a", fillcolor="#f6f8fa"' if machine.well else '"#cf222e", fillcolor="#ffebe9"'
    yield f'    "{machine.name}" [label="{_newlines((machine.name, *machine.lines))}", color={colour}];'
    for port in machine.ports:
        yield f'    "net {port.network}" -- "{machine.name}" [label="{_newlines(port.lines)}"];'
    for pod in machine.pods:
        own = f'"pod {pod.name} on {machine.name}"'
        yield f'    {own} [label="{_newlines(pod.lines)}", color="#1a7f37", fillcolor="#dafbe1"];'
        yield f'    "{machine.name}" -- {own};'


def _newlines(lines: Iterable[str]) -> str:
    return r"\n".join(lines)
