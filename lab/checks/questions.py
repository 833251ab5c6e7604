"""What each machine is asked: commands, by the name under which their output is looked up. Pure."""

import math
from collections.abc import Mapping, Sequence

from lab.checks.facts import PASSWORD
from lab.errors import LabError
from lab.pods import RunningPod
from lab.spec import LabSpec

__all__ = ["Questions", "mysql_argv", "of_etcd", "of_minion"]

Questions = Mapping[str, Sequence[str]]

QUERY = "SELECT @@hostname, VERSION(), USER()"

# etcd keeps the time that is left with the etcd lease, not with the key.
LEASES = """\
import json, subprocess, sys
def ask(*words):
    done = subprocess.run(["etcdctl", *words, "-w", "json"], stdout=subprocess.PIPE)
    return json.loads(done.stdout) if done.returncode == 0 else sys.exit(1)
answer = ask("get", "--prefix", sys.argv[1])
held = {item["lease"] for item in answer.get("kvs", ()) if item.get("lease")}
answer["ttl"] = {str(lease): ask("lease", "timetolive", format(lease, "x"))["ttl"] for lease in held}
print(json.dumps(answer))
"""

# The v2 store's answer holds the time that is left. 404 is an answer as well: no key yet.
LEASES_V2 = """\
import sys, urllib.error, urllib.request
try:
    key, seconds = sys.argv[1], float(sys.argv[2])
    answer = urllib.request.urlopen(f"http://127.0.0.1:2379/v2/keys{key}?quorum=true", timeout=seconds)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.write(answer.read().decode())
"""

PYMYSQL = """\
import os, pymysql, sys
password = os.fsencode(os.environ["MYSQL_PWD"])  # pymysql itself would make Latin-1 of it
server = pymysql.connect(host=sys.argv[1], user="root", password=password, connect_timeout=int(sys.argv[3]))
with server, server.cursor() as cursor:
    cursor.execute(sys.argv[2])
    print(*cursor.fetchone(), sep="\\t")
"""


def of_etcd(spec: LabSpec, seconds: float) -> Questions:
    """flannel's keys in etcd; `seconds`: for an answer over the network."""
    prefix = spec.etcd_prefix
    if spec.etcd_api == "v2":
        return {
            "config": ["etcdctl", "get", f"{prefix}/config"],
            "leases": ["/usr/bin/python3", "-c", LEASES_V2, f"{prefix}/subnets", str(seconds)],
        }
    return {
        "config": ["etcdctl", "get", "--print-value-only", f"{prefix}/config"],
        "leases": ["/usr/bin/python3", "-c", LEASES, f"{prefix}/subnets/"],
    }


def of_minion(name: str, pods: Sequence[RunningPod], seconds: float, *, foreign: bool) -> Questions:
    """Its network, and from each of its pods, pings and logins to every other one.

    `seconds` is for an answer over the network, and for somebody's own flanneld to say which one it is.
    """
    limit = str(math.ceil(seconds))
    questions: dict[str, Sequence[str]] = {
        "links": ["ip", "-json", "address", "show"],
        "routes": ["ip", "-4", "route", "show"],
        "neighbours": ["ip", "-4", "-json", "neighbour", "show"],
        "fdb": ["bridge", "-json", "fdb", "show"],
        "subnet.env": ["cat", "/run/flannel/subnet.env"],
    }
    if foreign:
        questions["version"] = ["timeout", "--signal=KILL", limit, "flanneld", "-version"]
    servers = [pod for pod in pods if PASSWORD in pod.spec.environment and pod.address is not None]
    for pod in pods:
        if pod.node != name or not pod.infra_pid:
            continue
        inside = ["nsenter", "--target", str(pod.infra_pid), "--net"]
        questions[f"links {pod.name}"] = [*inside, "ip", "-json", "address", "show"]
        for other in pods if pod.status == "Running" else ():
            if other is not pod and other.address is not None and other.status == "Running":
                # Once a second, until there is an answer: flannel 0.5.5 may lose the first one (vxlan).
                probe = ["ping", "-n", "-c", "1", "-w", limit, str(other.address)]
                questions[f"ping {pod.name} {other.name}"] = [*inside, *probe]
        for server in servers:
            if server is not pod and pod in servers:
                password = f"MYSQL_PWD={server.spec.environment[PASSWORD]}"
                probe = ["/usr/bin/python3", "-c", PYMYSQL, str(server.address), QUERY, limit]
                questions[f"mysql {pod.name} {server.name}"] = _client(pod, server, limit)
                questions[f"pymysql {pod.name} {server.name}"] = [*inside, "env", password, *probe]
    return questions


def mysql_argv(pod: RunningPod, server: RunningPod, *options: str) -> list[str]:
    """The tutorial's `mysql -uroot -p -hADDRESS` inside a pod, the password typed by its environment."""
    client = next(item for item in pod.spec.containers if PASSWORD in item.environment)
    password = server.spec.environment[PASSWORD]
    return [
        *("docker", "exec", "--env", f"MYSQL_PWD={password}", pod.container(client.name)),
        *("mysql", "-uroot", f"-h{server.address}", *options),
    ]


def _client(pod: RunningPod, server: RunningPod, limit: str) -> Sequence[str]:
    options = (f"--connect-timeout={limit}", "--batch", "--skip-column-names", f"--execute={QUERY}")
    try:
        return mysql_argv(pod, server, *options)
    except LabError as error:  # the client's container has gone: that is how this login ends
        return ["sh", "-c", 'echo "$0" >&2; exit 1', error.message]
