from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab import spec
from lab.errors import LabError, Unfit
from lab.spec import CommandCheck, EtcdApi, Flanneld, LabSpec, NodeSpec, ServiceName
from lab.spec.model import Etcd
from lab.spec.node import Attachment, Docker, NodeFile
from lab.spec.segment import Segment
from tests.effort import examples
from tests.lab.labfile import lab_file
from tests.lab.manifests import TUTORIAL_POD, labels, pod_specs


def node(**keys: str) -> str:
    """A lab file with one node."""
    words = "".join(f", {key}: {value}" for key, value in keys.items())
    return f"nodes: [{{name: m, host: 2{words}}}]"


TWO_NODES = "nodes: [{name: m, role: master, host: 2}, {name: w, role: minion, host: 3}]\n"

flannelds = st.builds(Flanneld, options=st.sampled_from([(), ("-v=1",), ("-ip-masq", "-v=1")]))


SEGMENTS = (
    (Segment(),),
    (Segment(subnet=IPv4Network("192.168.77.0/24"), mtu=1400),),
    (Segment(name="one"), Segment(name="two", subnet=IPv4Network("192.168.78.0/24"), mtu=9000)),
    (Segment(ipv6=IPv6Network("fd00:50::/64")),),
)
STORES: tuple[EtcdApi, ...] = ("v2", "v3")

dockers = st.builds(
    Docker,
    bip=st.sampled_from(["from-subnet-env", "none", "10.2.9.1/24"]),
    options=st.sampled_from([(), ("--debug",)]),
)
node_files = st.builds(
    NodeFile,
    path=st.sampled_from(["/etc/one", "/usr/local/bin/two"]),
    mode=st.sampled_from([0o644, 0o755]),
    text=st.sampled_from(["", "a: b\n", "größe"]),
)
commands = st.builds(
    CommandCheck,
    name=st.just(""),
    node=st.just(""),
    run=st.sampled_from([("true",), ("sh", "-c", "exit 3")]),
    status=st.sampled_from([0, 3]),
    output=st.sampled_from([None, "^ok$"]),
    within=st.sampled_from([10.0, 2.5]),
)


@st.composite
def node_specs(draw: st.DrawFn, name: str, host: int, *, etcd: bool, segments: Sequence[Segment]) -> NodeSpec:
    others: tuple[ServiceName, ...] = draw(
        st.sampled_from([(), ("flanneld",), ("docker",), ("flanneld", "docker")])
    )
    # Without programs and sources: those are files.
    return NodeSpec(
        name=name,
        host=host,
        segment=draw(st.sampled_from([segment.name for segment in segments])),
        services=("etcd", *others) if etcd else others,
        flanneld=draw(flannelds) if "flanneld" in others else Flanneld(),
        docker=draw(dockers) if "docker" in others else NOT_THERE[others],
        sysctls=draw(st.sampled_from([{}, {"net.ipv4.conf.all.rp_filter": "1"}])),
        files=tuple(draw(st.lists(node_files, max_size=2, unique_by=lambda file: file.path))),
        units=draw(st.sampled_from([{}, {"mine.service": "[Service]\nExecStart=/bin/true\n"}])),
    )


NOT_THERE: Mapping[tuple[ServiceName, ...], Docker] = {
    (): Docker(bip="none"),
    ("flanneld",): Docker(bip="from-subnet-env"),
}
"""What a lab file comes to that says nothing of Docker on a node which does not run it."""


