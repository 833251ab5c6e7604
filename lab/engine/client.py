"""A Docker engine: short queries and effects.

What to create is decided elsewhere.
"""

import json
import os
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from lab import threads
from lab.deadlines import COMMAND, ENGINE_ANSWERS, INPUT_ENDS
from lab.engine import inside, swarm
from lab.engine.agent import Command, Ended
from lab.engine.agents import Agents
from lab.engine.api import Api, Refused, Unanswered
from lab.engine.beside import Beside
from lab.engine.endpoint import Endpoint
from lab.engine.failures import NotThere, attempt, remedy_elsewhere, remedy_there
from lab.engine.model import (
    Container,
    ContainerConfig,
    EngineUnavailable,
    ExecResult,
    FileContent,
    ImageInfo,
    Network,
    SubnetTaken,
    Volume,
    network_of,
    tar,
)
from lab.engine.selection import choose, is_here
from lab.engine.session import STDERR, Exec
from lab.engine.transport import Transport, transport_to
from lab.errors import LabError, NoAnswer
from lab.inside import program

if TYPE_CHECKING:
    import docker

__all__ = ["Engine"]


IMPORTING = threading.Lock()
"""Held while the SDK is imported. Its modules import each other in a circle: of two threads that begin at
different ones, one would get half a module."""

ABOUT_ITS_MACHINE = (
    "OperatingSystem",
    "NCPU",
    "MemTotal",
    "Driver",
    "CgroupDriver",
    "CgroupVersion",
    "DockerRootDir",
    "SystemTime",
    "Warnings",
)
"""Members of the engine's `GET /info`."""


