"""MySQL from each pod to every other one over the overlay, where the right pod answers [4.1]."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.checks.expected import masquerades
from lab.checks.finding import Comparison, Subject, compare, equal, unknown
from lab.checks.hidden import who_may_hide
from lab.checks.registry import Layer, check
from lab.checks.values import Data, Failure, Text, Value
from lab.observe import PASSWORD, Login, Observation, Silent, Topic, known

NOT_TRIED = "not tried: one of the two pods does not run"


@dataclass(frozen=True, slots=True)
class Server:
    """A MySQL server, as it identifies itself."""

    host: str
    version: str = ""
    """Empty for any."""

    @property
    def data(self) -> Data:
        """As the server reports it."""
        return {"host": self.host} | ({"version": self.version} if self.version else {})

    @property
    def text(self) -> str:
        """For a person."""
        return f"MySQL {self.version} on host {self.host}" if self.version else f"MySQL on host {self.host}"


def _pairs(seen: Observation) -> Iterator[Subject]:
    """The pairs of pods that have, or must have, MySQL's client and server, and are to reach each other."""
    wanted = [*seen.spec.pods, *(pod.spec for pod in seen.pods)]
    apart = {pod.name for pod in seen.pods if not seen.node_spec(pod.node).in_overlay}
    names = sorted({pod.name for pod in wanted if PASSWORD in pod.environment} - apart)
    home = {pod.name: pod.node for pod in seen.pods}
    for one in names:
        for other in names:
            known = one in home and other in home
            if one != other and (not known or seen.is_led(home[one], home[other])):
                yield Subject("podPair", (one, other))


def _tried(seen: Observation, way: str) -> dict[tuple[str, ...], Login]:
    return {
        (login.client, login.server): login
        for node in seen.nodes.values()
        for login in known(node.logins) or ()
        if login.way == way
    }


def _logins(seen: Observation, way: str) -> Iterator[Comparison]:
    tried = _tried(seen, way)
    for subject in _pairs(seen):
        client, server = subject.names
        login, expected = tried.get(subject.names), Server(server)
        if login is not None:
            found: Value = Failure(login.error) if login.error else Server(login.host, login.version)
            yield compare(subject, login.host == server and bool(login.version), expected, found)
        elif (why := _unknown(seen, client, server)) is not None:
            yield unknown(subject, expected, f"not tried: {why}")
        else:
            yield compare(subject, False, expected, Failure(NOT_TRIED))


def _unknown(seen: Observation, client: str, server: str) -> str | None:
    """Why it is not known whether they could log in (a node is silent); None if it is known."""
    pod = seen.pod(client)
    if pod is not None and isinstance(seen.nodes[pod.node].logins, Silent):
        return f"{pod.node} does not say"
    return who_may_hide(seen, client) or who_may_hide(seen, server)


def _sources(seen: Observation, way: str) -> Iterator[Comparison]:
    """Nothing is compared where Docker masquerades: there, the server sees the machine's address."""
    tried = _tried(seen, way)
    for subject in _pairs(seen):
        login, client = tried.get(subject.names), seen.pod(subject.names[0])
        if login is None or login.error or client is None or not masquerades(seen, client.node):
            continue
        yield equal(subject, Text(str(client.address)), Text(login.source))


NEEDS = {Topic.PODS, Topic.LOGINS}
SOURCE = (
    "only if the client's flanneld has `-ip-masq`: the server sees the client pod's own address (`USER()`, "
    "as in the process list). Without it, Docker masquerades, and the server sees the machine"
)


@check(
    "login.mysql",
    "login with mysql",
    layer=Layer.LOGIN,
    on="pair of pods",
    expects="`mysql -uroot -hADDRESS` inside one pod reaches the MySQL server of the other: `@@hostname` is "
    "its name",
    needs=NEEDS,
)
def mysql(seen: Observation) -> Iterator[Comparison]:
    """The tutorial's own client."""
    yield from _logins(seen, "mysql")


@check(
    "login.pymysql",
    "login with pymysql",
    layer=Layer.LOGIN,
    on="pair of pods",
    expects="the same with pymysql, on the node, in the pod's network namespace",
    needs=NEEDS,
)
def pymysql(seen: Observation) -> Iterator[Comparison]:
    """Another client."""
    yield from _logins(seen, "pymysql")


@check(
    "source.mysql",
    "source with mysql",
    layer=Layer.LOGIN,
    on="pair of pods",
    expects=SOURCE,
    needs=NEEDS,
)
def mysql_source(seen: Observation) -> Iterator[Comparison]:
    """With -ip-masq a pod's address is not hidden from other pods."""
    yield from _sources(seen, "mysql")


@check(
    "source.pymysql",
    "source with pymysql",
    layer=Layer.LOGIN,
    on="pair of pods",
    expects="the same with pymysql",
    needs=NEEDS,
)
def pymysql_source(seen: Observation) -> Iterator[Comparison]:
    """The same."""
    yield from _sources(seen, "pymysql")