@st.composite
def specs(draw: st.DrawFn) -> LabSpec:
    names = draw(st.lists(labels, min_size=2, max_size=5, unique=True))
    hosts = draw(st.lists(st.integers(2, 254), min_size=len(names), max_size=len(names), unique=True))
    # One member of etcd, or three; every other service anywhere.
    members = draw(st.sampled_from([1, 3] if len(names) >= 3 else [1]))
    segments = draw(st.sampled_from(SEGMENTS))
    nodes = [
        draw(node_specs(name, host, etcd=index < members, segments=segments))
        for index, (name, host) in enumerate(zip(names, hosts, strict=True))
    ]
    if len(segments) > 1:  # the first node joins them
        other = Attachment(segment=segments[1].name, host=nodes[0].host)
        place = {"segment": segments[0].name, "also_on": (other,), "router": True}
        nodes[0] = nodes[0].model_copy(update=place)
    docker = [node.name for node in nodes if node.runs("docker")]
    api = draw(st.sampled_from(STORES))
    pods = draw(st.lists(pod_specs, max_size=2, unique_by=lambda pod: pod.name))
    return LabSpec(
        name=draw(labels.filter(lambda name: name != "tutorial")),
        segments=segments,
        nodes=tuple(nodes),
        flannel_config=draw(st.sampled_from(['{"Network":"10.2.0.0/16"}', '{ "Network": "10.9.0.0/20" }'])),
        etcd_prefix=draw(st.sampled_from(["/coreos.com/network", "/x"])),
        flanneld_options=tuple(
            draw(st.lists(st.sampled_from(["-iface=eth0", "-ip-masq", "-v=1"]), max_size=2))
        ),
        pods=tuple(pod.model_copy(update={"node": draw(st.sampled_from([None, *docker]))}) for pod in pods),
        checks=tuple(
            item.model_copy(update={"name": f"check {index}", "node": draw(st.sampled_from(names))})
            for index, item in enumerate(draw(st.lists(commands, max_size=2)))
        ),
        privileged=draw(st.booleans()),
        etcd_api=api,
        etcd=draw(st.sampled_from([Etcd(), Etcd(tls=True), *([Etcd(auth=True)] if api == "v3" else [])])),
    )


def load(text: str, **files: str) -> LabSpec:
    def read(path: Path) -> str:
        return files[path.stem]

    return spec.load(text, "labs/demo.yaml", read)


def refused(text: str, **files: str) -> list[str]:
    with pytest.raises(Unfit) as error:
        load(text, **files)
    return error.value.message.splitlines()


def test_the_default_is_the_tutorials_cluster() -> None:
    lab = spec.tutorial()
    assert lab.name == "tutorial"
    assert lab.underlay == IPv4Network("192.168.199.0/24")
    assert {node.name: (node.role, lab.underlay[node.host]) for node in lab.nodes} == {
        "centos-master": ("master", IPv4Address("192.168.199.51")),
        "centos-minion01": ("minion", IPv4Address("192.168.199.52")),
        "centos-minion02": ("minion", IPv4Address("192.168.199.53")),
    }
    assert lab.flannel_config == '{ "Network": "10.2.0.0/16" }'
    assert lab.etcd_prefix == "/coreos.com/network"
    assert lab.flanneld_options == ("-iface=eth0",)
    assert {pod.name: pod.node for pod in lab.pods} == {
        "mysql01": "centos-minion02",
        "mysql02": "centos-minion01",
    }
    assert not lab.privileged


@pytest.mark.parametrize(("pod", "node"), [("01", "centos-minion02"), ("02", "centos-minion01")])
def test_the_tutorials_pod_files_have_a_nodename_line_more_and_nothing_else(pod: str, node: str) -> None:
    file = Path(spec.__file__).parents[1] / "tutorial" / f"mysqlpod{pod}.yaml"
    expected = TUTORIAL_POD.replace("01", pod).replace("spec:\n", f"spec:\n  nodeName: {node}\n")
    assert file.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n", "name:\n", "name: tutorial\n"])
def test_what_a_lab_file_leaves_out_is_the_tutorials(text: str) -> None:
    assert load(text) == spec.tutorial()


def test_a_lab_of_another_name_takes_another_underlay() -> None:
    assert load("name: demo").underlay is None
    assert spec.tutorial().with_name("demo").underlay is None
    assert spec.tutorial().with_name("demo").with_name("tutorial") == spec.tutorial()


def test_in_a_lab_of_other_machines_the_tutorials_pods_run_where_there_is_room() -> None:
    assert [(pod.name, pod.node) for pod in load(TWO_NODES).pods] == [("mysql01", None), ("mysql02", None)]


