import json
import shlex
from ipaddress import IPv4Network

import pytest

from lab import spec
from lab.cluster import plan
from lab.engine import Network
from lab.errors import Unfit

TUTORIAL = spec.tutorial()


def step(name):
    return next(step for step in plan.plan_up(TUTORIAL) if step.name == name)


def order(steps):
    """The steps, ranked by when they can begin at the earliest."""
    done: frozenset[str] = frozenset()
    ranks = []
    while len(done) < len(steps):
        ready = plan.ready(steps, done)
        ranks.append({step.name for step in ready})
        done |= ranks[-1]
    return ranks


def test_the_tutorials_cluster_comes_up_in_the_tutorials_order():
    minions = {"centos-minion01", "centos-minion02"}
    assert order(plan.plan_up(TUTORIAL)) == [
        {"images", "network"},
        {"node centos-master", *(f"node {name}" for name in minions)},
        {"etcd"},
        {f"docker on {name}" for name in minions},
        {"pod mysql01", "pod mysql02"},
        {"checks"},
    ]


def with_program():
    """The tutorial's cluster, one minion of which runs another flanneld."""
    own = spec.Flanneld(program=spec.Program(path="/their/flanneld", digest="0", architecture="amd64"))
    *others, last = TUTORIAL.nodes
    return TUTORIAL.model_copy(update={"nodes": (*others, last.model_copy(update={"flanneld": own}))})


def test_minions_start_one_after_the_other_where_one_may_miss_a_lease_while_it_starts():
    # flannel 0.20.2: after each change it watches from "now", and what came between is lost.
    steps = plan.plan_up(with_program())
    (second,) = [step for step in steps if step.name == "node centos-minion02"]
    assert second.needs == {"images", "network", "docker on centos-minion01"}
    assert second.action.describe().endswith(" with /their/flanneld as its flanneld")
    assert {step.name for step in steps} == {step.name for step in plan.plan_up(TUTORIAL)}


def test_with_etcds_v2_store_the_tutorials_own_command_writes_the_configuration():
    old = TUTORIAL.model_copy(update={"etcd_api": "v2"})
    (action,) = [step.action for step in plan.plan_up(old) if isinstance(step.action, plan.PutConfig)]
    document = 'etcdctl set /coreos.com/network/config \'{ "Network": "10.2.0.0/16" }\''
    assert action.describe() == document
    assert action.argv == tuple(shlex.split(document))
    assert config("centos-master", etcd_api="v2").environment["ETCDCTL_API"] == "2"
    assert "ETCDCTL_API" not in config("centos-master").environment


@pytest.mark.parametrize(
    ("backend", "bare"),
    [
        ({}, False),
        ({"Type": "vxlan"}, False),
        ({"Type": "vxlan", "DirectRouting": True}, True),
        ({"Type": "host-gw"}, True),
    ],
)
def test_the_underlay_is_closed_to_pods_addresses_unless_the_backend_sends_them_bare(backend, bare):
    # An engine whose machine filters bridged frames drops on an internal network what is not the subnet's.
    text = json.dumps({"Network": "10.2.0.0/16", **({"Backend": backend} if backend else {})})
    lab = TUTORIAL.model_copy(update={"flannel_config": text})
    (action,) = [item.action for item in plan.plan_up(lab) if isinstance(item.action, plan.MakeNetwork)]
    assert action.bare is bare


def test_the_network_configuration_is_the_tutorials():
    action = step("etcd").action
    assert isinstance(action, plan.PutConfig)
    # The tutorial's section 2.1, letter by letter.
    assert (action.key, action.value) == ("/coreos.com/network/config", '{ "Network": "10.2.0.0/16" }')


def test_the_pods_run_where_the_tutorial_shows_them():
    placed = {
        step.action.pod.name: step.action.node
        for step in plan.plan_up(TUTORIAL)
        if isinstance(step.action, plan.CreatePod)
    }
    assert placed == {"mysql01": "centos-minion02", "mysql02": "centos-minion01"}


