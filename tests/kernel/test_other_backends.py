"""alloc and extension with real daemons, and what a kernel lacks."""

import json

import pytest

from flanneld_py.errors import Exit
from tests.kernel.faults import lacks
from tests.kernel.harness import Sandbox

pytestmark = pytest.mark.kernel


def configure(sandbox: Sandbox, **backend: object) -> None:
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", "Backend": backend}))


def test_alloc_takes_a_lease_writes_the_file_and_touches_nothing(sandbox):
    configure(sandbox, Type="alloc")
    host = sandbox.host("a")
    links, routes = host.links(), host.run("ip", "route").text
    host.flanneld().says("Watching for new subnet leases")
    # flannel's leases of this kind name no backend.
    assert sandbox.leases() == {f"{host.subnet}.0-24": '{"PublicIP":"192.168.50.11","PublicIPv6":null}'}
    assert "FLANNEL_MTU=1500\n" in host.subnet_env
    assert (host.links(), host.run("ip", "route").text) == (links, routes)


def test_with_the_users_own_commands_packets_cross(sandbox):
    configure(
        sandbox,
        Type="extension",
        PreStartupCommand="echo hello",
        SubnetAddCommand="ip route replace $SUBNET via $PUBLIC_IP",
        SubnetRemoveCommand="ip route delete $SUBNET",
        ShutdownCommand="ip link add name farewell type bridge",
    )
    here, there = sandbox.host("a"), sandbox.host("b")
    daemons = [host.flanneld() for host in (here, there)]
    for daemon in daemons:
        daemon.says("Ran SubnetAddCommand")
    assert sandbox.leases()[f"{here.subnet}.0-24"] == (
        '{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"extension","BackendData":"hello"}'
    )
    source, destination = here.bridge(), there.bridge()
    here.reaches(destination, source)

    sandbox.etcdctl("del", f"/coreos.com/network/subnets/{there.subnet}.0-24")
    daemons[0].says("Ran SubnetRemoveCommand")
    daemons[0].signal("TERM")
    assert daemons[0].ends(5) == 0
    assert "farewell" in here.links()


@pytest.mark.parametrize("kind", ["wireguard", "ipip"])
def test_a_kernel_without_such_devices_is_told_before_a_lease_is_taken(sandbox, kind):
    if not lacks(sandbox, kind):
        pytest.skip(f"this kernel has {kind}")
    configure(sandbox, Type=kind)
    daemon = sandbox.host("a").flanneld()
    assert daemon.ends(10) == Exit.KERNEL
    last = daemon.log.splitlines()[-1]
    assert f"This kernel has no {kind} devices" in last
    assert f"load its module on the host (modprobe {kind}), or choose another backend" in last
    assert "Traceback" not in daemon.log
    assert sandbox.leases() == {}
