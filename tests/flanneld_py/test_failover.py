"""Which endpoint a request goes to, and for how long its answer is waited for."""

import pytest

from flanneld_py.registry import AccessRefused, RegistryUnavailable
from flanneld_py.registry.access import Endpoint
from flanneld_py.registry.deadline import LONGEST, Deadline
from flanneld_py.registry.failover import Failover

USUAL = 2.0
ONE, TWO = Endpoint.of("http://one:2379"), Endpoint.of("http://two:2379")


class Connection:
    """One that a test's requests are made by."""

    def __init__(self, endpoint: Endpoint, deadline: Deadline) -> None:
        self.endpoint = endpoint
        self.deadline = deadline

    def close(self) -> None:
        """See `failover.Connection`."""


class Watch:
    """One under way."""

    def close(self) -> None:
        """See `failover.RunningWatch`."""

    def cut(self) -> None:
        """See `failover.RunningWatch`."""


class Etcd:
    """Each of the endpoints takes so many seconds for an answer, or refuses any."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.takes = {endpoint.url: 0.0 for endpoint in endpoints}
        self.refuses: set[str] = set()
        self.now = 0.0
        self.waited: list[float] = []
        """The deadlines that were missed."""
        self.failover = Failover(endpoints, Connection, USUAL, now=lambda: self.now)

    def act(self, connection: Connection) -> str:
        url, deadline = connection.endpoint.url, connection.deadline.seconds
        if url in self.refuses:
            raise RegistryUnavailable("connection refused")
        self.now += min(self.takes[url], deadline)
        if self.takes[url] >= deadline:
            self.waited.append(deadline)
            raise RegistryUnavailable("deadline exceeded")
        return url

    def fails(self, *, here: bool = False) -> None:
        with pytest.raises(RegistryUnavailable):
            (self.failover.here if here else self.failover.call)(self.act)


def test_who_answers_too_late_is_given_twice_the_time_and_no_more_than_so_often():
    etcd = Etcd(ONE)
    etcd.takes[ONE.url] = 1000.0
    for _ in range(5):
        etcd.fails()
    assert etcd.waited == [2.0, 4.0, 8.0, 8.0, 8.0]
    assert etcd.waited[-1] == LONGEST * USUAL


def test_a_slow_endpoint_is_heard_in_the_end_and_after_its_answers_the_time_is_as_usual_again():
    etcd = Etcd(ONE)
    etcd.takes[ONE.url] = 3.0
    etcd.fails()
    assert etcd.failover.call(etcd.act) == ONE.url  # within 4 s
    etcd.fails()  # 2 s again: too little
    assert etcd.failover.call(etcd.act) == ONE.url
    etcd.takes[ONE.url] = 0.1
    for _ in range(3):
        etcd.failover.call(etcd.act)
    etcd.takes[ONE.url] = 1000.0
    etcd.waited.clear()
    etcd.fails()
    assert etcd.waited == [USUAL]


def test_a_watch_that_begins_is_no_answer():
    etcd = Etcd(ONE)
    etcd.takes[ONE.url] = 1000.0
    etcd.fails()
    etcd.failover.watch(lambda _: Watch())
    etcd.fails()
    assert etcd.waited == [2.0, 4.0]


def test_one_endpoint_that_is_silent_costs_the_usual_time_as_long_as_another_answers():
    etcd = Etcd(ONE, TWO)
    etcd.takes[ONE.url] = 1000.0
    assert etcd.failover.call(etcd.act) == TWO.url
    etcd.takes = {ONE.url: 0.0, TWO.url: 1000.0}
    etcd.fails(here=True)  # a probe of the one in use
    assert etcd.failover.call(etcd.act) == ONE.url
    etcd.takes = {ONE.url: 1000.0, TWO.url: 0.0}
    assert etcd.failover.call(etcd.act) == TWO.url
    assert etcd.waited == [USUAL] * 3


def test_where_none_of_several_answers_in_time_all_are_given_more():
    etcd = Etcd(ONE, TWO)
    etcd.takes = dict.fromkeys(etcd.takes, 1000.0)
    etcd.fails()
    etcd.fails()
    assert etcd.waited == [2.0, 2.0, 4.0, 4.0]


def test_who_refuses_at_once_is_not_waited_for_any_longer():
    etcd = Etcd(ONE)
    etcd.refuses.add(ONE.url)
    for _ in range(3):
        etcd.fails()
    etcd.refuses.clear()
    etcd.takes[ONE.url] = 1000.0
    etcd.fails()
    assert etcd.waited == [USUAL]


def test_a_probe_of_the_only_endpoint_counts_as_any_other_request():
    etcd = Etcd(ONE)
    etcd.takes[ONE.url] = 3.0
    etcd.fails(here=True)
    assert etcd.failover.here(etcd.act) == ONE.url


def test_of_several_reasons_that_of_a_refused_access_decides_what_it_is():
    etcd = Etcd(ONE, TWO)

    def act(connection: Connection) -> None:
        raise (AccessRefused if connection.endpoint == ONE else RegistryUnavailable)("no")

    with pytest.raises(AccessRefused, match="http://one:2379: no; http://two:2379: no"):
        etcd.failover.call(act)
