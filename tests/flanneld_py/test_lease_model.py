"""Lease safety, as a model: whatever happens in whatever order, never two holders of one subnet.

Here are a few histories; `make search` runs many more.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flanneld_py.daemon import claim, lease_loop, network, reconcile
from flanneld_py.daemon.event_queue import EventQueue
from flanneld_py.lease.model import LeaseAttrs, StoredLease
from flanneld_py.registry import TTL, LeaseEvent, WatchMessage, watchdog
from flanneld_py.runtime import backoff
from flanneld_py.subnet import key
from tests.effort import EFFORT
from tests.flanneld_py.lease_world import MARGIN, Clock, Line, Node, Routes, Violation, Wire, World
from tests.flanneld_py.made import attrs, subnet

HISTORIES = 20 * EFFORT
PORTION = 2000
HOUR = 3600.0
NUMBERS = st.integers(0, 3)
FIRST, SECOND, THIRD = (subnet(f"10.2.{third}.0/24") for third in (1, 2, 3))
SUBNETS = st.sampled_from([FIRST, SECOND, THIRD])
STRANGER = attrs("192.168.199.99")


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day has tens of thousands of probes and repairs; the model needs a few."""
    monkeypatch.setattr(watchdog, "PROBE", 2 * HOUR)
    monkeypatch.setattr(watchdog, "PROBE_ANYWAY", 24 * HOUR)
    monkeypatch.setattr(reconcile, "FULL_INTERVAL", 24 * HOUR)
    monkeypatch.setattr(lease_loop, "RENEW_RETRY", 600.0)
    monkeypatch.setattr(backoff, "LONGEST_DELAY", 2 * HOUR)


