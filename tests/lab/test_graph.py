"""A lab's topology: everything is in it, in each format, and no two boxes overlap."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from lab import spec
from lab.cli.graph import graph as verb
from lab.graph.describe import TO_COME, described
from lab.graph.layout import Box, laid_out, text_width
from lab.graph.model import Graph, Machine, Network, Pod, Port
from lab.graph.svg import DARK, LIGHT, svg
from lab.graph.text import dot, mermaid
from lab.node.services import Service
from lab.observe import Lease
from tests.lab.examples import FOLDER, SPEC, UNDERLAY, changed, observation

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
DRAWN = [
    path for path in EXAMPLES if path.name != "mixed-versions.yaml"
]  # which names a program to be brought
SVG = "{http://www.w3.org/2000/svg}"

LONGEST = "2001:db8:1234:5678:9abc:def0:1234:5678"
MANY = Graph(
    "lab many",
    ("overlay 10.2.0.0/16",),
    tuple(Network(f"n{number}", (f"192.168.{number}.0/24",), ("MTU 1400",) * number) for number in range(6)),
    tuple(
        Machine(
            f"machine-with-a-long-name-{number}",
            tuple(Port(f"eth{at}", f"n{at}", (f"192.168.{at}.{number}/24",)) for at in range(number % 6 + 1)),
            ("etcd",) * (number % 2),
            ("docker0 10.2.3.1/24",) * number,
            tuple(
                Pod(f"pod-{each}", ("10.2.3.4", "2001:db8:1234:5678:9abc:def0:1234:5678"))
                for each in range(number)
            ),
            router=number == 3,
        )
        for number in range(9)
    ),
)

ON_ENGINES = """
name: spread
engines: [{name: home}, {name: an-engine-with-quite-a-long-name, host: 'ssh://far'}, {name: third, host: 'ssh://3'}]
segments: {rack1: {}, rack2: {}}
nodes:
- {name: m, role: master, host: 51, engine: home}
- {name: r, services: [], host: 254, alsoOn: [{segment: rack2, host: 254}], router: true, engine: third}
- {name: a, services: [], host: 52, segment: rack2, engine: an-engine-with-quite-a-long-name}
- {name: b, role: minion, host: 53, engine: third}
- {name: c, role: minion, host: 54, segment: rack2, engine: home}
"""


def on_engines() -> Graph:
    """Those of one engine are on several networks, and the other way round."""
    return described(spec.load(ON_ENGINES.replace("254", "200"), "f"))


def every_graph() -> Iterator[Graph]:
    yield MANY
    yield on_engines()
    yield described(SPEC, observation())
    for path in DRAWN:
        yield described(spec.load_file(path, default_name="x"))


GRAPHS = list(every_graph())


def names(found: Graph) -> str:
    return found.title


def words(found: Graph) -> Iterator[str]:
    """All that has to be told."""
    yield from (found.title, *found.notes)
    for network in found.networks:
        yield from network.lines
    yield from (f"engine {name}" for name in found.engines if name)
    for machine in found.machines:
        yield from (machine.name, *machine.lines)
        for port in machine.ports:
            yield from port.lines
        for pod in machine.pods:
            yield from pod.lines


@pytest.mark.parametrize("found", GRAPHS, ids=names)
def test_every_name_and_address_is_in_each_format(found):
    text = "".join(ET.fromstring(svg(found)).itertext())  # noqa: S314 - our own
    for form in (text, mermaid(found), dot(found)):
        assert [word for word in words(found) if word not in form] == []


@pytest.mark.parametrize("found", GRAPHS, ids=names)
def test_no_two_boxes_overlap_and_all_is_in_the_picture(found):
    layout = laid_out(found)
    boxes = [layout.title, *(box for machine in layout.machines for box in machine.boxes)]
    for network in layout.networks:
        boxes += [network.words, network.bar]
    assert [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])] == []
    assert all(box.x >= 0 and box.y >= 0 for box in boxes)
    assert all(box.right <= layout.width and box.bottom <= layout.height for box in boxes)
    for machine in layout.machines:
        parts = [machine.words, *(box for _, box, _ in machine.ports)]
        assert [pair for pair in combinations(parts, 2) if pair[0].overlaps(pair[1])] == []
        assert all(inside(part, machine.box) for part in parts)


def inside(part: Box, box: Box) -> bool:
    across = box.x <= part.x and part.right <= box.right + 0.01
    return across and box.y <= part.y and part.bottom <= box.bottom


@pytest.mark.parametrize("found", GRAPHS, ids=names)
def test_every_text_has_room_in_its_box_and_stands_on_no_other(found):
    root = ET.fromstring(svg(found))  # noqa: S314 - our own
    texts = [
        Box(float(it.attrib["x"]), float(it.attrib["y"]) - 11, text_width([it.text or ""], size(it)), 13)
        for it in root.iter(f"{SVG}text")
    ]
    assert [pair for pair in combinations(texts, 2) if pair[0].overlaps(pair[1])] == []
    layout = laid_out(found)
    assert all(box.right <= layout.width for box in texts)
    lines = [line for machine in layout.machines for _, _, line in machine.ports]
    crossed = [
        box for box in texts for line in lines if box.overlaps(Box(line.x - 1, line.y, 2, line.to_y - line.y))
    ]
    assert crossed == []


def size(text: ET.Element) -> int:
    return 14 if "head" in text.get("class", "").split() else 12


@pytest.mark.parametrize("found", GRAPHS, ids=names)
def test_every_port_hangs_on_its_network_and_every_pod_on_its_machine(found):
    layout = laid_out(found)
    bars = {placed.network.name: placed.bar for placed in layout.networks}
    for machine in layout.machines:
        assert len(machine.ports) == len(machine.machine.ports)
        for port, box, line in machine.ports:
            bar = bars[port.network]
            assert bar.y < line.y < bar.bottom
            assert bar.x < line.x < bar.right
            assert (line.to_x, line.to_y) == (box.middle, box.y)
        for _, box in machine.pods:
            ends = [(leg.to_x, leg.to_y) for leg in machine.legs]
            assert any(box.x <= x <= box.right and box.y <= y <= box.bottom for x, y in ends)
        assert all(machine.box.x <= leg.x <= machine.box.right for leg in machine.legs)


@pytest.mark.parametrize("found", GRAPHS, ids=names)
def test_a_frame_is_around_the_machines_of_its_engine_and_no_others(found):
    layout = laid_out(found)
    assert [engine.title for engine in layout.engines] == [f"engine {name}" for name in found.engines if name]
    assert [
        pair for pair in combinations([it.box for it in layout.engines], 2) if pair[0].overlaps(pair[1])
    ] == []
    for engine in layout.engines:
        assert inside(engine.words, engine.box)
        assert engine.box.right <= layout.width
        assert engine.box.bottom <= layout.height
        for machine in layout.machines:
            its = f"engine {machine.machine.engine}" == engine.title
            for box in machine.boxes:
                assert inside(box, engine.box) if its else not box.overlaps(engine.box)
                assert not box.overlaps(engine.words)


def test_the_texts_group_machines_by_engine():
    found = on_engines()
    assert [machine.name for machine in found.machines] == ["m", "c", "a", "b", "r"]
    text = mermaid(found)
    third = text.partition('    subgraph e2["engine third"]\n')[2].partition("    end\n")[0]
    assert third.splitlines() == [
        '        m3["b<br>flanneld, docker"]:::machine',
        '        p3_0("pod mysql01"):::pod',
        '        m4["r<br>router"]:::machine',
    ]
    cluster = dot(found).partition('subgraph "cluster home" {\n')[2].partition("\n    }")[0]
    assert '"m" [label="m\\netcd"' in cluster
    assert '"c" [label="c\\nflanneld, docker"' in cluster
    assert '"a"' not in cluster
    assert "subgraph" not in mermaid(described(SPEC)) + dot(described(SPEC))


def test_a_picture_needs_nothing_else_and_knows_dark_and_light():
    text = svg(described(SPEC, observation()))
    assert re.findall(r"(?:href|src|url)\b", text) == []
    assert text.count("http") == 1  # the namespace
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    for colour, other in zip(LIGHT.values(), DARK.values(), strict=True):
        assert colour in light
        assert other in dark
    assert "<script" not in text


def test_links_are_in_the_texts():
    found = described(spec.load_file(DRAWN[-1].parent / "two-racks.yaml", default_name="x"))
    numbers = {machine.name: number for number, machine in enumerate(found.machines)}
    text = mermaid(found)
    assert f'n0 ---|"eth0<br>.254"| m{numbers["router"]}\n' in text
    assert f'n1 ---|"eth1<br>.254"| m{numbers["router"]}\n' in text
    assert f'n1 ---|"eth0<br>.22"| m{numbers["minion22"]}\n' in text
    assert text.count("---|") == 7
    assert '"net rack2" -- "minion22" [label="eth0\\n.22"];' in dot(found)


def test_a_lab_file_says_what_it_knows_and_no_address_that_is_yet_to_come():
    found = described(spec.load("{name: other}", "f", default_name="x"))
    assert found.networks[0].subnets == (TO_COME,)
    assert {port.addresses for machine in found.machines for port in machine.ports} == {
        (".51",), (".52",), (".53",),
    }  # fmt: skip
    own = described(spec.tutorial())
    assert own.networks[0].subnets == (str(UNDERLAY),)
    assert own.machines[0].ports[0].addresses == ("192.168.199.51/24",)
    assert [pod.name for machine in own.machines for pod in machine.pods] == ["mysql02", "mysql01"]
    router = described(spec.load_file(DRAWN[0].parent / "behind-nat.yaml", default_name="x"))
    (nat,) = [machine for machine in router.machines if machine.router]
    assert nat.lines == ("router", "hides home (NAT)", "udp 8472 leads to minion2")


def test_of_a_lab_that_is_up_there_are_subnets_pods_addresses_and_what_is_wrong():
    found = described(SPEC, observation())
    one = next(machine for machine in found.machines if machine.name == "centos-minion01")
    assert one.lines == ("flanneld, docker", "docker0 10.2.35.1/24")
    assert [pod.addresses for pod in one.pods] == [("10.2.35.2",)]
    assert one.well
    services = (Service("flanneld.service", "failed"), Service("docker.service", "active"))
    seen = changed(observation(), "centos-minion01", services=services)
    found = described(SPEC, changed(seen, "centos-minion02", state="paused"))
    told = {machine.name: machine for machine in found.machines}
    assert told["centos-minion01"].lines[-1] == "flanneld is failed"
    assert told["centos-minion02"].lines[-1] == "paused"
    assert not told["centos-minion01"].well
    assert 'class="machine ill"' in svg(found)


def test_a_lease_that_no_machine_uses_is_told():
    seen = observation()
    stolen = Lease(f"{FOLDER}/10.2.9.0-24", IPv4Network("10.2.9.0/24"), '{"PublicIP": "192.0.2.1"}', 9)
    leases = (*(seen.leases or ()), stolen)
    notes = described(SPEC, changed(seen, "centos-master", leases=leases)).notes
    assert notes[1:] == ("lease 10.2.9.0/24 of 192.0.2.1: no machine here uses it",)


def test_the_verb_writes_what_the_files_name_asks_for(tmp_path):
    run = CliRunner().invoke
    for name, begins in (("a.svg", "<svg"), ("a.mmd", "---\ntitle"), ("a.gv", "graph lab {")):
        done = run(verb, ["-f", str(DRAWN[0]), "-o", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert (tmp_path / name).read_text().startswith(begins)
    done = run(verb, ["-f", str(DRAWN[0]), "--format", "dot", "-o", str(tmp_path / "a.svg")])
    assert (tmp_path / "a.svg").read_text().startswith("graph")
    done = run(verb, ["-f", str(DRAWN[0])])
    assert done.output.startswith("<svg")
    done = run(verb, ["-f", str(DRAWN[0]), "-o", str(tmp_path)])
    assert "it cannot be written: Is a directory" in str(done.exception)
