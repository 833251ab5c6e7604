"""Asking a lab's machines: one command each, all at the same time."""

import json
from collections.abc import Mapping, Sequence

from lab import together
from lab.access import LabAccess, NodeAccess
from lab.checks.facts import LOGIN_WAYS, PASSWORD, Facts, Link, Login, Minion, Output, Ping
from lab.checks.parse import (
    parse_fdb,
    parse_leases,
    parse_leases_v2,
    parse_links,
    parse_login,
    parse_neighbours,
    parse_ping,
    parse_routes,
)
from lab.errors import LabError
from lab.pods import RunningPod
from lab.services import parse_services, show_argv
from lab.spec import LabSpec

__all__ = ["collect", "mysql_argv", "run_batch"]

QUERY = "SELECT @@hostname, VERSION(), USER()"
LIMIT = "10"
"""Seconds for any one question to a machine."""

LEASE_PARSERS = {"v2": parse_leases_v2, "v3": parse_leases}

# Runs on the machine, so that a dozen questions cost one call of the engine (0.1 s each on a busy machine).
BATCH = """\
import json, subprocess, sys
jobs = {name: subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, errors="replace")
        for name, argv in json.load(sys.stdin).items()}
ends = {name: (*job.communicate(), job.returncode) for name, job in jobs.items()}
print(json.dumps(ends))
"""

# etcd keeps the time that is left with the etcd lease, not with the key.
LEASES = """\
import json, subprocess, sys
def ask(*words):
    return json.loads(subprocess.check_output(["etcdctl", *words, "-w", "json"]))
answer = ask("get", "--prefix", sys.argv[1])
held = {item["lease"] for item in answer.get("kvs", ()) if item.get("lease")}
answer["ttl"] = {str(lease): ask("lease", "timetolive", format(lease, "x"))["ttl"] for lease in held}
print(json.dumps(answer))
"""

# The v2 store's answer holds the time that is left. 404 is an answer as well: no key yet.
LEASES_V2 = """\
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(f"http://127.0.0.1:2379/v2/keys{sys.argv[1]}?quorum=true", timeout=5)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.write(answer.read().decode())
"""

PYMYSQL = """\
import os, pymysql, sys
password = os.environ["MYSQL_PWD"]
server = pymysql.connect(host=sys.argv[1], user="root", password=password, connect_timeout=5)
with server, server.cursor() as cursor:
    cursor.execute(sys.argv[2])
    print(*cursor.fetchone(), sep="\\t")
"""


def run_batch(node: NodeAccess, commands: Mapping[str, Sequence[str]]) -> dict[str, Output]:
    """Run commands on a machine, all at once, in one call of the engine; each has 10 s. Raises `LabError`."""
    jobs = {name: ["timeout", LIMIT, *argv] for name, argv in commands.items()}
    result = node.run(["/usr/bin/python3", "-c", BATCH], stdin=json.dumps(jobs).encode())
    return {name: Output(code, out, err) for name, (out, err, code) in json.loads(result.text).items()}


def mysql_argv(pod: RunningPod, server: RunningPod, *options: str) -> list[str]:
    """The tutorial's `mysql -uroot -p -hADDRESS` inside a pod, the password typed by its environment."""
    client = next(item for item in pod.spec.containers if PASSWORD in item.environment)
    password = server.spec.environment[PASSWORD]
    return [
        *("docker", "exec", "--env", f"MYSQL_PWD={password}", pod.container(client.name)),
        *("mysql", "-uroot", f"-h{server.address}", *options),
    ]


def collect(lab: LabAccess) -> Facts:
    """Everything that the checks look at. Raises `LabError` when a machine cannot be asked."""
    pods = tuple(lab.pods())
    spec = lab.spec
    programs = {node.name for node in spec.nodes if node.flanneld.program is not None}
    master, minions = lab.master, lab.minions
    nodes = [master, *minions]
    questions = [_ask_etcd(spec), *(_ask_minion(node, pods, node.name in programs) for node in minions)]
    replies = together.each(lambda asked: run_batch(*asked), list(zip(nodes, questions, strict=True)))
    answers = {node.name: reply for node, reply in zip(nodes, replies, strict=True)}
    etcd = answers[master.name]
    return Facts(
        spec=spec,
        underlay=lab.underlay,
        config=_text(master, "etcdctl get config", etcd["config"]).removesuffix("\n"),
        leases=LEASE_PARSERS[spec.etcd_api](_text(master, "reading the leases", etcd["leases"])),
        minions=tuple(_minion(node, answers[node.name]) for node in minions),
        pods=pods,
        pod_links={pod.name: _pod_links(pod, answers[pod.node]) for pod in pods},
        logins=tuple(login for name in answers for login in _logins(answers[name])),
        pings=tuple(ping for name in answers for ping in _pings(answers[name])),
        services={
            node.name: parse_services(
                node.role, _text(node, "systemctl show", answers[node.name]["services"])
            )
            for node in nodes
        },
    )