class Histories(RuleBasedStateMachine):
    """What may happen to four machines and their etcd."""

    line: type[Line] = Line
    clock: type[Clock] = Clock
    wire: type[Wire] = Wire
    prompt = math.inf

    def __init__(self) -> None:
        super().__init__()
        self.world = World(line=self.line, clock=self.clock, wire=self.wire, prompt=self.prompt)

    def teardown(self) -> None:
        self.world.close()

    def node(self, number: int) -> Node:
        return self.world.nodes[number]

    @initialize(running=st.sampled_from([0, 1, 4, 4, 4]))
    def some_run_already(self, running: int) -> None:
        """With all four there is always one that waits for another's subnet."""
        for node in self.world.nodes[:running]:
            node.start()

    @rule(number=NUMBERS)
    def start(self, number: int) -> None:
        if not self.node(number).runs:
            self.node(number).start()

    @rule(number=NUMBERS)
    def stop(self, number: int) -> None:
        if self.node(number).runs:
            self.node(number).stop()

    @rule(number=NUMBERS)
    def crash(self, number: int) -> None:
        if self.node(number).runs:
            self.node(number).crash()

    @rule(number=NUMBERS)
    def forget_the_subnet_file(self, number: int) -> None:
        self.node(number).subnet_file.unlink(missing_ok=True)

    @rule(number=NUMBERS)
    def pause(self, number: int) -> None:
        self.node(number).paused = True

    @rule(number=NUMBERS)
    def resume(self, number: int) -> None:
        self.node(number).paused = False
        self.world.settle()

    @rule(number=NUMBERS)
    def cut_off(self, number: int) -> None:
        node = self.node(number)
        if node.runs and not node.cut:
            node.cut = True
            node.line.lose()
            self.world.settle()

    @rule(number=NUMBERS)
    def reconnect(self, number: int) -> None:
        self.node(number).cut = False

    @rule(seconds=st.sampled_from([1.0, 60.0, HOUR, 12 * HOUR, 18 * HOUR, 23 * HOUR, 25 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(number=NUMBERS, seconds=st.sampled_from([-60.0 * MARGIN, -4 * HOUR, -1.0, 0.0, 1.0]))
    def time_passes_until_about_the_end_of_a_lease(self, number: int, seconds: float) -> None:
        end = self.node(number).wire.until + seconds
        if self.world.now < end < math.inf:
            self.world.advance(end - self.world.now)

    @rule(seconds=st.sampled_from([0.0, 60.0, HOUR]))
    def calls_take(self, seconds: float) -> None:
        self.world.latency = seconds

    @rule(seconds=st.sampled_from([0.0, 60.0, HOUR]))
    def the_kernel_takes(self, seconds: float) -> None:
        self.world.slowness = seconds

    @rule(leased=SUBNETS)
    def somebody_deletes_a_key(self, leased) -> None:
        if self.world.etcd.revision_of(leased) is not None:
            self.world.meddle(leased, lambda: self.world.etcd.delete(leased))

    @rule(leased=SUBNETS, number=NUMBERS, ttl=st.sampled_from([TTL, math.inf]))
    def somebody_writes_anothers_address(self, leased, number: int, ttl: float) -> None:
        public = LeaseAttrs(self.node(number).public)
        self.world.meddle(leased, lambda: self.world.etcd.put(leased, public, ttl=ttl))

    @rule(leased=SUBNETS)
    def a_stranger_takes_a_subnet(self, leased) -> None:
        self.world.meddle(leased, lambda: self.world.etcd.put(leased, STRANGER))

    @rule(leased=SUBNETS)
    def somebody_writes_junk(self, leased) -> None:
        self.world.meddle(leased, lambda: self.world.etcd.put_raw(key(leased), b"junk"))

    @rule()
    def history_is_compacted(self) -> None:
        self.world.etcd.compact()

    @rule()
    def etcd_restarts(self) -> None:
        self.world.etcd.break_watches()
        self.world.settle()

    @rule()
    def etcd_stops(self) -> None:
        self.world.etcd.reachable = False
        self.world.etcd.break_watches()
        self.world.settle()

    @rule()
    def etcd_is_back(self) -> None:
        self.world.etcd.reachable = True

    @rule(writable=st.booleans())
    def etcd_is_full_or_not(self, writable: bool) -> None:
        self.world.etcd.read_only = not writable

    @rule(number=NUMBERS, seconds=st.sampled_from([-7200.0, 7200.0, -25 * HOUR]))
    def the_time_of_day_jumps(self, number: int, seconds: float) -> None:
        self.node(number).jump += seconds

    @precondition(lambda self: self.world.etcd.reachable)
    @rule()
    def four_quiet_hours(self) -> None:
        """Who runs and is connected has then heard of everything."""
        self.world.latency = self.world.slowness = 0.0
        self.world.advance(4 * HOUR)
        self.world.check_connected()


def histories(machine: type[Histories], count: int, steps: int = 30, *, fresh: bool = False) -> None:
    """So many; the same each time unless they are to be fresh."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not fresh,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.search
def test_no_history_has_two_holders_of_one_subnet():
    # A portion at a time, for hypothesis remembers each history of a run.
    for begun in range(0, HISTORIES, PORTION):
        histories(Histories, min(PORTION, HISTORIES - begun), fresh=begun > 0)


class SlowKernels(Histories):
    """Backends that know no deadline and take seconds for all they do, as does etcd: what no machine can do
    in time, because it stands still, is left out."""

    wire = Routes
    prompt = claim.GUARD
    pause = resume = the_time_of_day_jumps = None  # type: ignore[assignment]

    @rule(seconds=st.sampled_from([0.0, 1.0, 3.0]))
    def calls_take(self, seconds: float) -> None:
        self.world.latency = seconds

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0]))
    def the_kernel_takes(self, seconds: float) -> None:
        self.world.slowness = seconds

    @rule(leased=SUBNETS, then=SUBNETS)
    def a_stranger_is_busy_and_takes_another_subnet(self, leased, then) -> None:
        """Changes of a peer, and of somebody's own lease behind them."""
        for number in range(20):
            busy = replace(STRANGER, backend_data={"number": number})
            self.world.meddle(leased, partial(self.world.etcd.put, leased, busy))
        self.world.meddle(then, lambda: self.world.etcd.put(then, STRANGER))


@pytest.mark.search
def test_with_slow_kernels_a_lost_lease_is_given_up_in_time():
    histories(SlowKernels, HISTORIES // 2)


class Overwriting(Line):
    """flannel's renewal: it puts the key, whatever is there (subnet/renew.go of v0.5.5)."""

    def write_anew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        found = self._reach().revision_of(held.lease.subnet)
        return super().write_anew(held if found is None else replace(held, revision=found), attrs)


class TimeOfDay(Clock):
    """A clock that goes as the machine's does."""

    def now(self) -> float:
        return self._node.time_of_day


class Forgetful(Line):
    """A renewal that says nothing but the address, as what an admin writes."""

    def write_anew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        return super().write_anew(held, replace(attrs, backend_data=None))


class WithForgetfulRenewal(Histories):
    line = Forgetful


class WithFlannelsRenewal(Histories):
    line = Overwriting


class WithTimeOfDay(Histories):
    clock = TimeOfDay


def test_the_model_finds_a_lease_that_does_not_say_what_peers_need():
    with pytest.raises(Violation, match="does not say how"):
        histories(WithForgetfulRenewal, 5000)


H = TypeVar("H", bound=Histories)

# Others take a search seconds or minutes to find. These are the shortest that it found.


def told(machine: type[H], story: Callable[[H], None]) -> None:
    """One history. Raises `Violation`."""
    happens = machine()
    try:
        story(happens)
    finally:
        happens.teardown()


def test_the_model_finds_a_lease_that_is_used_longer_than_it_lives(monkeypatch):
    def story(happens: Histories) -> None:
        happens.some_run_already(running=4)
        happens.cut_off(number=0)
        happens.time_passes(seconds=12 * HOUR)
        happens.time_passes(seconds=18 * HOUR)

    told(Histories, story)
    monkeypatch.setattr(claim, "TTL", 48 * HOUR)
    with pytest.raises(Violation, match="both act on"):
        told(Histories, story)


def test_the_model_finds_flannels_unconditional_renewal():
    def story(happens: Histories) -> None:
        happens.some_run_already(running=1)
        happens.calls_take(seconds=60.0)
        happens.time_passes_until_about_the_end_of_a_lease(number=0, seconds=-60.0 * MARGIN)
        happens.time_passes(seconds=60.0)
        happens.a_stranger_takes_a_subnet(leased=FIRST)
        happens.time_passes(seconds=60.0)

    told(Histories, story)
    with pytest.raises(Violation, match="renewed"):
        told(WithFlannelsRenewal, story)


def test_the_model_finds_a_deadline_that_is_kept_on_the_time_of_day():
    def story(happens: Histories) -> None:
        happens.some_run_already(running=4)
        happens.the_time_of_day_jumps(number=0, seconds=-7200.0)
        happens.four_quiet_hours()
        happens.cut_off(number=0)
        happens.time_passes(seconds=23 * HOUR)

    told(Histories, story)
    with pytest.raises(Violation, match="both act on"):
        told(WithTimeOfDay, story)


class InTurn(EventQueue):
    """Our own key has its turn when all that came earlier has had it."""

    def own(self) -> tuple[LeaseEvent, ...]:
        return () if self._waiting else super().own()

    def get_nowait(self) -> WatchMessage | None:
        return self._waiting.popleft()[1] if self._waiting else super().get_nowait()


def test_the_model_finds_a_lost_lease_that_waits_for_its_turn(monkeypatch):
    def story(happens: SlowKernels) -> None:
        happens.some_run_already(running=4)
        happens.the_kernel_takes(seconds=1.0)
        happens.a_stranger_is_busy_and_takes_another_subnet(leased=FIRST, then=SECOND)
        happens.time_passes(seconds=60.0)

    told(SlowKernels, story)
    monkeypatch.setattr(network, "EventQueue", InTurn)
    with pytest.raises(Violation, match="still acts on"):
        told(SlowKernels, story)


def test_the_model_finds_a_lease_whose_end_is_slept_through(monkeypatch):
    def story(happens: Histories) -> None:
        happens.some_run_already(running=4)
        happens.cut_off(number=0)
        happens.the_kernel_takes(seconds=1.0)
        happens.time_passes(seconds=12 * HOUR)
        happens.time_passes(seconds=18 * HOUR)

    told(SlowKernels, story)
    monkeypatch.setattr(lease_loop.LeaseLoop, "_capped_by_expiry", lambda _, seconds: seconds)
    with pytest.raises(Violation, match="both act on"):
        told(SlowKernels, story)