class Engine:
    """A Docker engine, local or remote. Safe to use from several threads."""

    def __init__(self, api: Api, endpoint: Endpoint, transport: Transport) -> None:
        self._api = api
        self._transport = transport
        self.endpoint = endpoint
        self._beside = Beside(Engine.at)
        self._agents = Agents(self._start_agent)
        self._making = threading.Lock()
        self._made: docker.DockerClient | None = None

    @classmethod
    def connect(cls) -> "Engine":
        """Connect to the engine that the environment selects. Raises `EngineUnavailable`.

        See `lab.engine.endpoint`. A `docker` command in the PATH does not imply an engine, so this queries
        the API.
        """
        return cls.at(choose(os.environ))

    @classmethod
    def at(cls, endpoint: Endpoint) -> "Engine":
        """Connect to an engine. Raises `EngineUnavailable`."""
        transport = transport_to(endpoint)
        api = Api(transport, ENGINE_ANSWERS.seconds)
        try:
            api.greet()
        except (Refused, Unanswered, LabError) as error:
            seen = error.message if isinstance(error, LabError) else transport.said() or str(error)
            api.close()
            transport.close()
            raise EngineUnavailable(
                f"no Docker engine answers at {endpoint}: {seen}",
                hint=remedy_elsewhere(endpoint.named, seen)
                or "`lab up` starts one where it can; DOCKER_HOST names another one.",
                named=endpoint.named,
            ) from error
        return cls(api, endpoint, transport)

    @contextmanager
    def _docker(self, what: str) -> Iterator["docker.DockerClient"]:
        """The SDK's client, whose errors become a `LabError` that says what was attempted."""
        with IMPORTING:
            from lab.engine import sdk
        with attempt(what), sdk.errors():
            with self._making:
                if self._made is None:
                    self._made = sdk.client(self._transport, self._api.version, ENGINE_ANSWERS.seconds)
            yield self._made

    @cached_property
    def _info(self) -> Mapping[str, Any]:
        with attempt("asking the engine what it is"):
            info: Mapping[str, Any] = self._api.get("/info")
            return info

    @property
    def id(self) -> str:
        """What it calls itself, as no other engine does."""
        return str(self._info["ID"])

    @property
    def labels(self) -> frozenset[str]:
        """Those of its configuration."""
        return frozenset(self._info.get("Labels") or ())

    @property
    def is_here(self) -> bool:
        """Whether its networks are on this machine."""
        return is_here(self.endpoint, self._info)

    @property
    def arch(self) -> str:
        """The architecture of its machine, as images have it."""
        told = str(self._info["Architecture"])
        return {"x86_64": "amd64", "aarch64": "arm64"}.get(told, told)

    def beside(self, endpoint: Endpoint) -> "Engine":
        """Another engine of the same lab; closed with this one. Raises `EngineUnavailable`."""
        return self._beside.engine(endpoint)

    def ping(self) -> None:
        """Raise `EngineUnavailable` unless it still answers."""
        with attempt("asking whether it still answers"):
            self._api.greet()

    def close(self) -> None:
        """Close all connections."""
        self._beside.close()
        self._agents.close()
        if self._made is not None:
            self._made.close()
        self._api.close()
        self._transport.close()

    def describe(self) -> Mapping[str, Any]:
        """Return its version, with those of its parts, and what it says of the machine that it runs on."""
        with attempt("asking the engine for its version"):
            told = self._api.get("/info")
            return {**self._api.get("/version"), **{key: told.get(key) for key in ABOUT_ITS_MACHINE}}

    # Images

    def image(self, reference: str) -> ImageInfo | None:
        """Return the image with this name or ID, if the engine has it."""
        try:
            with self._docker(f"looking up image {reference}") as docker:
                return _image(docker.images.get(reference).attrs)
        except NotThere:
            return None

    def images(self, label: str) -> tuple[ImageInfo, ...]:
        """Return all images with the label (`key` or `key=value`)."""
        with self._docker("listing images") as docker:
            return tuple(_image(image.attrs) for image in docker.images.list(filters={"label": label}))

    def pull(self, reference: str) -> str | None:
        """Pull an image; return None on success, or why it could not be pulled."""
        named, _, digest = reference.partition("@")
        try:
            with self._docker(f"pulling {reference}") as docker:
                from docker.utils import parse_repository_tag

                repository, tag = parse_repository_tag(named)
                docker.images.pull(repository, tag=digest or tag)
        except LabError as error:
            return str(error.__cause__)  # without what was attempted
        return None

    def build(
        self, context: BinaryIO, *, tag: str, args: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Build an image with the classic builder from a tar with a `Dockerfile` at the top level.

        Raises `LabError` with the last lines of the build's output.
        """
        tail: list[str] = []
        with self._docker(f"building {tag}") as docker:
            for event in docker.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                buildargs=dict(args),
                labels=dict(labels),
                pull=False,
                rm=True,
                forcerm=True,
                decode=True,
            ):
                if "error" in event:
                    log = "\n".join("".join(tail).splitlines()[-15:])
                    hint = remedy_there(event["error"])
                    raise LabError(f"building {tag}: {event['error']}\n{log}", hint=hint)
                tail = [*tail[-200:], str(event.get("stream", ""))]

    def import_image(self, rootfs: BinaryIO, *, tag: str, labels: Mapping[str, str]) -> None:
        """Create a single-layer image from a tar of a root file system, while reading it."""
        repository, _, version = tag.partition(":")
        # An iterator, not a file: the SDK announces chunks, which requests sends only for an iterator.
        pieces = iter(lambda: rootfs.read(1 << 20), b"")
        with self._docker(f"importing {tag}") as docker:
            docker.api.import_image_from_stream(
                pieces,
                repository=repository,
                tag=version,
                changes=[f"LABEL {key}={value}" for key, value in labels.items()],
            )

    def save_image(self, reference: str) -> Iterator[bytes]:
        """Yield an image as `docker save` writes it: under this name, or without a name if this is its ID."""
        with self._docker(f"saving {reference}") as docker:
            yield from docker.api.get_image(reference)

    def load_images(self, archive: BinaryIO | Iterator[bytes]) -> tuple[str, ...]:
        """Load the images of an archive from `save_image` into the engine; return their names."""
        output: list[str] = []
        with self._docker("loading images") as docker:
            for event in docker.api.load_image(archive, quiet=True):  # type: ignore[no-untyped-call]
                if "error" in event:
                    raise LabError(f"loading images: {event['error']}")
                output += str(event.get("stream", "")).splitlines()
        loaded = ("Loaded image: ", "Loaded image ID: ")
        return tuple(
            line.removeprefix(words) for line in output for words in loaded if line.startswith(words)
        )

    def remove_image(self, reference: str) -> None:
        """Remove an image, if it exists."""
        with suppress(NotThere), self._docker(f"removing image {reference}") as docker:
            docker.images.remove(reference, force=True)

    # Networks and volumes

    def networks(self, labels: Mapping[str, str] | Iterable[str] = ()) -> tuple[Network, ...]:
        """Return the networks with all of these labels."""
        with attempt("listing networks"):
            return tuple(network_of(item) for item in self._api.get("/networks", filters=_filters(labels)))

    def create_network(
        self,
        name: str,
        subnet: str,
        labels: Mapping[str, str],
        *,
        internal: bool = True,
        mtu: int | None = None,
    ) -> Network:
        """Create a bridge network. Raises `SubnetTaken`.

        An internal one has no route out, and if the engine's machine filters bridged frames (br_netfilter),
        it passes only packets with the subnet's own addresses. The other kind has no masquerading: what
        leaves it, if a container has a route, gets no reply.
        """
        options = {} if internal else {"com.docker.network.bridge.enable_ip_masquerade": "false"}
        if mtu is not None:
            options["com.docker.network.driver.mtu"] = str(mtu)
        try:
            with self._docker(f"creating network {name} ({subnet})") as docker:
                from docker.types import IPAMConfig, IPAMPool

                made = docker.networks.create(
                    name,
                    driver="bridge",
                    internal=internal,
                    options=options,
                    check_duplicate=True,
                    ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]),
                    labels=dict(labels),
                )
                return network_of(made.attrs)
        except LabError as error:
            if "overlap" in error.message.lower():
                raise SubnetTaken(f"another network of the engine overlaps {subnet}") from error
            raise

    def create_overlay(
        self, name: str, subnet: str, labels: Mapping[str, str], *, engines: str, mtu: int | None = None
    ) -> Network:
        """Create an internal network that reaches all engines of the swarm. Raises `SubnetTaken`.

        `engines` is the part of the subnet from which each engine has an address of its own.
        """
        with self._docker(f"creating the swarm's network {name} ({subnet})") as docker:
            from lab.engine import swarm_calls

            return swarm_calls.create(docker, name, subnet, labels, engines=engines, mtu=mtu)

    def swarm(self) -> swarm.Member:
        """Return what the engine says of the swarm that it is in."""
        with self._docker("asking the engine for its swarm") as docker:
            from lab.engine import swarm_calls

            return swarm_calls.look(docker)

    def begin_swarm(self, address: str) -> None:
        """Make the engine the manager of a new swarm; the others reach it at `address`, if it has several."""
        with self._docker("beginning a swarm") as docker:
            from lab.engine import swarm_calls

            swarm_calls.begin(docker, address)

    def join_swarm(self, manager: "Engine") -> None:
        """Make the engine a worker of the swarm that another one manages."""
        what = "joining a swarm"
        with self._docker(what) as docker, manager._docker(what) as its_manager:
            from lab.engine import swarm_calls

            swarm_calls.join(docker, its_manager)

    def remove_network(self, network: str) -> None:
        """Remove a network, if it exists."""
        with suppress(NotThere), self._docker(f"removing network {network}") as docker:
            docker.api.remove_network(network)

    def volumes(self, labels: Mapping[str, str] | Iterable[str]) -> tuple[Volume, ...]:
        """Return the volumes with all of these labels."""
        with attempt("listing volumes"):
            found = self._api.get("/volumes", filters=_filters(labels))["Volumes"] or ()
            return tuple(Volume(item["Name"], item.get("Labels") or {}) for item in found)

    def volume(self, name: str) -> Volume | None:
        """Return the volume of this name, without waiting for what becomes of others, as a list does."""
        try:
            with attempt(f"looking for volume {name}"):
                item = self._api.get(f"/volumes/{quote(name)}")
        except NotThere:
            return None
        return Volume(item["Name"], item.get("Labels") or {})

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Create a volume; an existing one of that name is left unchanged."""
        with self._docker(f"creating volume {name}") as docker:
            docker.api.create_volume(name, labels=dict(labels))

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if it exists."""
        with suppress(NotThere), self._docker(f"removing volume {name}") as docker:
            docker.api.remove_volume(name, force=True)

    # Containers

    def containers(self, labels: Mapping[str, str] | Iterable[str]) -> tuple[Container, ...]:
        """Return the containers, in any state, with all of these labels."""
        with attempt("listing containers"):
            return tuple(
                Container(item["Id"], item["Names"][0][1:], item["Labels"], item["State"], item["Status"])
                for item in self._api.get("/containers/json", all="1", filters=_filters(labels))
                if item["Names"]
            )

    def create(self, config: ContainerConfig) -> str:
        """Create a container without starting it; return its ID. Never pulls."""
        given = config.confinement
        with self._docker(f"creating container {config.name}") as docker:
            from docker.types import Mount

            mounts = [
                Mount(point.removesuffix(":ro"), volume, type="volume", read_only=point.endswith(":ro"))
                for volume, point in config.volumes.items()
            ]
            host = docker.api.create_host_config(
                network_mode=next(iter(config.networks), "none"),
                extra_hosts=[f"{name}:{at}" for name, every in config.hosts.items() for at in every],
                cap_add=list(given.capabilities),
                devices=list(given.devices),
                security_opt=list(given.security),
                sysctls=dict(given.sysctls),
                tmpfs=dict.fromkeys(given.tmpfs, ""),
                mounts=mounts,
                privileged=given.privileged,
                cgroupns="private",
            )
            endpoints = {
                name: docker.api.create_endpoint_config(ipv4_address=address)
                for name, address in config.networks.items()
            }
            made = docker.api.create_container(
                config.image,
                name=config.name,
                hostname=config.hostname,
                command=list(config.command) if config.command is not None else None,
                entrypoint=list(config.entrypoint) if config.entrypoint is not None else None,
                environment=dict(config.environment),
                labels=dict(config.labels),
                host_config=host,
                networking_config={"EndpointsConfig": dict([*endpoints.items()][:1])} if endpoints else None,
            )
            # Older engines take one network when a container is made, and the others afterwards.
            for name, address in [*config.networks.items()][1:]:
                docker.api.connect_container_to_network(made["Id"], name, ipv4_address=address)
            return str(made["Id"])

    def start(self, container: str) -> None:
        """Start a created or stopped container."""
        with self._docker(f"starting container {container[:12]}") as docker:
            docker.api.start(container)

    def restart(self, container: str, timeout: int = 10) -> None:
        """Stop a container (killing it after `timeout` seconds) and start it again."""
        with self._docker(f"restarting container {container[:12]}") as docker:
            docker.api.restart(container, timeout=timeout)

    def stop(self, container: str, timeout: int) -> None:
        """Stop a container, killing it after `timeout` seconds; one that is stopped stays so."""
        with self._docker(f"stopping container {container[:12]}") as docker:
            docker.api.stop(container, timeout=timeout)

    def kill(self, container: str) -> None:
        """Send a container's first process SIGKILL."""
        with self._docker(f"killing container {container[:12]}") as docker:
            docker.api.kill(container)

    def pause(self, container: str) -> None:
        """Freeze all processes of a container."""
        with self._docker(f"pausing container {container[:12]}") as docker:
            docker.api.pause(container)

    def unpause(self, container: str) -> None:
        """Let the processes of a paused container go on."""
        with self._docker(f"unpausing container {container[:12]}") as docker:
            docker.api.unpause(container)

    def remove(self, container: str) -> None:
        """Kill and remove a container with its anonymous volumes, if it exists."""
        try:
            with suppress(NotThere), self._docker(f"removing container {container[:12]}") as docker:
                docker.api.remove_container(container, v=True, force=True)
        except LabError as error:
            if "already in progress" not in error.message:
                raise

    def wait(self, container: str) -> int:
        """Wait until a container exits; return its exit status."""
        with self._docker(f"waiting for container {container[:12]}") as docker:
            return int(docker.api.wait(container)["StatusCode"])

    def container_logs(self, container: str, lines: int = 50) -> str:
        """Return the last lines of a container's own output."""
        with self._docker(f"reading the log of container {container[:12]}") as docker:
            return bytes(docker.api.logs(container, tail=lines)).decode(errors="replace")

    def inspect(self, container: str) -> Mapping[str, Any]:
        """Return all that the engine says of a container, under the engine's names."""
        with attempt(f"inspecting container {container[:12]}"):
            found: Mapping[str, Any] = self._api.get(f"/containers/{quote(container)}/json")
            return found

    def put_files(self, container: str, files: Mapping[str, FileContent]) -> None:
        """Write files, by absolute path, to a container, running or not. A tmpfs is not supported."""
        with self._docker(f"copying files into container {container[:12]}") as docker:
            docker.api.put_archive(container, "/", tar(files))

    def open_exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        tty: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Exec:
        """Start a command in a running container and connect to it."""
        with attempt(f"running {argv[0]} in container {container[:12]}"):
            made = self._api.post(
                f"/containers/{quote(container)}/exec",
                {
                    "Cmd": list(argv),
                    "Env": [f"{name}={value}" for name, value in (environment or {}).items()],
                    "Tty": tty,
                    "AttachStdin": stdin,
                    "AttachStdout": True,
                    "AttachStderr": True,
                },
            )
            stream = self._api.stream(f"/exec/{made['Id']}/start", {"Tty": tty, "Detach": False})
            return Exec(self._api, made["Id"], stream, tty)

    def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        environment: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> ExecResult:
        """Run a command in a container to completion. Its output is returned unchanged.

        Raises `NoAnswer` if it has not exited within `within` seconds, by default COMMAND's; it then
        continues unattended. Raises what `stdin` raises.
        """
        seconds = COMMAND.seconds if within is None else within
        out, err = bytearray(), bytearray()
        session = self.open_exec(container, argv, stdin=stdin is not None, environment=environment)
        feeding = None if stdin is None else session.feed(stdin)
        try:
            for stream, data in session.frames(seconds):
                (err if stream == STDERR else out).extend(data)
        except TimeoutError as error:
            if feeding is not None and feeding.ended:
                feeding.result()  # raises why the input, and so the command, did not end
            raise NoAnswer(f"container {container[:12]}", shlex.join(argv), seconds) from error
        if feeding is not None:
            with suppress(threads.Late):  # the command has exited without reading all input
                feeding.result(INPUT_ENDS.seconds)
        return ExecResult(session.exit_code(), bytes(out), bytes(err))

    def run(
        self,
        container: str,
        commands: Mapping[str, Command],
        within: float,
        heed: Callable[[], None] = lambda: None,
    ) -> Mapping[str, Ended]:
        """Run commands in a container that has Python, at the same time, by its `Agent`; see `Agent.run`."""
        return self._agents.run(container, commands, within, heed)

    def meet(self, labels: Iterable[str]) -> None:
        """Start the agents of all running containers with these labels. Does not wait for them.

        An agent that does not start, says why to whoever has it run a command.
        """
        running = [item.id for item in self.containers(labels) if item.state == "running"]
        for container in running:
            threads.start(partial(self._agents.begin, container), name="meet")

    def _start_agent(self, container: str) -> Exec:
        return self.open_exec(container, program(inside, "agent"), stdin=True)


def _filters(labels: Mapping[str, str] | Iterable[str]) -> str:
    if isinstance(labels, Mapping):
        labels = [f"{key}={value}" for key, value in labels.items()]
    return json.dumps({"label": list(labels)})


def _image(attrs: Mapping[str, Any]) -> ImageInfo:
    return ImageInfo(
        attrs["Id"], tuple(attrs.get("RepoTags") or ()), attrs["Config"].get("Labels") or {}, attrs["Size"]
    )
