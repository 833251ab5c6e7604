"""The two machines of one way, and what is done with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Self

from lab import wait
from lab.bench import reading
from lab.bench.inside import FILES
from lab.bench.plan import WAIT, Place, Test, client, server
from lab.bench.topology import MTU, Machine, argv, machines, make_machines, make_pod, static_subnet
from lab.bench.ways import Settings, Way
from lab.deadlines import COMMAND, WAY_STARTS
from lab.sandbox import Answer, Box

__all__ = ["Absent", "Failed", "Pair"]

OUTAGE = 30.0
"""Seconds that traffic may stay away before the measurement gives up."""

INTERVAL = 0.005
"""Seconds between two datagrams of the flow that shows an outage."""

QUIET = 1.0
"""Seconds that the flow must be steady before an outage counts as over."""


class Absent(Exception):
    """A way is not possible on this machine; the message is the daemon's own reason."""


class Failed(Exception):
    """A measurement failed."""


@dataclass(slots=True)
class Running:
    """A daemon."""

    machine: Machine
    pid: int
    log: str


@dataclass(slots=True)
class Pair:
    """Two machines that reach each other by their way, with a container on each."""

    box: Box
    way: Way
    ends: tuple[Machine, Machine]
    subnets: Mapping[str, IPv4Network] = field(default_factory=dict)
    daemons: list[Running] = field(default_factory=list)

    @classmethod
    def make(cls, box: Box, way: Way) -> Self:
        """Make the machines, start their daemons, and wait until packets go through. Raises `Absent`."""
        made = cls(box, way, machines(way))
        try:
            made._set_up()
        except Absent:
            for daemon in made.daemons:
                box.kill(daemon.pid)
            raise
        return made

    def _set_up(self) -> None:
        box, way = self.box, self.way
        box.script(make_machines(way))
        leases = {machine.name: (static_subnet(machine), MTU) for machine in self.ends}
        if way.daemons:
            self._configure()
            for machine in self.ends:
                self.daemons.append(Running(machine, *box.spawn(*argv(machine))))
            leases = {item.machine.name: self._lease(item) for item in self.daemons}
        for machine in self.ends:
            box.script(make_pod(machine, *leases[machine.name]))
        self.subnets = {name: subnet for name, (subnet, _) in leases.items()}
        for place in Place:
            self._reaches(place)

    def _configure(self) -> None:
        words = ["set"] if self.way.etcd_api == "v2" else ["put"]
        key = f"{self.way.prefix}/config"
        api = f"ETCDCTL_API={self.way.etcd_api[1]}"
        self.box.must("env", api, "etcdctl", *words, key, self.way.config)

    def _lease(self, daemon: Running) -> tuple[IPv4Network, int]:
        def probe() -> tuple[IPv4Network, int] | wait.NotYet:
            text = self.box.read(daemon.machine.subnet_file)
            if text:
                return reading.lease(text)
            self._alive(daemon)
            return wait.NotYet(self.box.read(daemon.log).strip()[-300:] or "nothing in its log")

        try:
            return wait.until(probe, what="a lease", timeout=WAY_STARTS.seconds)
        except wait.TimedOut as error:
            raise Absent(error.message) from error

    def _alive(self, daemon: Running) -> None:
        """Raises `Absent` with the daemon's own words if it has ended."""
        if self.box.status(daemon.pid) is not None:
            raise Absent(reading.why_ended(self.box.read(daemon.log)))

    def _all_alive(self) -> None:
        for daemon in self.daemons:
            self._alive(daemon)

    def _reaches(self, place: Place) -> None:
        source, destination = self._addresses(place)

        def probe() -> bool | wait.NotYet:
            ping = self._in(0, place, "ping", "-n", "-c1", "-W1", "-I", source, destination)
            self._all_alive()
            return ping.exit == 0 or wait.NotYet(ping.said.strip()[-300:])

        try:
            wait.until(probe, what=f"a ping, {place.value}", timeout=WAY_STARTS.seconds)
        except wait.TimedOut as error:
            raise Absent(error.message) from error

    def _addresses(self, place: Place) -> tuple[str, str]:
        here, there = (machine.source(place, self.subnets[machine.name]) for machine in self.ends)
        return here, there

    def _enter(self, end: int, place: Place) -> Sequence[str]:
        return ("ip", "netns", "exec", self.ends[end].namespace(place))

    def _in(self, end: int, place: Place, *words: str) -> Answer:
        return self.box.run(*self._enter(end, place), *words)

    def _listen(self, place: Place, *words: str) -> tuple[int, str]:
        """Spawn a program on the second machine, and wait until it says that it listens."""
        pid, log = self.box.spawn(*self._enter(1, place), *words)

        def probe() -> bool | wait.NotYet:
            said = self.box.read(log)
            return "listening" in said or wait.NotYet(said or f"nothing; exit status {self.box.status(pid)}")

        try:
            wait.until(probe, what=f"{words[0]} to listen", timeout=WAY_STARTS.seconds, interval=0.01)
        except BaseException:
            self.box.kill(pid)
            raise
        return pid, log

    def measure(self, test: Test, place: Place, settings: Settings) -> Answer:
        """What the test's tool printed, with processor times around it.

        Raises `Failed`, or `Absent` if a daemon has ended.
        """
        self._all_alive()
        source, destination = self._addresses(place)
        command = (*self._enter(0, place), *client(test, source, destination, settings))
        waiting = None
        if test is not Test.ROUND_TRIP:
            waiting, _ = self._listen(place, *server(destination))
        try:
            done = self.box.run(
                *command, timeout=settings.seconds + WAIT, pids=[item.pid for item in self.daemons]
            )
        finally:
            if waiting is not None:
                self.box.kill(waiting)
        if done.exit != 0:
            self._all_alive()
        if "after" not in done:
            raise Failed(done.said)
        return done

    def exchange(self, place: Place, amount: int) -> bool:
        """Whether streams of `amount` bytes, both ways at once, arrive unchanged. Raises `Failed`."""
        source, destination = self._addresses(place)
        waiting, log = self._listen(place, "python3", FILES["stream"], "serve", destination, str(amount))
        try:
            done = self.box.run(
                *self._enter(0, place),
                *("python3", FILES["stream"], "connect", source, destination, str(amount)),
                timeout=COMMAND.seconds + amount / 5e6,
            )
            if done.exit != 0:
                raise Failed(done.said.strip()[-300:])
            wait.until(
                lambda: self._ended(waiting), what="the receiver to report", timeout=WAY_STARTS.seconds
            )
            return reading.streams_equal(done.out, self.box.read(log), amount)
        finally:
            self.box.kill(waiting)

    def _ended(self, pid: int) -> bool | wait.NotYet:
        return self.box.status(pid) is not None or wait.NotYet(f"process {pid} runs")

    def outage(self) -> float:
        """Seconds without traffic when the first daemon is killed under load and started again at once.

        Raises `Failed`.
        """
        place = Place.POD
        source, destination = self._addresses(place)
        program = ("python3", FILES["probe"])
        load, _ = self._listen(place, *server(destination))
        echo, _ = self.box.spawn(*self._enter(1, place), *program, "echo", destination)
        flow, log = self.box.spawn(*self._enter(0, place), *program, source, destination, str(INTERVAL))
        sender, _ = self.box.spawn(
            *self._enter(0, place), "iperf3", "--client", destination, "--bind", source, "--time", "60"
        )
        try:
            self._flows(log, since=None)
            daemon = self.daemons[0]
            pid, killed = self.box.replace(daemon.pid, daemon.log, *argv(daemon.machine))
            daemon.pid = pid
            return self._flows(log, since=killed)
        except wait.TimedOut as error:
            raise Failed(error.message) from error
        finally:
            for process in (flow, sender, echo, load):
                self.box.kill(process)

    def _flows(self, log: str, since: float | None) -> float:
        """Wait until the flow has been steady for a while; return the length of its longest interruption."""

        def probe() -> float | wait.NotYet:
            replies = [
                float(item) for item in self.box.read(log).split()[:-1]
            ]  # the last may be half written
            if not replies:
                return wait.NotYet("no datagram came back")
            begun = replies[0] if since is None else since
            lasted, ended = reading.outage(replies, begun)
            over = replies[-1] - ended >= QUIET and replies[-1] - begun >= 2 * QUIET
            return (
                lasted if over else wait.NotYet(f"{lasted:.2f} s without, {replies[-1] - begun:.2f} s in all")
            )

        return wait.until(probe, what="traffic to go on", timeout=OUTAGE, interval=0.2)

    def checksum_errors(self) -> int:
        """Wrong checksums that the machines and containers of this way have counted."""
        count = 0
        for machine in self.ends:
            for place in Place:
                for table in ("snmp", "netstat"):
                    text = self.box.must(
                        "ip", "netns", "exec", machine.namespace(place), "cat", f"/proc/net/{table}"
                    )
                    count += sum(reading.checksum_errors(text).values())
        return count