def test_flannels_configuration_waits_for_every_member_of_etcd():
    second = TUTORIAL.nodes[0].model_copy(update={"name": "second", "host": 61})
    lab = TUTORIAL.model_copy(update={"nodes": (*TUTORIAL.nodes, second)})
    (found,) = [item for item in plan.plan_up(lab) if isinstance(item.action, plan.PutConfig)]
    assert found.needs == {"node centos-master", "node second"}
    assert isinstance(found.action, plan.PutConfig)
    assert found.action.node == "centos-master"


def test_a_step_waits_for_all_that_it_needs_and_for_nothing_else():
    assert step("pod mysql01").needs == {"docker on centos-minion02"}
    assert step("docker on centos-minion01").needs == {"node centos-minion01", "etcd"}


def test_the_last_step_needs_every_other():
    steps = plan.plan_up(TUTORIAL)
    assert steps[-1].needs == {step.name for step in steps[:-1]}


def test_every_action_says_in_one_line_what_it_does():
    for item in plan.plan_up(TUTORIAL):
        assert item.action.describe()
        assert "\n" not in item.action.describe()


def test_only_the_lab_called_tutorial_has_the_tutorials_addresses():
    assert TUTORIAL.subnets(TUTORIAL.segments[0]) == (IPv4Network("192.168.199.0/24"),)
    other = TUTORIAL.with_name("other")
    others = other.subnets(other.segments[0])
    assert others[0] == IPv4Network("192.168.200.0/24")
    assert IPv4Network("192.168.199.0/24") not in others
    assert all(underlay.subnet_of(IPv4Network("192.168.0.0/16")) for underlay in others)


def test_a_pod_for_a_node_that_is_not_there_is_refused_before_anything_is_made():
    (first, *_) = TUTORIAL.pods
    lost = first.model_copy(update={"node": "centos-minion09"})
    with pytest.raises(Unfit, match="centos-minion09"):
        plan.plan_up(TUTORIAL.model_copy(update={"pods": (lost,)}))


def config(node, **changes):
    wanted = TUTORIAL.model_copy(update=changes)
    return plan.node_config(
        wanted,
        next(item for item in wanted.nodes if item.name == node),
        prefix="lab-tutorial",
        networks={"underlay": Network("id", "lab-tutorial", {}, ("192.168.199.0/24",))},
        image="lab-node:0123",
        seed="lab-seed-0123",
        labels={"lab.name": "tutorial"},
    )


def test_the_machines_have_the_tutorials_names_and_addresses():
    assert config("centos-minion01").hosts == {
        "centos-master": ("192.168.199.51",),
        "centos-minion01": ("192.168.199.52",),
        "centos-minion02": ("192.168.199.53",),
    }
    assert config("centos-minion02").networks == {"lab-tutorial": "192.168.199.53"}
    assert config("centos-master").hostname == "centos-master"


def test_a_machine_is_not_privileged_unless_the_lab_asks_for_it():
    confined = config("centos-minion01").confinement
    assert not confined.privileged
    assert confined.capabilities == ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE")
    assert config("centos-minion01", privileged=True).confinement.privileged


def test_only_minions_get_the_seed_and_only_to_read():
    assert config("centos-minion01").volumes == {"lab-seed-0123": "/seed:ro"}
    assert config("centos-master").volumes == {}


def made_of(lab, name):
    """The container of a node, where the lab's segments have the networks from 192.168.200.0 up."""
    networks = {
        segment.name: Network("id", f"lab-{segment.name}", {}, (f"192.168.{200 + index}.0/24",))
        for index, segment in enumerate(lab.segments)
    }
    (node,) = [item for item in lab.nodes if item.name == name]
    return plan.node_config(lab, node, prefix="lab", networks=networks, image="i", seed="s", labels={})


def load(nodes, **more):
    return spec.load(json.dumps({"name": "demo", "nodes": nodes, "pods": [], **more}), "lab.yaml")