def test_flannels_configuration_reaches_etcd_as_text_or_from_a_mapping() -> None:
    as_text = load('flannel: {config: \'{ "Network" : "10.9.0.0/16" }\'}')
    assert as_text.flannel_config == '{ "Network" : "10.9.0.0/16" }'
    assert as_text.network == IPv4Network("10.9.0.0/16")
    as_mapping = load("flannel: {config: {Network: 10.9.0.0/16, SubnetLen: 26}}")
    assert as_mapping.flannel_config == '{"Network": "10.9.0.0/16", "SubnetLen": 26}'


def test_pods_come_from_files_beside_the_lab_file_and_from_the_lab_file_itself() -> None:
    inline = TUTORIAL_POD.replace("01", "09").replace("\n", "\n    ")
    lab = load(f"pods:\n  - one.yaml\n  -\n    {inline}", one=TUTORIAL_POD)
    assert [pod.name for pod in lab.pods] == ["mysql01", "mysql09"]


def test_paths_of_pods_are_relative_to_the_lab_file(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("pods: [pods/one.yaml]")
    (tmp_path / "pods").mkdir()
    (tmp_path / "pods" / "one.yaml").write_text(TUTORIAL_POD)
    assert [pod.name for pod in spec.load_file(tmp_path / "lab.yaml").pods] == ["mysql01"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match=r"lab\.yaml: cannot be read: No such file or directory"):
        spec.load_file(tmp_path / "lab.yaml")


@pytest.mark.slow
@examples(10)
@given(specs())
def test_a_lab_written_as_a_lab_file_or_as_a_label_is_read_back_the_same(lab: LabSpec) -> None:
    assert spec.load(lab_file(lab), "f") == lab
    assert LabSpec.from_json(lab.to_json()) == lab


def test_a_label_that_is_no_lab_is_no_defect_of_this_program() -> None:
    with pytest.raises(LabError, match=r"its label lab\.spec cannot be read"):
        LabSpec.from_json('{"name": "old"}')


COMMAND_WORDS = "expected a command: a list of words, or a line for a shell"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nodez: []", "nodez: not supported by the lab; did you mean nodes?"),
        ("flannel: {etcdapi: v2}", "flannel.etcdapi: not supported by the lab; did you mean etcdApi?"),
        (
            TWO_NODES.replace("role", "rolle", 1),
            "nodes[0].rolle: not supported by the lab; did you mean role?",
        ),
        ("nodes: [{name: m, host: 2}]", "nodes[0]: required: role or services"),
        ("nodes: []", "nodes: expected at least one"),
        ("nodes: 3", "nodes: expected a list; got 3"),
        ("privileged: 'yes'", "privileged: expected true or false; got 'yes'"),
        (
            "name: No Name",
            "name: 'No Name' is not a lab name: at most 32 lower-case letters, digits and '-'",
        ),
        (
            "flannel: {prefix: abc}",
            "flannel.prefix: expected an etcd key such as /coreos.com/network; got 'abc'",
        ),
        (
            "flannel: {options: ['-iface eth0']}",
            "flannel.options: expected options without blanks and quotes; got '-iface eth0'",
        ),
        (
            TWO_NODES.replace("minion", "worker"),
            "nodes[1].role: expected 'master' or 'minion'; got 'worker'",
        ),
        (
            TWO_NODES.replace("minion", "master"),
            "nodes: etcd runs on 2 nodes; expected 1, 3 or 5",
        ),
        (TWO_NODES.replace("3", "2"), "nodes: two nodes have the same host: 2"),
        (TWO_NODES.replace("w", "m"), "nodes: two nodes have the same name: m"),
        (TWO_NODES.replace("3", "1"), "nodes[1].host: expected greater than or equal to 2; got 1"),
        (
            "flanneld: {options: ['-a $b']}",
            "flanneld.options: expected options without blanks and quotes; got '-a $b'",
        ),
        (
            TWO_NODES.replace("host: 2", "host: 2, flanneld: {options: []}"),
            "nodes[0].flanneld: this node does not run flanneld",
        ),
        ("flannel: {etcdApi: v4}", "flannel.etcdApi: expected 'v2' or 'v3'; got 'v4'"),
        (
            "flannel: {config: {Network: 192.168.0.0/16}}",
            "flannel.config: the Network 192.168.0.0/16 overlaps the network of the machines themselves, "
            "192.168.199.0/24",
        ),
        ("pods: [3]", "pods[0]: expected a mapping; got 3"),
        (
            node(role="master", services="[]"),
            "nodes[0].services: there is a role already, which stands for services: expected one of the two",
        ),
        (
            node(services="[etcd, docker, etcd]"),
            "nodes[0].services: each service once; got etcd, docker, etcd",
        ),
        (
            node(services="[etd]"),
            "nodes[0].services[0]: expected 'etcd', 'flanneld' or 'docker'; got 'etd'; did you mean etcd?",
        ),
        (
            node(services="[flanneld]"),
            "nodes: flanneld runs, and etcd does not: no node has the role master, "
            "or etcd among its services",
        ),
        (node(services="[etcd]", docker="{}"), "nodes[0].docker: this node does not run docker"),
        (
            node(services="[docker]", docker="{bip: 10.2.0.0/24}"),
            "nodes[0].docker.bip: expected "
            "from-subnet-env, none, or an address with its length such as 10.9.1.1/24; got '10.2.0.0/24'",
        ),
        (
            node(services="[]", sysctls="{kernel.core_pattern: x}"),
            "nodes[0].sysctls: kernel.core_pattern is a setting of the host; a node has net.* and the like",
        ),
        (
            node(services="[]", units="{flanneld.service: x}"),
            "nodes[0].units: flanneld.service is the lab's; a drop-in for it is one of `files`",
        ),
        (
            node(services="[]", units="{mine: x}"),
            "nodes[0].units: 'mine' is not a unit's name; expected one such as mydaemon.service",
        ),
        (node(services="[]", files="[{path: /etc/x}]"), "nodes[0].files[0]: expected one of text and from"),
        (
            node(services="[]", files="[{path: x, text: y}]"),
            "nodes[0].files[0].path: expected an absolute path of a file; got 'x'",
        ),
        (
            node(services="[]", files="[{path: /run/x, text: y}]"),
            "nodes[0].files[0].path: /run/x would be gone once the node boots; a unit can make it",
        ),
        (
            node(services="[]", files="[{path: /x, from: no.sh}]"),
            f"nodes[0].files[0].from: "
            f"{Path('labs/no.sh').resolve()} cannot be read: No such file or directory",
        ),
        (
            "checks: [{name: a, node: centos-minion1, run: x}]",
            "checks[0].node: there is no node centos-minion1; did you mean centos-minion01?",
        ),
        (
            "checks: [{name: a, node: centos-master, run: x}, {name: a, node: centos-master, run: y}]",
            "checks[1].name: there is another check called a",
        ),
        ("checks: [{name: a, node: b, run: []}]", f"checks[0].run: {COMMAND_WORDS}; got []"),
        ("checks: [{name: a, node: b, run: 5}]", f"checks[0].run: {COMMAND_WORDS}; got 5"),
        (
            "checks: [{name: a, node: b, run: [1]}]",
            "checks[0].run[0]: a string is required, and 1 is none in YAML: put it in quotes",
        ),
        (
            "checks: [{name: ' a', node: b, run: x}]",
            "checks[0].name: expected at most 80 characters in one line, without blanks around them;"
            " got ' a'",
        ),
        (
            "segments: {Bad: {}}",
            "segments.Bad: expected at most 16 lower-case letters, digits and '-',"
            " with a letter or digit at both ends; got 'Bad'",
        ),
        (
            "nodes: [{name: a, role: master, host: 9, sysctls: {net.core.somaxconn: [1]}}]",
            "nodes[0].sysctls.net.core.somaxconn: expected a string or a whole number; got [1]",
        ),
        (
            "checks: [{name: a, node: b, run: x, output: (}]",
            "checks[0].output: '(' is not a regular "
            "expression of Python's: missing ), unterminated subpattern at position 0",
        ),
        ("pods: [{kind: Pod}]", "pods[0].apiVersion: required"),
        ("a: 1\na: 1", "line 2, column 1: the key a is there twice"),
        ("--- 1\n--- 2\n", "one document expected; it has 2"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(text: str, complaint: str) -> None:
    assert refused(text)[0] == f"labs/demo.yaml: {complaint}"


@pytest.mark.parametrize("config", ["3", "'{'", "[]", "2016-03-13", "{Network: .nan}"])
def test_a_configuration_that_is_no_json_object_is_refused(config: str) -> None:
    (line,) = refused(f"flannel: {{config: {config}}}")
    assert line.startswith("labs/demo.yaml: flannel.config: expected flannel's JSON object")


# flannel's docs/configuration.md and CheckNetworkConfig, of 0.20.2.
@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ("{}", "Network: required, such as 10.2.0.0/16"),
        ("Network: 7", "Network: expected an IPv4 network such as 10.2.0.0/16; got 7"),
        ("Network: 10.2.0.0/99", "Network: expected an IPv4 network such as 10.2.0.0/16; got '10.2.0.0/99'"),
        ("Network: 10.2.0.0/29", "Network: 10.2.0.0/29 is too small for four subnets: expected at most /28"),
        (
            "Network: 10.2.0.0/16, SubnetLen: 33",
            "SubnetLen: expected at most 30, so that a subnet has room for pods; got 33",
        ),
        (
            "Network: 10.2.0.0/16, SubnetLen: 17",
            "SubnetLen: expected 18 to 30, with room for four subnets in 10.2.0.0/16; got 17",
        ),
        ("Network: 10.2.0.0/16, SubnetLen: x", "SubnetLen: expected a prefix length such as 24; got 'x'"),
        (
            "Network: 10.2.0.0/16, SubnetMin: 10.3.1.0",
            "SubnetMin: 10.3.1.0 is not in the Network 10.2.0.0/16",
        ),
        (
            "Network: 10.2.0.0/16, SubnetMax: 10.2.1.7",
            "SubnetMax: 10.2.1.7 is not the first address of a subnet",
        ),
        (
            "Network: 10.2.0.0/16, SubnetMin: 10.2.9.0, SubnetMax: 10.2.1.0",
            "SubnetMin: 10.2.9.0 is above SubnetMax, 10.2.1.0",
        ),
        (
            "Network: 10.2.0.0/16, Backend: vxlan",
            'Backend: expected an object such as {"Type": "udp"}; got \'vxlan\'',
        ),
        (
            "Network: 10.2.0.0/16, Backend: {Type: vxlann}",
            "Backend.Type: flanneld_py has no backend vxlann; did you mean vxlan?; "
            "it has udp, vxlan, host-gw, alloc, extension, wireguard, ipip",
        ),
    ],
)
def test_a_configuration_that_flannel_could_not_use_is_refused(config: str, complaint: str) -> None:
    text = config if config.startswith("{") else f"{{{config}}}"
    assert refused(f"flannel: {{config: {text}}}") == [f"labs/demo.yaml: flannel.config.{complaint}"]


