"""flanneld among thousands: how long until all peers are programmed, and how much memory that takes.

Each measurement is of one program on one host, a network namespace inside a container without a network;
etcd is in the same container. With a reference, its rounds alternate with ours.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from lab.engine import Engine, FileContent
from tests.bench.report import line, ratio
from tests.kernel.container import open_container
from tests.kernel.harness import ETCD, PREFIX, Sandbox

__all__ = ["measure"]

PEERS = 4000
CURVE = (100, 1000, 4000, 10_000)
PAST = (100, 1000, 10_000)
DAEMONS = 50
OURS, THEIRS = "/usr/bin/flanneld", "/usr/lib/reference/flanneld"

# Writes leases of N peers to etcd: arguments are N, the backend's name and the prefix.
FILL = """
import json, os, sys
sys.path.insert(0, "/usr/lib/flanneld")
from flanneld_py.registry.etcd.library import etcd3
count, backend, prefix = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = etcd3.client("127.0.0.1", 2379)
lease = client.lease(86400)
for start in range(0, count, 100):
    puts = []
    for number in range(start, min(start + 100, count)):
        value = {"PublicIP": f"192.168.{100 + number // 250}.{number % 250 + 1}", "PublicIPv6": None}
        if backend != "udp":
            value["BackendType"] = backend
        if backend == "vxlan":
            mac = "02:00:%02x:%02x:%02x:%02x" % tuple(number.to_bytes(4, "big"))
            value["BackendData"] = {"VNI": 1, "VtepMAC": mac}
        key = f"{prefix}/subnets/10.{64 + number // 250}.{number % 250 + 1}.0-24"
        puts.append(client.transactions.put(key, json.dumps(value), lease=lease))
    client.transaction([], puts, [])
"""

# Runs in the host's namespace: starts a flanneld and waits for N routes to peers. Prints as JSON the seconds
# until then, resident memory in MB (VmRSS, proc(5)), and the seconds from the writing of one more lease
# until its route is there. Arguments: N, etcd's endpoint, the last lease's key and value, the program and
# its arguments.
PROBE = """
import json, os, signal, subprocess, sys, time
count, endpoint, key, value, *argv = sys.argv[1:]
def until(wanted, timeout, pause):
    deadline = time.monotonic() + timeout
    while (seen := table()) < wanted:
        if daemon.poll() is not None or time.monotonic() > deadline:
            daemon.kill()
            sys.exit(f"{seen} of {wanted} routes: {open('/run/probe.log').read()[-300:]}")
        time.sleep(pause)
def table():
    with open("/proc/net/route", "rb") as file:
        return file.read().count(b"\\t00FFFFFF\\t")
before = table()
with open("/run/probe.log", "w") as log:
    began = time.monotonic()
    daemon = subprocess.Popen(argv, stderr=log)
until(before + int(count), 300, 0.01)
ready = time.monotonic() - began
memory = int(open(f"/proc/{daemon.pid}/status").read().partition("VmRSS:")[2].split()[0]) / 1000
etcdctl = ["etcdctl", "--endpoints=" + endpoint]
lease = subprocess.check_output([*etcdctl, "lease", "grant", "86400"], text=True).split()[1]
subprocess.run([*etcdctl, "put", "--lease=" + lease, key], input=value.encode(), stdout=subprocess.DEVNULL)
began = time.monotonic()
until(before + int(count) + 1, 10, 0.001)
joined = time.monotonic() - began
daemon.send_signal(signal.SIGTERM)
daemon.wait(30)
print(json.dumps([ready, memory, joined]))
"""

# Runs in the host's namespace: starts a flanneld, lets N peers come and go, then has 200 more come, one by
# one and 20 a second, and at last overwrites the daemon's own key. Prints as JSON the CPU time of an event in
# seconds (proc(5)), and the seconds until the overwritten key was given up. Arguments: N, the prefix, the
# file for subnet.env, the program and its arguments.
PAST_PROBE = """
import json, os, subprocess, sys, time, urllib.request
sys.path.insert(0, "/usr/lib/flanneld")
from flanneld_py.registry.etcd.library import etcd3
count, prefix, env, *argv = sys.argv[1:]
count, more = int(count), 200
client = etcd3.client("192.168.50.1", 2379)
lease = client.lease(86400)
def key(number):
    return f"{prefix}/subnets/10.{64 + number // 250}.{number % 250 + 1}.0-24"
