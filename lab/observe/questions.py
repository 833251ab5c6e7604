"""The questions for each node: commands, keyed by the name that their output is looked up by. Pure."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lab.errors import LabError
from lab.inside import program
from lab.node.etcd import CA, CERTIFICATE, KEY, own_endpoint
from lab.node.services import show_argv
from lab.observe import inside
from lab.observe.model import PASSWORD, Topic
from lab.pods import RunningPod, list_argv
from lab.spec import LabSpec, NodeSpec
from lab.spec.segment import Family

__all__ = ["PINGS", "Questions", "mysql_argv", "of_check", "of_node", "of_pods"]

PINGS: Mapping[Family, str] = {4: "ping", 6: "ping6"}
"""What the question of a pod's ping is called, before the two pods."""

Questions = Mapping[str, Sequence[str] | Mapping[str, Any]]
"""Commands; or mappings of argv and within, for one with a deadline of its own, in seconds."""

QUERY = "SELECT @@hostname, VERSION(), USER()"


def of_node(spec: LabSpec, node: NodeSpec, topics: Collection[Topic], seconds: float) -> Questions:
    """The questions for a node that do not depend on any other node's answer.

    `seconds` is the limit for an answer over the network, and for a flanneld to print its version.
    """
    asked: dict[str, Sequence[str] | Mapping[str, Any]] = {}
    if Topic.SERVICES in topics:
        asked[Topic.SERVICES.value] = show_argv(node.watched)
    if node.runs("etcd"):
        asked |= _asked(_of_etcd(spec, seconds), topics)
    if node.runs("flanneld"):
        asked |= _asked(OF_FLANNELD, topics)
        if spec.has_ipv6:
            asked |= _asked(OF_IPV6, topics)
        foreign = node.flanneld.program is not None
        if Topic.VERSION in topics or (foreign and Topic.DIALECT in topics):
            limit = str(math.ceil(seconds))
            asked[Topic.VERSION.value] = ["timeout", "--signal=KILL", limit, "flanneld", "-version"]
    if node.runs("docker") and Topic.LINKS in topics:
        asked[Topic.LINKS.value] = OF_FLANNELD[Topic.LINKS]
    if node.runs("docker") and Topic.PODS in topics:
        asked[Topic.PODS.value] = list_argv()
    if Topic.COMMANDS in topics:
        for item in spec.checks:
            if item.node == node.name:
                asked[of_check(item.name)] = {"argv": item.run, "within": item.within}
    return asked


def of_check(check: str) -> str:
    """The name of the question that a check of the lab file asks."""
    return f"check {check}"


OF_FLANNELD: Mapping[Topic, Sequence[str]] = {
    Topic.LINKS: ["ip", "-json", "address", "show"],
    Topic.ROUTES: ["ip", "-4", "route", "show"],
    Topic.NEIGHBOURS: ["ip", "-json", "neighbour", "show"],
    Topic.FDB: ["bridge", "-json", "fdb", "show"],
    Topic.SUBNET_ENV: ["cat", "/run/flannel/subnet.env"],
}

OF_IPV6: Mapping[Topic, Sequence[str]] = {Topic.ROUTES6: ["ip", "-6", "route", "show"]}


def _asked(every: Mapping[Topic, Sequence[str]], topics: Collection[Topic]) -> Questions:
    return {topic.value: argv for topic, argv in every.items() if topic in topics}


def _of_etcd(spec: LabSpec, seconds: float) -> Mapping[Topic, Sequence[str]]:
    prefix = spec.etcd_prefix
    if spec.etcd_api == "v2":
        url = f"{own_endpoint(spec)}/v2/keys{prefix}/subnets?quorum=true"
        certificates = (CA, CERTIFICATE, KEY) if spec.etcd.tls else ()
        return {
            Topic.CONFIG: ["etcdctl", "get", f"{prefix}/config"],
            Topic.LEASES: program(inside, "leases_v2", url, str(seconds), *certificates),
        }
    return {
        Topic.CONFIG: ["etcdctl", "get", "--print-value-only", f"{prefix}/config"],
        Topic.LEASES: program(inside, "leases", f"{prefix}/subnets/"),
    }


def of_pods(
    name: str,
    pods: Sequence[RunningPod],
    topics: Collection[Topic],
    seconds: float,
    reached: Collection[str],
    families: Collection[Family] = (4,),
) -> Questions:
    """The questions for the pods of the node `name`, and what these try with other pods.

    `reached` are the nodes whose pods are expected to reach each other, `families` the overlay's.
    """
    limit = str(math.ceil(seconds))
    questions: dict[str, Sequence[str]] = {}
    by = next(iter(families))
    servers = [pod for pod in pods if PASSWORD in pod.spec.environment and pod.of(by) is not None]
    for pod in pods:
        if pod.node != name or not pod.infra_pid:
            continue
        network = ["nsenter", "--target", str(pod.infra_pid), "--net"]
        if Topic.POD_LINKS in topics:
            questions[f"links {pod.name}"] = [*network, "ip", "-json", "address", "show"]
        others = [other for other in pods if name == other.node or {name, other.node} <= set(reached)]
        for other in others if pod.status == "Running" and Topic.PINGS in topics else ():
            for family in families:
                target = other.of(family)
                if other is not pod and target is not None and other.status == "Running":
                    # Once a second, until there is an answer: flannel 0.5.5 may lose the first one (vxlan).
                    probe = ["ping", "-n", "-c", "1", "-w", limit, str(target)]
                    questions[f"{PINGS[family]} {pod.name} {other.name}"] = [*network, *probe]
        for server in servers if Topic.LOGINS in topics else ():
            if server is not pod and pod in servers and server in others:
                password = f"MYSQL_PWD={server.spec.environment[PASSWORD]}"
                probe = program(inside, "login", str(server.of(by)), QUERY, limit, packages=True)
                questions[f"mysql {pod.name} {server.name}"] = _client(pod, server, str(server.of(by)), limit)
                questions[f"pymysql {pod.name} {server.name}"] = [*network, "env", password, *probe]
    return questions


def mysql_argv(pod: RunningPod, server: RunningPod, *options: str, at: str = "") -> list[str]:
    """The tutorial's `mysql -uroot -p -hADDRESS` inside a pod, with the password from the environment."""
    client = next(item for item in pod.spec.containers if PASSWORD in item.environment)
    password = server.spec.environment[PASSWORD]
    return [
        *("docker", "exec", "--env", f"MYSQL_PWD={password}", pod.container(client.name)),
        *("mysql", "-uroot", f"-h{at or server.address}", *options),
    ]


def _client(pod: RunningPod, server: RunningPod, at: str, limit: str) -> Sequence[str]:
    options = (f"--connect-timeout={limit}", "--batch", "--skip-column-names", f"--execute={QUERY}")
    try:
        return mysql_argv(pod, server, *options, at=at)
    except LabError as error:  # the client's container is gone: the login fails with that
        return ["sh", "-c", 'echo "$0" >&2; exit 1', error.message]
