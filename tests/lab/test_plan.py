import json
import shlex
from ipaddress import IPv4Address, IPv4Network

import pytest

from lab import spec
from lab.cluster import plan
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
    assert TUTORIAL.underlays == (IPv4Network("192.168.199.0/24"),)
    others = TUTORIAL.with_name("other").underlays
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
    underlay = IPv4Network("192.168.199.0/24")
    return plan.node_config(
        wanted,
        next(item for item in wanted.nodes if item.name == node),
        network="lab-tutorial",
        addresses={item.name: underlay[item.host] for item in wanted.nodes},
        image="lab-node:0123",
        seed="lab-seed-0123",
        labels={"lab.name": "tutorial"},
    )


def test_the_machines_have_the_tutorials_names_and_addresses():
    assert config("centos-minion01").hosts == {
        "centos-master": "192.168.199.51",
        "centos-minion01": "192.168.199.52",
        "centos-minion02": "192.168.199.53",
    }
    assert IPv4Address(config("centos-minion02").address or "") == IPv4Address("192.168.199.53")
    assert config("centos-master").hostname == "centos-master"


def test_a_machine_is_not_privileged_unless_the_lab_asks_for_it():
    confined = config("centos-minion01").confinement
    assert not confined.privileged
    assert confined.capabilities == ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE")
    assert config("centos-minion01", privileged=True).confinement.privileged


def test_only_minions_get_the_seed_and_only_to_read():
    assert config("centos-minion01").volumes == {"lab-seed-0123": "/seed:ro"}
    assert config("centos-master").volumes == {}