def test_capital_letters_of_a_configurations_keys_do_not_count_as_for_flannel() -> None:
    lab = load("flannel: {config: {network: 10.9.0.0/16, SUBNETLEN: 26, backend: {TYPE: VXLAN}}}")
    assert (lab.network, lab.backend.name) == (IPv4Network("10.9.0.0/16"), "vxlan")


@pytest.mark.parametrize(
    "config", ["{Network: 10.2.0.0/16, SubnetLen: 17}", "{Network: 10.2.0.0/16, Backend: {Type: gce}}"]
)
def test_what_only_another_flannel_takes_is_for_labs_that_run_only_that(programs: Path, config: str) -> None:
    others = f"flanneld: {{binary: flanneld}}\nflannel: {{config: {config}}}"
    assert spec.load(others, programs / "lab.yaml").flannel_config
    assert len(refused(f"flannel: {{config: {config}}}")) == 1


# The machines of a lab have lo and eth0.
@pytest.mark.parametrize(
    ("options", "refusals"),
    [
        ("[-iface=eth0]", 0),
        ("[--iface=eth1]", 2),
        ("[-iface=eth1, -iface=eth0]", 0),
        ("[-iface=eth1, -iface-regex=eth.]", 0),
        ("[-iface=192.168.199.52]", 1),
        ("[]", 0),
    ],
)
def test_an_interface_that_a_machine_has_not_is_refused_before_it_is_made(
    options: str, refusals: int
) -> None:
    text = f"flannel: {{options: {options}}}"
    lines = refused(text) if refusals else []
    assert len(lines) == refusals
    assert all("no such interface; the node has eth0 (192.168.199.5" in line for line in lines)
    if not refusals:
        assert load(text)


