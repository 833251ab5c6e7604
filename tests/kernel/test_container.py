"""The container of the kernel tests, set up as a machine of the lab and the box of `lab bench` are."""

import pytest

from tests.writable import FIND, foreign

pytestmark = pytest.mark.kernel


def test_only_settings_of_its_own_namespaces_can_be_written(container):
    found = container.run("python3", "-c", FIND).text
    assert "/proc/sys/net/ipv4/ip_forward\n" in found
    assert foreign(found) == []


def test_another_network_namespaces_settings_can_be_written_there(sandbox):
    found = sandbox.host("a").run("python3", "-c", FIND).text
    assert "/proc/sys/net/ipv4/conf/eth0/rp_filter\n" in found
    # ip-netns(8) mounts a /sys of that namespace, which is writable.
    assert [path for path in foreign(found) if not path.startswith("/sys/")] == []
