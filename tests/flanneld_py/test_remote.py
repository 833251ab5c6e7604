"""`flanneld -remote` and `flanneld -listen`: together they are a registry like the others."""

import threading
from collections.abc import Iterator

import pytest

from flanneld_py.errors import Stopped
from flanneld_py.lease.allocate import Pick
from flanneld_py.options import Options
from flanneld_py.registry import LeaseRemoved, Registry, RegistryUnavailable
from flanneld_py.registry.choose import location
from flanneld_py.registry.remote import RemoteRegistry
from flanneld_py.server import Server
from lab import wait
from tests.flanneld_py.memory_registry import MemoryRegistry
from tests.flanneld_py.registry_conformance import (
    ANSWERED,
    DAY,
    NETWORK,
    OURS,
    RegistryContract,
    Stored,
    Watched,
    following,
    names,
)
from tests.flanneld_py.shared_etcd import SharedEtcd


class Served:
    """See `World`: a server on the loopback, and its etcd in memory."""

    def __init__(self) -> None:
        self.now = 0.0
        self.etcd = SharedEtcd(lambda: self.now)
        self.connected: list[RemoteRegistry] = []
        self.start("127.0.0.1:0")

    def start(self, place: str) -> None:
        self.server = Server(
            lambda _: MemoryRegistry(self.etcd), place, pick=lambda _: Pick(), longest_poll=5
        )
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        with pytest.raises(Stopped):
            self.server.run()

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(10)
        self.server.close()

    def restart(self) -> None:
        self.stop()
        self.start(f"127.0.0.1:{self.server.port}")

    def close(self) -> None:
        for registry in self.connected:
            registry.close()
        self.stop()

    def value(self, address: str) -> bytes:
        return b'{"PublicIP":"%b","PublicIPv6":null}' % address.encode()

    def connect(self, timeout: float = ANSWERED) -> Registry:
        self.connected.append(RemoteRegistry(f"127.0.0.1:{self.server.port}", timeout=timeout))
        return self.connected[-1]

    def configure(self, text: bytes) -> None:
        self.etcd.config = text

    def put(self, name: str, value: bytes, *, permanent: bool = False) -> int:
        return self.etcd.put_raw(name, value, ttl=float("inf") if permanent else DAY)

    def put_brief(self, name: str, value: bytes) -> None:
        self.etcd.put_raw(name, value, ttl=1)
        self.now += 1
        self.etcd.snapshot()

    def delete(self, name: str) -> None:
        self.etcd.delete_raw(name)

    def stored(self, name: str) -> Stored | None:
        found = self.etcd.read_raw(name)
        if found is None:
            return None
        ttl = found.expires_at - self.now
        return Stored(found.value, found.revision, None if found.permanent else ttl)

    def forget(self) -> None:
        self.restart()

    def break_connections(self) -> None:
        self.restart()

    def pause(self) -> None:
        self.etcd.reachable = False

    def resume(self) -> None:
        self.etcd.reachable = True

    def restore_and_outgrow(self, stored: dict[str, bytes]) -> None:
        """Have the etcd hold this, as of an old backup, be noticed, and outgrow what it was before."""
        cursor = self.etcd.revision
        self.etcd.revision, self.etcd._stored = 1, {}
        for name, value in stored.items():
            self.etcd.put_raw(name, value)
        self.etcd.compact()
        self.etcd.break_watches()
        seen = self.connect()
        wait.until(
            lambda: seen.snapshot().revision < cursor or wait.NotYet(seen.snapshot()),
            what="a list of what was restored", timeout=10,
        )  # fmt: skip
        while self.etcd.revision <= cursor:
            self.etcd.put_raw("10.2.77.0-24", self.value("192.168.199.77"))


class TestRemote(RegistryContract):
    # A server gives the configuration with its defaults, and tells of no keys that are spoiled.
    cannot = frozenset(
        {
            "test_the_configuration_is_what_was_written",
            "test_a_server_that_answers_again_is_used_again",
            "test_a_subnets_key_that_says_nothing_readable_is_spoiled_with_one_warning",
            "test_a_watch_tells_of_spoiled_keys_and_leaves_out_junk",
        }
    )

    def test_the_configuration_has_the_defaults_that_were_left_out(self, registry, world):
        world.configure(NETWORK)
        text = b'{"Network":"10.2.0.0/16","SubnetMin":"10.2.1.0","SubnetMax":"10.2.255.0","SubnetLen":24}\n'
        assert registry.config() == registry.probe() == text

    def test_a_server_whose_etcd_answers_again_is_used_again(self, hasty, world):
        world.configure(NETWORK)
        world.pause()
        with pytest.raises(RegistryUnavailable):
            hasty.config()
        world.resume()
        assert hasty.config() is not None

    def test_a_spoiled_key_is_a_lease_that_is_gone(self, registry, world):
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        watched = following(registry, world)
        revision = world.put("10.2.35.0-24", b"junk")
        assert watched.events(1) == [LeaseRemoved(OURS, revision)]
        assert names(registry) == ["10.2.99.0/24"]

    def test_a_watch_from_before_an_older_etcd_was_restored_ends_though_revisions_are_higher_again(
        self, registry, world
    ):
        for _ in range(20):
            world.put("10.2.35.0-24", world.value("192.168.199.52"))
        known = registry.snapshot()
        world.restore_and_outgrow({"10.2.52.0-24": world.value("192.168.199.53")})
        watched = Watched(registry, known.revision)
        assert "no longer knows" in watched.reset().reason
        assert names(registry) == ["10.2.52.0/24", "10.2.77.0/24"]
        again = Watched(registry, registry.snapshot().revision)
        world.put("10.2.99.0-24", world.value("192.168.199.99"))
        again.events(1)

    def test_a_watch_goes_on_at_another_server_of_the_same_etcd(self, registry, world):
        known = registry.snapshot()
        watched = Watched(registry, known.revision)
        world.restart()
        watched.reset()
        world.connect().snapshot()  # from here on the new one knows what happens
        again = Watched(registry, known.revision)  # with what the former server told
        world.put("10.2.99.0-24", world.value("192.168.199.99"))
        again.events(1)

    def test_flannels_protocol_has_no_place_for_what_is_said_beside_a_lease(self, registry, world):
        world.configure(NETWORK)
        registry.follow_announcements("udp")
        held = self.acquire(registry, self.lease_request())
        watched = Watched(registry, registry.snapshot().revision)
        registry.announce(held, b'{"MTU":1500}')
        assert world.etcd.said() == ()
        world.etcd.say(held.lease.subnet, b"{}")
        world.put("10.2.99.0-24", world.value("192.168.199.99"))
        watched.events(1)
        assert registry.snapshot().announced == ()
        assert not location(Options(remote="127.0.0.1:8888")).announcements
        assert location(Options()).announcements

    @pytest.fixture
    def world(self) -> Iterator[Served]:
        world = Served()
        try:
            yield world
        finally:
            world.close()