def test_a_script_may_make_the_interface_that_it_names(programs: Path) -> None:
    text = "flanneld: {binary: flanneld}\nflannel: {options: [-iface=dummy0]}"
    assert spec.load(text, programs / "lab.yaml")


def test_the_file_s_name_may_be_given_from_outside() -> None:
    assert spec.load("{}", "f", default_name="other").name == "other"
    assert spec.load("name: own", "f", default_name="other").name == "own"


def test_all_errors_are_told_at_once_those_of_pods_too() -> None:
    text = (
        "foo: 1\nprivileged: 2\npods: [one.yaml, {kind: Pod, apiVersion: v1, metadata: {name: x}, spec: {}}]"
    )
    assert refused(text, one="kind: Pod\n") == [
        "labs/demo.yaml: privileged: expected true or false; got 2",
        "labs/demo.yaml: foo: not supported by the lab",
        "labs/one.yaml: apiVersion: required",
        "labs/one.yaml: metadata: required",
        "labs/one.yaml: spec: required",
        "labs/demo.yaml: pods[1].spec.containers: required",
    ]


def test_what_is_wrong_between_nodes_is_told_beside_what_is_wrong_in_them() -> None:
    text = """\
name: Bad Name
nodes:
- {name: a, role: master, host: 2, size: 3}
- {name: a, role: master, host: 2}
- {name: b, role: worker, host: 2}
flannel: {config: {Network: 10.2.0.0/16, SubnetLen: 33}}
flannel: {}
"""
    assert refused(text) == [
        "labs/demo.yaml: line 7, column 1: the key flannel is there twice",
        "labs/demo.yaml: name: 'Bad Name' is not a lab name: at most 32 lower-case letters, digits and '-'",
        "labs/demo.yaml: nodes[0].size: not supported by the lab",
        "labs/demo.yaml: nodes[2].role: expected 'master' or 'minion'; got 'worker'",
        "labs/demo.yaml: nodes: two nodes have the same name: a",
        "labs/demo.yaml: nodes: two nodes have the same host: 2",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["name", "nodes", "flannel", "config", "Network", "pods", "prefix", "host", "x"]
                ),
                inner,
                max_size=5,
            )
        ),
    )
)
def test_any_document_is_a_lab_or_is_refused(document: object) -> None:
    text = yaml.safe_dump(document)
    with suppress(Unfit):
        spec.load(text, "f.yaml", lambda _: "")