def _ask_etcd(spec: LabSpec) -> dict[str, Sequence[str]]:
    prefix = spec.etcd_prefix
    if spec.etcd_api == "v2":
        return {
            "services": show_argv("master"),
            "config": ["etcdctl", "get", f"{prefix}/config"],
            "leases": ["/usr/bin/python3", "-c", LEASES_V2, f"{prefix}/subnets"],
        }
    return {
        "services": show_argv("master"),
        "config": ["etcdctl", "get", "--print-value-only", f"{prefix}/config"],
        "leases": ["/usr/bin/python3", "-c", LEASES, f"{prefix}/subnets/"],
    }


def _ask_minion(node: NodeAccess, pods: Sequence[RunningPod], foreign: bool) -> dict[str, Sequence[str]]:
    questions: dict[str, Sequence[str]] = {
        "services": show_argv("minion"),
        "links": ["ip", "-json", "address", "show"],
        "routes": ["ip", "-4", "route", "show"],
        "neighbours": ["ip", "-4", "-json", "neighbour", "show"],
        "fdb": ["bridge", "-json", "fdb", "show"],
        "subnet.env": ["cat", "/run/flannel/subnet.env"],
    }
    if foreign:
        questions["version"] = ["flanneld", "-version"]
    servers = [pod for pod in pods if PASSWORD in pod.spec.environment and pod.address is not None]
    for pod in pods:
        if pod.node != node.name or not pod.infra_pid:
            continue
        inside = ["nsenter", "--target", str(pod.infra_pid), "--net"]
        questions[f"links {pod.name}"] = [*inside, "ip", "-json", "address", "show"]
        for other in pods if pod.status == "Running" else ():
            if other is not pod and other.address is not None and other.status == "Running":
                # Once a second, until there is an answer: flannel 0.5.5 may lose the first one (vxlan).
                probe = ["ping", "-n", "-c", "1", "-w", "5", str(other.address)]
                questions[f"ping {pod.name} {other.name}"] = [*inside, *probe]
        for server in servers:
            if server is not pod and pod in servers:
                password = f"MYSQL_PWD={server.spec.environment[PASSWORD]}"
                probe = ["/usr/bin/python3", "-c", PYMYSQL, str(server.address), QUERY]
                questions[f"mysql {pod.name} {server.name}"] = _client(pod, server)
                questions[f"pymysql {pod.name} {server.name}"] = [*inside, "env", password, *probe]
    return questions


def _client(pod: RunningPod, server: RunningPod) -> Sequence[str]:
    try:
        return mysql_argv(
            pod, server, "--connect-timeout=5", "--batch", "--skip-column-names", f"--execute={QUERY}"
        )
    except LabError as error:  # the client's container has gone: that is how this login ends
        return ["sh", "-c", 'echo "$0" >&2; exit 1', error.message]


def _minion(node: NodeAccess, answers: Mapping[str, Output]) -> Minion:
    env = answers["subnet.env"]
    return Minion(
        name=node.name,
        address=node.address,
        links=parse_links(_text(node, "ip -json address show", answers["links"])),
        routes=parse_routes(_text(node, "ip -4 route show", answers["routes"])),
        subnet_env=env.stdout if env.exit_code == 0 else env.error,
        version=answers["version"].error if "version" in answers else "",
        neighbours=parse_neighbours(_text(node, "ip neighbour show", answers["neighbours"])),
        fdb=parse_fdb(_text(node, "bridge fdb show", answers["fdb"])),
    )


def _pod_links(pod: RunningPod, answers: Mapping[str, Output]) -> Mapping[str, Link]:
    """None of them when the pod has ended since it was listed."""
    answer = answers.get(f"links {pod.name}")
    return parse_links(answer.stdout) if answer is not None and answer.exit_code == 0 else {}


def _logins(answers: Mapping[str, Output]) -> list[Login]:
    found = []
    for name, output in answers.items():
        way, _, pair = name.partition(" ")
        if way in LOGIN_WAYS:
            client, server = pair.split(" ")
            found.append(parse_login(client, server, way, output))
    return found


def _pings(answers: Mapping[str, Output]) -> list[Ping]:
    asked = [(name.split(" "), output) for name, output in answers.items() if name.startswith("ping ")]
    return [parse_ping(client, server, output) for (_, client, server), output in asked]


def _text(node: NodeAccess, what: str, output: Output) -> str:
    if output.exit_code != 0:
        raise LabError(f"{node.name}: {what}: {output.error}")
    return output.stdout
