"""What nodes of the udp backend say beside their leases, in a real etcd, and what becomes of it."""

import base64
import json
from typing import Any

import pytest

from lab import wait
from tests.kernel.faults import UDP_WAYS, Node, configure, nodes
from tests.kernel.harness import PREFIX, Sandbox, eventually

pytestmark = pytest.mark.kernel

BESIDE = f"{PREFIX}-ext/"


def kept(sandbox: Sandbox, folder: str) -> dict[str, dict[str, Any]]:
    """What etcd has below a folder: the rest of the key -> etcd's record, and its value as `said`."""
    found = json.loads(sandbox.etcdctl("get", "--prefix", folder, "-w", "json")).get("kvs", [])
    records = {}
    for record in found:
        name = base64.b64decode(record["key"]).decode().removeprefix(folder)
        records[name] = {**record, "said": json.loads(base64.b64decode(record["value"]))}
    return records


def said(sandbox: Sandbox, *of: Node) -> dict[str, dict[str, Any]]:
    """Wait until exactly these say something, of their leases as they are; by the leases' keys."""

    def probe() -> dict[str, dict[str, Any]] | wait.NotYet:
        leases = kept(sandbox, f"{PREFIX}/subnets/")
        beside = kept(sandbox, f"{BESIDE}udp/")
        wanted = {f"{node.host.subnet}.0-24": leases[f"{node.host.subnet}.0-24"] for node in of}
        revisions = {name: record["said"]["Revision"] for name, record in beside.items()}
        expected = {name: record["mod_revision"] for name, record in wanted.items()}
        return beside if revisions == expected else wait.NotYet(f"{beside}, leases {leases}")

    return eventually(probe, "what is said beside the leases")


def is_again(sandbox: Sandbox, name: str, before: dict[str, Any]) -> None:
    """Wait until this is said there again."""

    def probe() -> bool | wait.NotYet:
        found = kept(sandbox, f"{BESIDE}udp/")
        return (name in found and found[name]["said"] == before) or wait.NotYet(str(found))

    eventually(probe, f"{before} to be said again")


def is_told(node: Node, other: Node, mtu: int) -> None:
    """Wait until a pod is told that packets to the other's are to be no longer than this, in bytes."""
    size = str(1472 - 28)

    def probe() -> bool | wait.NotYet:
        node.inside.run("ip", "route", "flush", "cache")
        ping = node.inside.run(
            "ping", "-c1", "-W1", "-M", "do", "-s", size, other.inside.address, check=False
        )
        return f"(mtu = {mtu})" in ping.output or wait.NotYet(ping.output)

    eventually(probe, f"a packet of 1472 bytes to be answered with {mtu}")


@pytest.mark.thorough
def test_what_is_said_ends_with_the_lease(sandbox: Sandbox) -> None:
    configure(sandbox, "udp")
    here, there = nodes(sandbox, pods=False)
    leases = kept(sandbox, f"{PREFIX}/subnets/")
    for name, record in said(sandbox, here, there).items():
        assert record["lease"] == leases[name]["lease"], "it is on the lease's own etcd lease"
        assert record["said"]["MTU"] == 1500
        assert "MTU" not in leases[name]["said"], "the lease's own value stays flannel's"


@pytest.mark.thorough
def test_what_others_alter_reaches_the_peers_and_is_put_right(sandbox: Sandbox) -> None:
    configure(sandbox, "udp")
    here, there = nodes(sandbox, 2, *UDP_WAYS["plain"])
    here.inside.reaches(there.inside.address, here.inside.address)
    name = f"{there.host.subnet}.0-24"
    before = said(sandbox, here, there)[name]["said"]
    there.daemon.signal("STOP")  # or it would put it right before anybody sees
    sandbox.etcdctl("put", f"{BESIDE}udp/{name}", json.dumps({**before, "MTU": 1300}))
    is_told(here, there, 1300 - 28)
    there.daemon.signal("CONT")
    is_again(sandbox, name, before)
    sandbox.etcdctl("del", f"{BESIDE}udp/{name}")
    is_again(sandbox, name, before)


def test_only_a_node_that_says_nothing_is_spared_our_speed(sandbox: Sandbox) -> None:
    configure(sandbox, "udp")
    here, there = nodes(sandbox, 2, *UDP_WAYS["offloads"])
    here.inside.reaches(there.inside.address, here.inside.address)
    name = f"{there.host.subnet}.0-24"
    said(sandbox, here, there)
    there.daemon.signal("STOP")
    reason = "queue full for a node without an announcement"

    def counted() -> tuple[int, int]:
        """Datagrams that were sent, and that there was no place for."""
        traffic = json.loads(here.get("/state").removeprefix("200 "))["networks"][0]["traffic"]
        sent = traffic["sent"].get(there.host.address, {"packets": 0})
        return sent["packets"], traffic["dropped"].get(reason, 0)

    def lost() -> int:
        """How many there was no place for, of 25,600 that came as fast as they could."""
        sent_before, lost_before = counted()
        here.inside.run_python("flood", there.inside.address)

        def probe() -> int | wait.NotYet:
            sent, lost = counted()
            all_are = sent - sent_before + lost - lost_before >= 25_600
            return lost - lost_before if all_are else wait.NotYet(f"{sent} sent and {lost} lost")

        return eventually(probe, "all of a flood to be counted")

    eventually(lambda: not (count := lost()) or wait.NotYet(f"{count} were lost"), "none to be lost")
    sandbox.etcdctl("del", f"{BESIDE}udp/{name}")
    eventually(lambda: lost() > 0 or wait.NotYet("none was lost"), "the queue to be full")


def test_a_backend_that_says_nothing_has_no_such_key(sandbox: Sandbox) -> None:
    configure(sandbox, "vxlan")
    nodes(sandbox, pods=False)
    assert sandbox.etcdctl("get", "--prefix", BESIDE) == ""