def test_a_pod_on_a_node_without_docker_is_refused_with_the_nodes_that_run_it() -> None:
    pod = TUTORIAL_POD.replace("spec:\n", "spec:\n  nodeName: centos-master\n")
    assert refused("pods: [one.yaml]", one=pod) == [
        "labs/one.yaml: spec.nodeName: centos-master does not run docker; "
        "those that do: centos-minion01, centos-minion02"
    ]


def test_two_pods_of_one_name_are_refused() -> None:
    assert refused("pods: [one.yaml, two.yaml]", one=TUTORIAL_POD, two=TUTORIAL_POD) == [
        "labs/two.yaml: metadata.name: there is another Pod called mysql01"
    ]


def test_a_name_for_a_lab_is_checked_when_it_comes_from_the_command_line() -> None:
    with pytest.raises(Unfit, match="'Bad_Name' is not a lab name"):
        spec.tutorial().with_name("Bad_Name")


def test_a_lab_takes_no_underlay_that_its_overlay_covers() -> None:
    lab = load("{name: demo, flannel: {config: {Network: 192.168.192.0/20}}}")
    assert lab.subnets(lab.segments[0])[0] == IPv4Network("192.168.208.0/24")
    with pytest.raises(Unfit, match=r"the lab tutorial: the Network 192\.168\.192\.0/20 overlaps"):
        lab.with_name("tutorial")
    (line,) = refused("{name: demo, flannel: {config: {Network: 0.0.0.0/0}}}")
    assert line.endswith("the machines themselves, 192.168.200.0/24 to 192.168.255.0/24")


