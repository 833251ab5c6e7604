"""Machines as network namespaces, inside one throw-away container that has no network.

container:  etcd  192.168.50.1 --- br0 ---+--- eth0 of host "a", 192.168.50.11
                                          +--- eth0 of host "b", 192.168.50.12
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lab import wait
from lab.deadlines import patience
from lab.engine import ExecResult, FileContent
from lab.errors import CommandError
from lab.sandbox import Answer, Box
from tests.kernel.programs import program

T = TypeVar("T")

PREFIX = "/coreos.com/network"
TUTORIAL = '{ "Network": "10.2.0.0/16" }'  # the tutorial's section 2.1
ETCD = "http://192.168.50.1:2379"
FLANNELD = "/usr/bin/flanneld"

USUAL: Mapping[str, float] = {}
"""No time of a daemon is altered."""

LONGEST = 300.0
"""Seconds for any command: the longest is a suite of tests of its own."""


def eventually(probe: Callable[[], T | wait.NotYet], what: str, timeout: float = 10) -> T:
    """Wait for it; `timeout` in seconds of an ordinary machine, which LAB_PATIENCE multiplies."""
    return wait.until(probe, what=what, timeout=timeout * patience())


@dataclass
class Process:
    """A program that runs in the background; its output is in `log`."""

    sandbox: "Sandbox"
    pid: int
    log_path: str

    @property
    def log(self) -> str:
        return self.sandbox.box.read(self.log_path)

    def says(self, text: str, times: int = 1, timeout: float = 10) -> None:
        """Wait until its log has this text so many times; `timeout` as in `eventually`."""
        seconds = timeout * patience()
        log = self.sandbox.box.says(self.log_path, text, times, seconds)
        if log is not None:
            seen = log or "nothing"
            raise wait.TimedOut(f"waited {seconds:.0f} s for the log line {text!r}; last seen: {seen}")

    def signal(self, name: str) -> None:
        """Send it this; after STOP it stands."""
        self.sandbox.box.signal(self.pid, name)

    def ends(self, timeout: float = 10) -> int:
        """Wait for its end; its exit status. `timeout` as in `eventually`."""
        seconds = timeout * patience()
        status = self.sandbox.box.ends(self.pid, seconds)
        if status is None:
            raise wait.TimedOut(
                f"waited {seconds:.0f} s for process {self.pid} to end; last seen: {self.log}"
            )
        return status


@dataclass
class Host:
    """A machine: a network namespace with eth0 on the bridge."""

    sandbox: "Sandbox"
    name: str
    address: str
    forks: bool = True
    """Whether its daemons are forked from a process that has imported them; a program begins by importing."""
    daemons: list[Process] = field(default_factory=list)

    def run(self, *argv: str, check: bool = True) -> ExecResult:
        """Run a program to its end. /sys is the container's: see `sysfs`."""
        return self.sandbox.run(*argv, check=check, netns=self.name)

    def ip(self, *commands: str) -> None:
        """Several commands of ip(8), such as `link set eth0 up`."""
        self.sandbox.ip(*commands, netns=self.name)

    def sysfs(self, path: str) -> str:
        """What a file below /sys says."""
        return self.sandbox.run("ip", "netns", "exec", self.name, "cat", f"/sys/{path}").text.strip()

    def spawn(self, *argv: str) -> Process:
        """Start a program, with a /sys of its own."""
        return self.sandbox.spawn("ip", "netns", "exec", self.name, *argv)

    def run_python(self, name: str, *arguments: str, check: bool = True) -> ExecResult:
        """Run one of our `programs` to its end."""
        return self.sandbox.run_python(name, *arguments, check=check, netns=self.name)

    def start(self, name: str, *arguments: str) -> Process:
        """Start one of our `programs`."""
        return self.fork(program(name), *arguments)

    def flanneld(
        self,
        *options: str,
        iface: str = "eth0",
        endpoints: str = ETCD,
        notified: bool = False,
        path: str = "",
        altered: Mapping[str, float] = USUAL,
    ) -> Process:
        """Start a daemon: one that is told of what it notifies, or has a PATH or times of its own.

        Which times can be altered says `programs/altered_flanneld.py`.
        """
        argv = [f"-etcd-endpoints={endpoints}", f"-subnet-file={self.subnet_file}"]
        argv += [f"-iface={iface}"] if iface else []
        argv += options
        # Machines share one /run here.
        env = {"WIREGUARD_KEY_FILE": f"/run/flannel-{self.name}/wgkey", **({"PATH": path} if path else {})}
        if notified:
            daemon = self.start("notified", self.subnet_file, FLANNELD, *argv)
        elif altered:
            daemon = self.fork(program("altered_flanneld"), json.dumps(altered), *argv, env=env)
        else:
            given = [f"{name}={value}" for name, value in env.items()]
            daemon = (
                self.fork(FLANNELD, *argv, env=env)
                if self.forks
                else self.spawn("env", *given, FLANNELD, *argv)
            )
        self.daemons.append(daemon)
        return daemon

    @property
    def daemon(self) -> Process:
        """The flanneld that was started last."""
        return self.daemons[-1]

    def fork(self, *argv: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a program of Python, by its path, whose modules are flanneld's mostly."""
        return self.sandbox.fork(*argv, netns=self.name, env=env)

    @property
    def subnet_file(self) -> str:
        return f"/run/flannel-{self.name}/subnet.env"

    @property
    def subnet_env(self) -> str:
        """The file's text. Written a moment after the log tells of a lease, and of the others'."""

        def probe() -> str | wait.NotYet:
            text = self.sandbox.box.find(self.subnet_file)
            return wait.NotYet("none") if text is None else text

        return eventually(probe, f"{self.subnet_file} to be there")

    @property
    def subnet(self) -> str:
        """The network of FLANNEL_SUBNET: `10.2.35`, without its last octet."""
        line = next(line for line in self.subnet_env.splitlines() if line.startswith("FLANNEL_SUBNET="))
        return line.partition("=")[2].rpartition(".")[0]

    def link(self, name: str) -> dict[str, Any] | None:
        found = self.run("ip", "-json", "address", "show", "dev", name, check=False)
        return json.loads(found.text)[0] if found.exit_code == 0 else None

    def links(self) -> list[str]:
        return [link["ifname"] for link in json.loads(self.run("ip", "-json", "link").text)]

    def bridge(self) -> str:
        """Do what Docker does with FLANNEL_SUBNET: a bridge with the subnet's first address; that address."""
        address = f"{self.subnet}.1"
        self.ip(
            "link add docker0 type bridge", f"address add {address}/24 dev docker0", "link set docker0 up"
        )
        return address

    def pod(self) -> "Host":
        """A network namespace behind a bridge with FLANNEL_SUBNET's address, as a container's."""
        gateway = self.bridge()
        made = Host(self.sandbox, f"{self.name}-pod", f"{self.subnet}.2")
        self.sandbox.ip(f"netns add {made.name}")
        self.ip(
            f"link add name to-pod type veth peer name eth0 netns {made.name}",
            "link set to-pod master docker0 up",
        )
        made.ip(
            "link set eth0 up",
            f"address add {made.address}/24 dev eth0",
            f"route add default via {gateway}",
        )
        self.sandbox.pods.append(made)
        self.carries("to-pod", "docker0")
        return made

    def carries(self, *devices: str) -> None:
        """Wait until these do: the kernel lets packets through some time after both ends are up."""

        def probe() -> bool | wait.NotYet:
            states = {name: (self.link(name) or {}).get("operstate") for name in devices}
            return set(states.values()) == {"UP"} or wait.NotYet(states)

        eventually(probe, f"{', '.join(devices)} to be up")

    def reaches(self, address: str, source: str, timeout: float = 10) -> str:
        """Wait until a ping from our address `source` is answered; ping's output."""

        def probe() -> str | wait.NotYet:
            ping = self.run("ping", "-c1", "-W1", "-I", source, address, check=False)
            return ping.text if ping.exit_code == 0 else wait.NotYet(ping.output)

        return eventually(probe, f"a ping from {source} to {address}", timeout)

    def sees(self, client: "Host", address: str = "") -> str:
        """The address that a client has for us when it connects, to this address of ours say."""
        server = self.start("tell_peer")
        server.says("listening")
        seen = client.run_python("ask_peer", address or self.address).text.strip()
        assert server.ends(5) == 0
        return seen


@dataclass
class Sandbox:
    """The container. Everything that a test starts in it ends with the test.

    An etcd that the test has not harmed is emptied, and serves the next one too.
    """

    box: Box
    hosts: list[Host] = field(default_factory=list)
    pods: list[Host] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    loaded: bool = False
    _etcd: Process | None = None
    _etcd_is_whole: bool = False

    def run(self, *argv: str, check: bool = True, netns: str = "") -> ExecResult:
        return self._done(argv, self.box.run(*argv, timeout=LONGEST * patience(), netns=netns), check)

    def ip(self, *commands: str, netns: str = "") -> None:
        """Several commands of ip(8), such as `link set eth0 up`, by one of its processes."""
        given = "\n".join(commands)
        done = self.box.run("ip", "-batch", "-", netns=netns, given=given)
        self._done(("ip", "-batch", given), done, check=True)

    def run_python(self, name: str, *arguments: str, check: bool = True, netns: str = "") -> ExecResult:
        """Run one of our `programs` to its end."""
        self._load()
        argv = (program(name), *arguments)
        return self._done(argv, self.box.run_forked(*argv, timeout=LONGEST * patience(), netns=netns), check)

    def _done(self, argv: Sequence[str], answer: Answer, check: bool) -> ExecResult:
        result = ExecResult(answer.exit, answer.out.encode(), answer["err"].encode())
        if check and result.exit_code != 0:
            raise CommandError("sandbox", argv, result.exit_code, result.output)
        return result

    def start(self, name: str, *arguments: str) -> Process:
        """Start one of our `programs`."""
        return self.fork(program(name), *arguments)

    def put(self, files: Mapping[str, FileContent]) -> None:
        self.box.put(files)

    @contextmanager
    def without(self, *programs: str) -> Iterator[None]:
        """As if these were not installed."""
        places = [self.run("sh", "-c", f"command -v {program}").text.strip() for program in programs]
        for place in places:
            self.run("mv", place, f"{place}.away")
        try:
            yield
        finally:
            for place in places:
                self.run("mv", f"{place}.away", place)

    def spawn(self, *argv: str) -> Process:
        return self._started(*self.box.spawn(*argv))

    def fork(self, *argv: str, netns: str = "", env: Mapping[str, str] | None = None) -> Process:
        """As `Host.fork`."""
        self._load()
        return self._started(*self.box.fork(*argv, netns=netns, env=env))

    def _load(self) -> None:
        if not self.loaded:
            self.box.load("elftools.elf", "/usr/local/lib/python3.13/dist-packages")  # of the fast path
            self.box.load("flanneld_py", "/usr/lib/flanneld")
            self.loaded = True

    def _started(self, pid: int, log: str) -> Process:
        process = Process(self, pid, log)
        self.processes.append(process)
        return process

    @property
    def etcd(self) -> Process:
        """The etcd, to be harmed: the next test has another."""
        assert self._etcd is not None
        self._etcd_is_whole = False
        return self._etcd

    def start_etcd(self, *, fresh: bool = False) -> None:
        """Start etcd, after it was ended, or without the data that it had."""
        if fresh:
            self.run("rm", "-rf", "/run/etcd")
        self._etcd = Process(self, *self.box.spawn(
            "etcd", "--data-dir=/run/etcd", "--listen-client-urls=http://0.0.0.0:2379",
            f"--advertise-client-urls={ETCD}", "--listen-peer-urls=http://127.0.0.1:2380",
            "--heartbeat-interval=20", "--election-timeout=200",
        ))  # fmt: skip
        self._etcd.says("ready to serve client requests")

    def _empty_etcd(self) -> None:
        if self._etcd_is_whole:
            self.etcdctl("del", "--prefix", "")
        else:
            self.start_etcd(fresh=True)
            self._etcd_is_whole = True

    def etcdctl(self, *argv: str) -> str:
        """Run etcdctl; what it is mostly asked for goes without it, for it takes 40 ms of processor time."""
        match argv:
            case ("put", key, value):
                self._ask_etcd("put", {"key": _base64(key), "value": _base64(value)})
            case ("del", "--prefix", key):
                self._ask_etcd("deleterange", _prefix(key))
            case ("del", key):
                self._ask_etcd("deleterange", {"key": _base64(key)})
            case _:
                return self.run("etcdctl", *argv).text
        return ""

    def _ask_etcd(self, what: str, request: Mapping[str, str]) -> Any:
        """By etcd's gateway: https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/."""
        status, text = self.box.post("127.0.0.1:2379", f"/v3/kv/{what}", json.dumps(request))
        assert status == 200, f"etcd: {what} {request}: {text}"
        return json.loads(text)

    def leases(self) -> dict[str, str]:
        """Key, without the prefix, -> value."""
        found = self._ask_etcd("range", _prefix(f"{PREFIX}/subnets/")).get("kvs", [])
        items = [(b64decode(item["key"]).decode(), b64decode(item["value"]).decode()) for item in found]
        return {key.rpartition("/")[2]: value for key, value in items}

    def configure(self, config: str = TUTORIAL) -> None:
        self.etcdctl("put", f"{PREFIX}/config", config)

    def host(self, name: str) -> Host:
        """Another machine."""
        number = 11 + len(self.hosts)
        made = Host(self, name, f"192.168.50.{number}")
        self.ip(
            f"netns add {name}",
            f"link add name to-{name} type veth peer name eth0 netns {name}",
            f"link set to-{name} master br0 up",
        )
        made.ip("link set lo up", "link set eth0 up", f"address add {made.address}/24 dev eth0")
        made.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.disable_ipv6=1")
        self.hosts.append(made)
        return made

    def remove(self, *hosts: Host) -> None:
        """Take machines away, and their pods."""
        names = {host.name for host in hosts}
        pods = {pod.name for pod in self.pods if pod.name.removesuffix("-pod") in names}
        commands = [f"netns delete {name}" for name in pods]
        for name in names:
            # The kernel takes a namespace's devices away later, a deleted pair at once.
            commands += [f"link delete to-{name}", f"netns delete {name}"]
        if names:
            self.run("rm", "-rf", *(f"/run/flannel-{name}" for name in names))
            self.ip(*commands)
        self.pods = [pod for pod in self.pods if pod.name not in pods]
        self.hosts = [host for host in self.hosts if host.name not in names]

    def begin(self, *, fresh: bool = False) -> None:
        """A bridge and an empty etcd, or one that has never had anything."""
        # With an address of its own: it would take that of one of its ports, and another when that one goes.
        self.ip(
            "link add br0 address 02:00:c0:a8:32:01 type bridge",
            "address add 192.168.50.1/24 dev br0",
            "link set br0 up",
        )
        if fresh:
            self._end_etcd()
        self._empty_etcd()

    def _end_etcd(self) -> None:
        if self._etcd is not None:
            self.box.clear([self._etcd.pid])
        self._etcd, self._etcd_is_whole = None, False

    def end(self) -> None:
        """End every process with its children, and remove every device."""
        # Whatever fails here, what is left is not the next test's.
        processes, self.processes = self.processes, []
        try:
            self.box.clear([process.pid for process in processes])
            if not self._etcd_is_whole:
                self._end_etcd()
            self.remove(*self.hosts)
        finally:
            self.hosts, self.pods = [], []
            self.run("ip", "link", "delete", "br0")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _prefix(key: str) -> dict[str, str]:
    """The keys that begin with this; with a zero byte as key and as end, all (etcd's rpc.proto)."""
    if not key:
        return {"key": _base64("\0"), "range_end": _base64("\0")}
    return {"key": _base64(key), "range_end": _base64(key[:-1] + chr(ord(key[-1]) + 1))}


def options(values: Mapping[str, str]) -> Sequence[str]:
    return [f"-{name}={value}" for name, value in values.items()]