def waits(lab):
    """By step, what waits for a unit needs."""
    return {item.name: item.needs for item in plan.plan_up(lab) if isinstance(item.action, plan.WaitForUnit)}


def test_machines_that_are_members_of_etcd_and_run_flannel_wait_for_etcd_once():
    three = [
        {"name": name, "host": 9 + n, "services": ["docker", "flanneld", "etcd"]}
        for n, name in enumerate("abc")
    ]
    assert set(waits(load(three))) == {
        "docker on a", "etcd on b", "docker on b", "etcd on c", "docker on c",
    }  # fmt: skip


def test_a_machine_without_docker_is_waited_for_until_its_flanneld_runs():
    lab = load(
        [{"name": "m", "host": 2, "role": "master"}, {"name": "f", "host": 3, "services": ["flanneld"]}]
    )
    assert waits(lab) == {"flanneld on f": {"node f", "etcd"}}


def test_without_etcd_nothing_waits_for_it_and_no_configuration_is_written():
    lab = load(
        [{"name": "d", "host": 2, "services": ["docker"]}, {"name": "plain", "host": 3, "services": []}]
    )
    assert waits(lab) == {"docker on d": {"node d"}}
    steps = plan.plan_up(lab)
    assert not [item for item in steps if isinstance(item.action, plan.PutConfig)]
    described = [item.action.describe() for item in steps if isinstance(item.action, plan.MakeNode)]
    assert described == [
        "start d (docker) at host address .2",
        "start plain (no services) at host address .3",
    ]


def test_a_machines_own_units_start_with_it_and_its_services_among_them_are_waited_for():
    units = {"mine.service": "[Service]", "mine.timer": "[Timer]"}
    lab = load([{"name": "x", "host": 2, "services": [], "units": units}])
    assert waits(lab) == {"mine on x": {"node x"}}
    made = made_of(lab, "x")
    assert made.environment["LAB_SERVICES"] == ""
    assert made.environment["LAB_UNITS"] == "mine.service mine.timer"


def test_a_machines_own_sysctls_are_set_before_any_program_of_it_runs():
    nodes = [{"name": "x", "host": 2, "services": [], "sysctls": {"net.ipv4.conf.all.rp_filter": 1}}]
    made = made_of(load(nodes), "x")
    # Only what carries others' packets forwards.
    assert made.confinement.sysctls == {"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.rp_filter": "1"}
    assert config("centos-minion01").confinement.sysctls == {"net.ipv4.ip_forward": "1"}


def test_settings_of_an_interface_are_made_once_it_has_its_name():
    nodes = [{"name": "x", "host": 2, "services": [], "sysctls": {"net.ipv4.conf.eth1.rp_filter": 2}}]
    made = made_of(load(nodes), "x")
    assert made.environment["LAB_SYSCTLS"] == "net.ipv4.conf.eth1.rp_filter=2"
    assert "net.ipv4.conf.eth1.rp_filter" not in made.confinement.sysctls


def test_where_docker_does_not_wait_for_flanneld_both_are_waited_for():
    nodes = [
        {"name": "m", "host": 2, "role": "master"},
        {"name": "x", "host": 3, "role": "minion", "docker": {"bip": "10.9.1.1/24"}},
    ]
    assert set(waits(load(nodes))) == {"flanneld on x", "docker on x"}


def test_what_carries_packets_without_flannel_may_send_them_bare():
    (network,) = [
        item.action
        for item in plan.plan_up(
            load([{"name": "d", "host": 2, "services": ["docker"], "docker": {"bip": "10.2.9.1/24"}}])
        )
        if isinstance(item.action, plan.MakeNetwork)
    ]
    assert network.bare


def test_etcd_has_its_users_before_anything_is_written_to_it():
    lab = spec.load("etcd: {auth: true}", "lab.yaml", name="demo")
    users, config_ = (
        next(item for item in plan.plan_up(lab) if item.name == name) for name in ("etcd users", "etcd")
    )
    assert users.needs == {"node centos-master"}
    assert config_.needs == {"etcd users"}
    assert users.action.describe() == "give etcd its users: root, and flannel for /coreos.com/network"