def value(number):
    return json.dumps({"PublicIP": f"192.168.{100 + number // 250}.{number % 250 + 1}", "PublicIPv6": None})
def peers():
    with urllib.request.urlopen("http://127.0.0.1:9000/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("flanneld_peers{")).split()[-1])
def cpu():
    fields = open(f"/proc/{daemon.pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
def log():
    return open("/run/past.log").read()
def until(done, pause):
    deadline = time.monotonic() + 300
    while not done():
        if daemon.poll() is not None or time.monotonic() > deadline:
            daemon.kill()
            sys.exit(log()[-300:])
        time.sleep(pause)
with open("/run/past.log", "w") as file:
    daemon = subprocess.Popen([*argv, "-healthz-ip=127.0.0.1", "-healthz-port=9000"], stderr=file)
until(lambda: os.path.exists(env), 0.05)
come = lambda at: client.transactions.put(key(at), value(at), lease=lease)
go = lambda at: client.transactions.delete(key(at))
for act, left in ((come, count), (go, 0)):
    for start in range(0, count, 100):
        client.transaction([], [act(at) for at in range(start, min(start + 100, count))], [])
    until(lambda: peers() == left, 0.1)
began, spent = time.monotonic(), cpu()
for at in range(more):
    client.put(key(count + at), value(count + at), lease=lease)
    time.sleep(max(0, began + (at + 1) / 20 - time.monotonic()))
# Of the same time for all, however long the last of them takes.
event = (cpu() - spent) / more
until(lambda: peers() == more, 0.1)
own = next(line for line in open(env) if line.startswith("FLANNEL_SUBNET=")).strip().partition("=")[2]
began = time.monotonic()
client.put(f"{prefix}/subnets/" + own.replace(".1/24", ".0-24"), value(count + more), lease=lease)
until(lambda: " lost: " in log(), 0.01)
fenced = time.monotonic() - began
daemon.terminate()
daemon.wait(30)
print(json.dumps([event, fenced]))
"""

# Starts one flanneld in each of the named namespaces at once and waits for as many leases.
HERD = """
import subprocess, sys, time
prefix, program, endpoint, *hosts = sys.argv[1:]
began = time.monotonic()
daemons = [
    subprocess.Popen(
        ["ip", "netns", "exec", host, program, "-etcd-endpoints=" + endpoint, "-iface=eth0",
         "-iptables-forward-rules=false", "-subnet-file=/run/herd/" + host + "/subnet.env"],
        stderr=subprocess.DEVNULL)
    for host in hosts
]
count = ["etcdctl", "get", "--prefix", prefix + "/subnets/", "--count-only", "--write-out=fields"]
while True:
    out = subprocess.run(count, capture_output=True, text=True).stdout
    leases = int(out.partition('"Count" :')[2].split()[0])
    if leases >= len(hosts) or time.monotonic() - began > 120:
        break
    time.sleep(0.1)
print(leases, time.monotonic() - began)
for daemon in daemons:
    daemon.terminate()
for daemon in daemons:
    daemon.wait()
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds until all peers are programmed, resident memory in MB, seconds for one more peer."""

    ready: float
    memory: float
    joined: float


def measure(engine: Engine, rounds: int, reference: Path | None) -> None:
    """All of it, in a container of its own."""
    with open_container(engine) as sandbox:
        if reference is not None:
            sandbox.put({THEIRS: FileContent(reference.read_bytes(), mode=0o755)})
        for backend, share in (("vxlan", 0.5), ("host-gw", 0.1)):
            _compare(sandbox, backend, share, rounds, reference is not None)
        _curve(sandbox, rounds)
        _past(sandbox, rounds)
        _herd(sandbox, rounds)


def _compare(sandbox: Sandbox, backend: str, share: float, rounds: int, with_reference: bool) -> None:
    programs = [OURS, THEIRS] if with_reference else [OURS]
    figures: dict[str, list[Figures]] = {program: [] for program in programs}
    for _ in range(rounds):
        for program in programs:
            figures[program].append(_among(sandbox, backend, PEERS, program))
    for program in programs:
        who = f"{backend}, {PEERS} peers" + ("" if program == OURS else ", reference")
        line(f"{who}: all programmed", [item.ready for item in figures[program]], "s")
        line(f"{who}: resident memory", [item.memory for item in figures[program]], "MB")
        target = "target <= 100 ms" if program == OURS else ""
        line(f"{who}: one more usable", [item.joined * 1000 for item in figures[program]], "ms", target)
    if with_reference:
        ours, theirs = (
            [
                statistics.median(getattr(item, name) for item in figures[program])
                for name in ("ready", "memory")
            ]
            for program in programs
        )
        ratio(f"{backend}, {PEERS} peers: time / reference's", ours[0], theirs[0], f"target <= {share}")
        ratio(f"{backend}, {PEERS} peers: memory / reference's", ours[1], theirs[1], "target <= 1.5")


def _curve(sandbox: Sandbox, rounds: int) -> None:
    for count in CURVE:
        ready = [_among(sandbox, "vxlan", count, OURS).ready for _ in range(rounds)]
        line(f"vxlan, {count} peers: all programmed", ready, "s")
        line(f"vxlan, {count} peers: for each", [value / count * 1e6 for value in ready], "us")


def _past(sandbox: Sandbox, rounds: int) -> None:
    """What an event costs the udp backend, with its fast path, after so many peers have come and gone."""
    for count in PAST:
        figures = [_after(sandbox, count) for _ in range(rounds)]
        who = f"udp, {count} past peers"
        line(f"{who}: CPU of an event", [event * 1000 for event, _ in figures], "ms", "target: flat")
        line(f"{who}: lost lease given up", [fenced for _, fenced in figures], "s", "target <= 0.5")


def _after(sandbox: Sandbox, count: int) -> tuple[float, float]:
    """Seconds of CPU for an event, and until a lost lease is given up."""
    sandbox.begin(fresh=True)
    try:
        config = {"Network": "10.0.0.0/8", "SubnetLen": 24, "Backend": {"Type": "udp"}}
        sandbox.configure(json.dumps(config))
        host = sandbox.host("a")
        argv = [OURS, f"-etcd-endpoints={ETCD}", "-iface=eth0", "-iptables-forward-rules=false"]
        argv += ["-udp-fast-path=require", f"-subnet-file={host.subnet_file}"]
        done = host.run("python3", "-c", PAST_PROBE, str(count), PREFIX, host.subnet_file, *argv)
        event, fenced = json.loads(done.text)
        return event, fenced
    finally:
        sandbox.end()


def _among(sandbox: Sandbox, backend: str, count: int, program: str) -> Figures:
    """Start a flanneld where so many peers have leases."""
    sandbox.begin(fresh=True)
    try:
        config = {"Network": "10.0.0.0/8", "SubnetLen": 24, "Backend": {"Type": backend}}
        sandbox.configure(json.dumps(config))
        host = sandbox.host("a")
        # Peers of host-gw must be on the link: its network is widened to all their addresses.
        host.run("ip", "address", "add", "192.168.1.1/16", "dev", "eth0")
        sandbox.run("python3", "-c", FILL, str(count), backend, PREFIX)
        data = {"BackendData": {"VNI": 1, "VtepMAC": "02:00:ff:ff:ff:ff"}} if backend == "vxlan" else {}
        value = json.dumps({"PublicIP": "192.168.99.1", "PublicIPv6": None, "BackendType": backend, **data})
        argv = [program, f"-etcd-endpoints={ETCD}", "-iface=192.168.50.11", "-iptables-forward-rules=false"]
        argv += [f"-subnet-file={host.subnet_file}"]
        key = f"{PREFIX}/subnets/10.200.1.0-24"
        done = host.run("python3", "-c", PROBE, str(count), ETCD, key, value, *argv)
        return Figures(*json.loads(done.text))
    finally:
        sandbox.end()


def _herd(sandbox: Sandbox, rounds: int) -> None:
    seconds: list[float] = []
    for _ in range(rounds):
        sandbox.begin(fresh=True)
        try:
            sandbox.configure()
            hosts: Sequence[str] = [sandbox.host(f"h{number}").name for number in range(DAEMONS)]
            done = sandbox.run("python3", "-c", HERD, PREFIX, OURS, ETCD, *hosts).text.split()
            if int(done[0]) != DAEMONS:
                raise click.ClickException(f"{done[0]} of {DAEMONS} daemons hold a lease after {done[1]} s")
            seconds.append(float(done[1]))
        finally:
            sandbox.end()
    line(f"{DAEMONS} daemons at once: {DAEMONS} leases", seconds, "s", "target <= 15")