THREE_NODES = """\
nodes:
- {name: m, role: master, host: 2}
- {name: a, role: minion, host: 3}
- {name: b, role: minion, host: 4, flanneld: {binary: old/flanneld, options: [-v=1]}}
- {name: c, role: minion, host: 5, flanneld: {}}
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A lab file's folder with two flannelds in it."""
    (tmp_path / "old").mkdir()
    (tmp_path / "flanneld").write_text("#!/bin/sh\n")
    (tmp_path / "old" / "flanneld").write_text("#!/usr/bin/env python3\n")
    return tmp_path


def test_a_node_runs_its_own_flanneld_or_the_whole_labs_or_with_an_empty_key_ours(programs: Path) -> None:
    lab = spec.load(f"flanneld: {{binary: flanneld}}\n{THREE_NODES}", programs / "lab.yaml")
    runs = {node.name: node.flanneld for node in lab.nodes}
    assert {name: own.program.path for name, own in runs.items() if own.program is not None} == {
        "a": str(programs / "flanneld"),
        "b": str(programs / "old" / "flanneld"),
    }
    assert {name: own.options for name, own in runs.items() if own.options} == {"b": ("-v=1",)}


def test_a_lab_with_flannelds_of_its_own_is_written_and_read_back_the_same(programs: Path) -> None:
    lab = spec.load(f"flanneld: {{binary: flanneld}}\n{THREE_NODES}", programs / "lab.yaml")
    assert spec.load(lab_file(lab), "elsewhere/lab.yaml") == lab
    assert LabSpec.from_json(lab.to_json()) == lab


def test_another_program_at_the_same_path_makes_another_lab(programs: Path) -> None:
    text = "flanneld: {binary: flanneld}"
    lab = spec.load(text, programs / "lab.yaml")
    (programs / "flanneld").write_text("#!/bin/sh\nexit 1\n")
    assert spec.load(text, programs / "lab.yaml") != lab


# e_ident, e_type and e_machine of elf.h: little-endian x86-64, big-endian s390x; 1 is ET_REL, an object file.
ELF = b"\x7fELF\x02%b\x01" + bytes(9)


@pytest.mark.parametrize(
    ("data", "architecture"),
    [
        (ELF % b"\x01" + b"\x02\x00\x3e\x00", "amd64"),
        (ELF % b"\x01" + b"\x03\x00\xb7\x00", "arm64"),
        (ELF % b"\x02" + b"\x00\x02\x00\x16", "s390x"),
        (b"#!/bin/sh\n", "any"),
    ],
)
def test_a_program_is_known_by_its_first_bytes(tmp_path: Path, data: bytes, architecture: str) -> None:
    (tmp_path / "flanneld").write_bytes(data)
    lab = spec.load("flanneld: {binary: flanneld}", tmp_path / "lab.yaml")
    program = lab.minions[0].flanneld.program
    assert program is not None
    assert program.architecture == architecture


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is neither an ELF program nor a script that begins with #!; it begins with b''"),
        (b"\x1f\x8b\x08", r"it begins with b'\x1f\x8b\x08'"),
        (ELF % b"\x01" + b"\x01\x00\x3e\x00", "is an ELF file but not executable (e_type 1)"),
    ],
)
def test_what_is_no_program_is_refused_with_its_place(
    tmp_path: Path, data: bytes | None, complaint: str
) -> None:
    if data is not None:
        (tmp_path / "flanneld").write_bytes(data)
    with pytest.raises(Unfit) as error:
        spec.load(THREE_NODES.replace("old/", ""), tmp_path / "lab.yaml")
    assert str(error.value).startswith(f"{tmp_path}/lab.yaml: nodes[2].flanneld.binary: {tmp_path}/flanneld ")
    assert complaint in str(error.value)


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match=r"lab\.yaml: flanneld\.binary: /.* cannot be read: Is a directory"):
        spec.load("flanneld: {binary: .}", tmp_path / "lab.yaml")


