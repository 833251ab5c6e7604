"""A lab's topology as text for programs that draw: Mermaid, and Graphviz's dot. Pure."""

from collections.abc import Iterable, Iterator

from lab.graph.model import Graph, Machine, Pod

__all__ = ["dot", "mermaid"]


def mermaid(graph: Graph) -> str:
    """A flow chart, as GitHub shows it in a block of code of that language."""
    lines = ["---", f'title: "{"; ".join((graph.title, *graph.notes))}"', "---", "flowchart TB"]
    lines += [
        f'    n{number}(["{_br(network.lines)}"]):::network' for number, network in enumerate(graph.networks)
    ]
    numbers = {network.name: number for number, network in enumerate(graph.networks)}
    for place, (engine, machines) in enumerate(graph.engines.items()):
        inside = [line for machine in machines for line in _boxes(graph.machines.index(machine), machine)]
        if engine:
            inside = [f'subgraph e{place}["engine {engine}"]', *(f"    {line}" for line in inside), "end"]
        lines += [f"    {line}" for line in inside]
    for number, machine in enumerate(graph.machines):
        for port in machine.ports:
            lines.append(f'    n{numbers[port.network]} ---|"{_br(port.lines)}"| m{number}')
        lines += [f"    m{number} --- p{number}_{place}" for place, _ in enumerate(machine.pods)]
    lines += [
        "    classDef network fill:#ddf4ff,stroke:#0969da,color:#0a3069",
        "    classDef machine fill:#f6f8fa,stroke:#57606a,color:#1f2328",
        "    classDef wrong fill:#ffebe9,stroke:#cf222e,color:#82071e",
        "    classDef pod fill:#dafbe1,stroke:#1a7f37,color:#116329",
    ]
    return "\n".join(lines) + "\n"


def _boxes(number: int, machine: Machine) -> Iterator[str]:
    """A machine's and its pods'."""
    kind = "machine" if machine.well else "wrong"
    yield f'm{number}["{_br((machine.name, *machine.lines))}"]:::{kind}'
    for place, pod in enumerate(machine.pods):
        yield f'p{number}_{place}("{_br(pod.lines)}"):::pod'


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
    for engine, machines in graph.engines.items():
        inside = [line for machine in machines for line in _dot_boxes(machine)]
        if engine:
            # Graphviz draws a frame around a subgraph whose name begins so.
            frame = f'label="engine {engine}", labelloc=b, style=dashed, color="#8c959f", fontname=monospace'
            begin = [f'subgraph "cluster {engine}" {{', f"    graph [{frame}];"]
            inside = [*begin, *(f"    {line}" for line in inside), "}"]
        lines += [f"    {line}" for line in inside]
    lines += [f"    {line}" for machine in graph.machines for line in _dot_edges(machine)]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_boxes(machine: Machine) -> Iterator[str]:
    colour = '"#57606a", fillcolor="#f6f8fa"' if machine.well else '"#cf222e", fillcolor="#ffebe9"'
    yield f'"{machine.name}" [label="{_newlines((machine.name, *machine.lines))}", color={colour}];'
    for pod in machine.pods:
        look = 'color="#1a7f37", fillcolor="#dafbe1"'
        yield f'{_dot_pod(machine, pod)} [label="{_newlines(pod.lines)}", {look}];'


def _dot_edges(machine: Machine) -> Iterator[str]:
    for port in machine.ports:
        yield f'"net {port.network}" -- "{machine.name}" [label="{_newlines(port.lines)}"];'
    for pod in machine.pods:
        yield f'"{machine.name}" -- {_dot_pod(machine, pod)};'


def _dot_pod(machine: Machine, pod: Pod) -> str:
    return f'"pod {pod.name} on {machine.name}"'


def _newlines(lines: Iterable[str]) -> str:
    return r"\n".join(lines)