RACKS = spec.load(
    """
    name: racks
    segments: {one: {}, two: {mtu: 1400}}
    nodes:
    - {name: m, role: master, host: 10}
    - {name: r, services: [], host: 254, segment: two, alsoOn: [{segment: one, host: 253}], router: true}
    - {name: w, role: minion, host: 11, segment: two}
    pods: []
    """,
    "lab.yaml",
)


def test_each_segment_is_a_network_and_nodes_wait_for_all():
    steps = {item.name: item for item in plan.plan_up(RACKS)}
    assert steps["network two"].needs == {"network one"}
    assert steps["node w"].needs == {"images", "network one", "network two"}
    described = steps["network two"].action.describe()
    assert described.endswith("or the next free one, MTU 1400, open to other addresses")


def test_a_node_on_several_segments_knows_its_interfaces_by_their_addresses():
    router = made_of(RACKS, "r")
    assert router.networks == {"lab-two": "192.168.201.254", "lab-one": "192.168.200.253"}
    assert router.environment["LAB_INTERFACES"] == "eth0=192.168.201.254 eth1=192.168.200.253"
    assert "LAB_ROUTES" not in router.environment
    assert "LAB_INTERFACES" not in made_of(RACKS, "w").environment


def test_a_node_has_routes_to_other_segments_by_the_router():
    assert made_of(RACKS, "w").environment["LAB_ROUTES"] == "192.168.200.0/24=192.168.201.254"
    assert made_of(RACKS, "m").environment["LAB_ROUTES"] == "192.168.201.0/24=192.168.200.253"
    assert made_of(RACKS, "m").hosts == {
        "m": ("192.168.200.10",),
        "r": ("192.168.201.254",),
        "w": ("192.168.201.11",),
    }


def test_the_engine_knows_nothing_of_ipv6_and_a_node_is_told_what_it_has():
    lab = spec.load(
        """
        name: wide
        segments: {one: {ipv6: true}, two: {ipv4: false, ipv6: "fd00:77::/64"}}
        nodes:
        - {name: m, services: [], host: 10}
        - {name: r, services: [], host: 254, alsoOn: [{segment: two, host: 253}], router: true}
        - {name: w, services: [], host: 11, segment: two}
        pods: []
        """,
        "lab.yaml",
    )
    described = {item.name: item.action.describe() for item in plan.plan_up(lab)}
    assert ", for IPv4 and fd6c:6162:0:1::/64, open" in described["network one"]
    assert ", for fd00:77::/64, open" in described["network two"]
    router, far = made_of(lab, "r"), made_of(lab, "w")
    assert router.networks == {"lab-one": "192.168.200.254", "lab-two": "192.168.201.253"}
    assert router.environment["LAB_INTERFACES"] == "eth0=192.168.200.254 eth1=192.168.201.253"
    assert router.environment["LAB_ADDRESSES"].split() == [
        "eth0=192.168.200.254/24",
        "eth0=fd6c:6162:0:1::254/64",
        "eth1=fd00:77::253/64",
    ]
    assert router.confinement.sysctls["net.ipv6.conf.all.forwarding"] == "1"
    assert far.confinement.sysctls["net.ipv6.conf.all.forwarding"] == "0"
    assert far.environment["LAB_ADDRESSES"] == "eth0=fd00:77::11/64"
    assert far.environment["LAB_ROUTES"] == "fd6c:6162:0:1::/64=fd00:77::253"
    assert far.hosts == {
        "m": ("192.168.200.10", "fd6c:6162:0:1::10"),
        "r": ("192.168.200.254", "fd6c:6162:0:1::254"),
        "w": ("fd00:77::11",),
    }
    assert "LAB_ADDRESSES" not in config("centos-minion01").environment