@pytest.mark.parametrize(
    ("version", "api", "needed"),
    # flannel 0.17 is the last with etcd's v2 API, 0.18 the first with v3 (its release notes).
    [("0.5.5", "v3", "v2"), ("v0.17.0", "v3", "v2"), ("v0.18.0", "v2", "v3"), ("v0.20.2", "v2", "v3")],
)
def test_a_flannel_that_cannot_read_the_labs_store_is_told_which_one_it_needs(
    version: str, api: spec.EtcdApi, needed: spec.EtcdApi
) -> None:
    assert spec.wrong_store(version, api).endswith(f"the lab file needs flannel.etcdApi: {needed}")
    assert spec.wrong_store(version, needed) == ""
    assert spec.wrong_store("devel", api) == ""


def test_a_lab_file_names_the_network_of_the_machines() -> None:
    wanted = load("underlay: 10.77.5.0/24")
    assert wanted.subnets(wanted.segments[0]) == (IPv4Network("10.77.5.0/24"),)
    assert wanted.subnets(wanted.segments[0])[0][wanted.nodes[0].host] == IPv4Address("10.77.5.51")
    assert wanted.with_name("demo").underlay == IPv4Network("10.77.5.0/24")
    assert spec.load(lab_file(wanted), "again.yaml") == wanted


def test_so_does_the_command_line() -> None:
    named = spec.load("underlay: 10.66.5.0/24", "f", underlay=IPv4Network("10.77.5.0/24"))
    assert named.subnets(named.segments[0]) == (IPv4Network("10.77.5.0/24"),)


def test_what_the_command_line_says_counts_before_the_file_is_judged() -> None:
    # On the machines' network that goes with the name each of these would be wrong.
    there = IPv4Network("10.77.5.0/24")
    one = "nodes: [{name: m, role: master, host: 51}, {name: w, role: minion, host: 52}]\n"
    assert spec.load(f"{one}flannel: {{options: [-iface=10.77.5.52]}}", "f", underlay=there).underlay == there
    text = "{name: demo, flannel: {config: {Network: 192.168.192.0/20}}}"
    assert spec.load("flannel: {config: {Network: 192.168.192.0/20}}", "f", underlay=there)
    with pytest.raises(Unfit, match=r"flannel\.config: the Network 192\.168\.192\.0/20 overlaps"):
        spec.load(text, "f", name="tutorial")


@pytest.mark.parametrize(
    "text", ["10.77.5.0", "10.77.5.1/24", "10.77.0.0/16", "127.0.0.0/24", "fd00::/64", "a"]
)
def test_a_network_that_machines_cannot_have_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match=r"underlay\.subnet: expected an IPv4 network of length 24.*; got"):
        load(f"underlay: '{text}'")
    with pytest.raises(ValueError, match="expected an IPv4 network of length 24"):
        spec.underlay_network(text)


def test_the_network_that_is_named_is_not_the_overlays() -> None:
    with pytest.raises(Unfit, match=r"flannel\.config: the Network 10\.2\.0\.0/16 overlaps"):
        spec.load("{}", "f", underlay=IPv4Network("10.2.7.0/24"))
    with pytest.raises(Unfit, match=r"flannel\.config: the Network 10\.2\.0\.0/16 overlaps"):
        load("underlay: 10.2.7.0/24")


@pytest.mark.parametrize(
    "said", ["mydaemon 0.1", "mydaemon 0.1.0", "0.1", "", "error: line 3.1.4", "v1.0.0 beta"]
)
def test_what_is_no_flannels_version_says_nothing_of_etcd(said: str) -> None:
    assert [spec.wrong_store(said, api) for api in ("v2", "v3")] == ["", ""]
