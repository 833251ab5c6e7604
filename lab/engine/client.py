"""A Docker engine: short queries and effects.

What to create is decided elsewhere.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool, Mount
from docker.utils import parse_repository_tag

from lab import threads
from lab.deadlines import COMMAND, ENGINE_ANSWERS, INPUT_ENDS
from lab.engine import inside, swarm, swarm_calls
from lab.engine.agent import Command, Ended
from lab.engine.agents import Agents
from lab.engine.beside import Beside
from lab.engine.endpoint import Endpoint
from lab.engine.failures import attempt, reason, remedy_elsewhere, remedy_there
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
from lab.engine.transport import client as client_of
from lab.errors import LabError, NoAnswer
from lab.inside import program

__all__ = ["Engine"]


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

    def __init__(
        self, client: docker.DockerClient, endpoint: Endpoint, transport: Transport, info: Mapping[str, Any]
    ) -> None:
        self._client = client
        self._transport = transport
        self._api = client.api
        self.endpoint = endpoint
        self._beside = Beside(Engine.at)
        self._agents = Agents(self._start_agent)
        self.id: str = info["ID"]
        self.labels: frozenset[str] = frozenset(info.get("Labels") or ())
        self.is_here = is_here(endpoint, info)
        """Whether its networks are on this machine."""
        self.arch: str = {"x86_64": "amd64", "aarch64": "arm64"}.get(
            info["Architecture"], info["Architecture"]
        )

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
        try:
            client = client_of(transport, timeout=ENGINE_ANSWERS.seconds)
            return cls(client, endpoint, transport, client.info())
        except (DockerException, requests.RequestException, LabError) as error:
            seen = error.message if isinstance(error, LabError) else transport.said() or reason(error)
            transport.close()
            raise EngineUnavailable(
                f"no Docker engine answers at {endpoint}: {seen}",
                hint=remedy_elsewhere(endpoint.named, seen)
                or "`lab up` starts one where it can; DOCKER_HOST names another one.",
                named=endpoint.named,
            ) from error

    def beside(self, endpoint: Endpoint) -> "Engine":
        """Another engine of the same lab; closed with this one. Raises `EngineUnavailable`."""
        return self._beside.engine(endpoint)

    def ping(self) -> None:
        """Raise `EngineUnavailable` unless it still answers."""
        with attempt("asking whether it still answers"):
            self._client.ping()

    def close(self) -> None:
        """Close all connections."""
        self._beside.close()
        self._agents.close()
        self._client.close()
        self._transport.close()

    def describe(self) -> Mapping[str, Any]:
        """Return its version, with those of its parts, and what it says of the machine that it runs on."""
        with attempt("asking the engine for its version"):
            told = self._client.info()
            return {**self._client.version(), **{key: told.get(key) for key in ABOUT_ITS_MACHINE}}

    # Images

    def image(self, reference: str) -> ImageInfo | None:
        """Return the image with this name or ID, if the engine has it."""
        with attempt(f"looking up image {reference}"):
            try:
                return _image(self._client.images.get(reference).attrs)
            except ImageNotFound:
                return None

    def images(self, label: str) -> tuple[ImageInfo, ...]:
        """Return all images with the label (`key` or `key=value`)."""
        with attempt("listing images"):
            return tuple(_image(image.attrs) for image in self._client.images.list(filters={"label": label}))

    def pull(self, reference: str) -> str | None:
        """Pull an image; return None on success, or why it could not be pulled."""
        try:
            named, _, digest = reference.partition("@")
            repository, tag = parse_repository_tag(named)
            self._client.images.pull(repository, tag=digest or tag)
        except APIError as error:
            return str(error.explanation or error)
        except (DockerException, requests.RequestException) as error:
            return reason(error)
        return None

    def build(
        self, context: BinaryIO, *, tag: str, args: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Build an image with the classic builder from a tar with a `Dockerfile` at the top level.

        Raises `LabError` with the last lines of the build's output.
        """
        tail: list[str] = []
        with attempt(f"building {tag}"):
            for event in self._api.build(
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
        with attempt(f"importing {tag}"):
            self._api.import_image_from_stream(
                pieces,
                repository=repository,
                tag=version,
                changes=[f"LABEL {key}={value}" for key, value in labels.items()],
            )

    def save_image(self, reference: str) -> Iterator[bytes]:
        """Yield an image as `docker save` writes it: under this name, or without a name if this is its ID."""
        with attempt(f"saving {reference}"):
            yield from self._api.get_image(reference)

    def load_images(self, archive: BinaryIO | Iterator[bytes]) -> tuple[str, ...]:
        """Load the images of an archive from `save_image` into the engine; return their names."""
        output: list[str] = []
        with attempt("loading images"):
            for event in self._api.load_image(archive, quiet=True):  # type: ignore[no-untyped-call]
                if "error" in event:
                    raise LabError(f"loading images: {event['error']}")
                output += str(event.get("stream", "")).splitlines()
        loaded = ("Loaded image: ", "Loaded image ID: ")
        return tuple(
            line.removeprefix(words) for line in output for words in loaded if line.startswith(words)
        )

    def remove_image(self, reference: str) -> None:
        """Remove an image, if it exists."""
        with attempt(f"removing image {reference}"):
            try:
                self._client.images.remove(reference, force=True)
            except ImageNotFound:
                return

    # Networks and volumes

    def networks(self, labels: Mapping[str, str] | Iterable[str] = ()) -> tuple[Network, ...]:
        """Return the networks with all of these labels."""
        with attempt("listing networks"):
            return tuple(network_of(item) for item in self._api.networks(filters=_filters(labels)))

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
        with attempt(f"creating network {name} ({subnet})"):
            try:
                made = self._client.networks.create(
                    name,
                    driver="bridge",
                    internal=internal,
                    options=options,
                    check_duplicate=True,
                    ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]),
                    labels=dict(labels),
                )
            except APIError as error:
                if "overlap" in str(error.explanation).lower():
                    raise SubnetTaken(f"another network of the engine overlaps {subnet}") from error
                raise
            return network_of(made.attrs)

    def create_overlay(
        self, name: str, subnet: str, labels: Mapping[str, str], *, engines: str, mtu: int | None = None
    ) -> Network:
        """Create an internal network that reaches all engines of the swarm. Raises `SubnetTaken`.

        `engines` is the part of the subnet from which each engine has an address of its own.
        """
        with attempt(f"creating the swarm's network {name} ({subnet})"):
            return swarm_calls.create(self._client, name, subnet, labels, engines=engines, mtu=mtu)

    def swarm(self) -> swarm.Member:
        """Return what the engine says of the swarm that it is in."""
        with attempt("asking the engine for its swarm"):
            return swarm_calls.look(self._client)

    def begin_swarm(self, address: str) -> None:
        """Make the engine the manager of a new swarm; the others reach it at `address`, if it has several."""
        with attempt("beginning a swarm"):
            swarm_calls.begin(self._client, address)

    def join_swarm(self, manager: "Engine") -> None:
        """Make the engine a worker of the swarm that another one manages."""
        with attempt("joining a swarm"):
            swarm_calls.join(self._client, manager._client)

    def remove_network(self, network: str) -> None:
        """Remove a network, if it exists."""
        with attempt(f"removing network {network}"):
            try:
                self._api.remove_network(network)
            except NotFound:
                return

    def volumes(self, labels: Mapping[str, str] | Iterable[str]) -> tuple[Volume, ...]:
        """Return the volumes with all of these labels."""
        with attempt("listing volumes"):
            found = self._api.volumes(filters=_filters(labels))["Volumes"] or ()
            return tuple(Volume(item["Name"], item.get("Labels") or {}) for item in found)

    def volume(self, name: str) -> Volume | None:
        """Return the volume of this name, without waiting for what becomes of others, as a list does."""
        with attempt(f"looking for volume {name}"):
            try:
                item = self._api.inspect_volume(name)
            except NotFound:
                return None
            return Volume(item["Name"], item.get("Labels") or {})

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Create a volume; an existing one of that name is left unchanged."""
        with attempt(f"creating volume {name}"):
            self._api.create_volume(name, labels=dict(labels))

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if it exists."""
        with attempt(f"removing volume {name}"):
            try:
                self._api.remove_volume(name, force=True)
            except NotFound:
                return

    # Containers

    def containers(self, labels: Mapping[str, str] | Iterable[str]) -> tuple[Container, ...]:
        """Return the containers, in any state, with all of these labels."""
        with attempt("listing containers"):
            return tuple(
                Container(item["Id"], item["Names"][0][1:], item["Labels"], item["State"], item["Status"])
                for item in self._api.containers(all=True, filters=_filters(labels))
                if item["Names"]
            )

    def create(self, config: ContainerConfig) -> str:
        """Create a container without starting it; return its ID. Never pulls."""
        mounts = [
            Mount(point.removesuffix(":ro"), volume, type="volume", read_only=point.endswith(":ro"))
            for volume, point in config.volumes.items()
        ]
        given = config.confinement
        with attempt(f"creating container {config.name}"):
            host = self._api.create_host_config(
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
                name: self._api.create_endpoint_config(ipv4_address=address)
                for name, address in config.networks.items()
            }
            made = self._api.create_container(
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
                self._api.connect_container_to_network(made["Id"], name, ipv4_address=address)
            return str(made["Id"])

    def start(self, container: str) -> None:
        """Start a created or stopped container."""
        with attempt(f"starting container {container[:12]}"):
            self._api.start(container)

    def restart(self, container: str, timeout: int = 10) -> None:
        """Stop a container (killing it after `timeout` seconds) and start it again."""
        with attempt(f"restarting container {container[:12]}"):
            self._api.restart(container, timeout=timeout)

    def stop(self, container: str, timeout: int) -> None:
        """Stop a container, killing it after `timeout` seconds; one that is stopped stays so."""
        with attempt(f"stopping container {container[:12]}"):
            self._api.stop(container, timeout=timeout)

    def kill(self, container: str) -> None:
        """Send a container's first process SIGKILL."""
        with attempt(f"killing container {container[:12]}"):
            self._api.kill(container)

    def pause(self, container: str) -> None:
        """Freeze all processes of a container."""
        with attempt(f"pausing container {container[:12]}"):
            self._api.pause(container)

    def unpause(self, container: str) -> None:
        """Let the processes of a paused container go on."""
        with attempt(f"unpausing container {container[:12]}"):
            self._api.unpause(container)

    def remove(self, container: str) -> None:
        """Kill and remove a container with its anonymous volumes, if it exists."""
        with attempt(f"removing container {container[:12]}"):
            try:
                self._api.remove_container(container, v=True, force=True)
            except NotFound:
                return
            except APIError as error:
                if "already in progress" not in str(error.explanation):
                    raise

    def wait(self, container: str) -> int:
        """Wait until a container exits; return its exit status."""
        with attempt(f"waiting for container {container[:12]}"):
            return int(self._api.wait(container)["StatusCode"])

    def container_logs(self, container: str, lines: int = 50) -> str:
        """Return the last lines of a container's own output."""
        with attempt(f"reading the log of container {container[:12]}"):
            return bytes(self._api.logs(container, tail=lines)).decode(errors="replace")

    def inspect(self, container: str) -> Mapping[str, Any]:
        """Return all that the engine says of a container, under the engine's names."""
        with attempt(f"inspecting container {container[:12]}"):
            found: Mapping[str, Any] = self._api.inspect_container(container)
            return found

    def put_files(self, container: str, files: Mapping[str, FileContent]) -> None:
        """Write files, by absolute path, to a container, running or not. A tmpfs is not supported."""
        with attempt(f"copying files into container {container[:12]}"):
            self._api.put_archive(container, "/", tar(files))

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
            made = self._api.exec_create(
                container, list(argv), stdin=stdin, tty=tty, environment=dict(environment or {})
            )
            return Exec(self._api, made["Id"], self._api.exec_start(made["Id"], socket=True, tty=tty), tty)

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

    def _start_agent(self, container: str) -> Exec:
        return self.open_exec(container, program(inside, "agent"), stdin=True)


def _filters(labels: Mapping[str, str] | Iterable[str]) -> dict[str, Any]:
    if isinstance(labels, Mapping):
        return {"label": [f"{key}={value}" for key, value in labels.items()]}
    return {"label": list(labels)}


def _image(attrs: Mapping[str, Any]) -> ImageInfo:
    return ImageInfo(
        attrs["Id"], tuple(attrs.get("RepoTags") or ()), attrs["Config"].get("Labels") or {}, attrs["Size"]
    )
