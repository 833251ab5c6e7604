"""What Kubernetes' kubelet does on a node, as far as the lab needs it: pods in the node's own Docker."""

import threading
import time
from collections.abc import Callable, Sequence

from lab import labels, wait
from lab.deadlines import IMAGE_CARRIED, PACKET, POD_ANSWERS, QUESTION
from lab.engine import Engine
from lab.errors import LabError, NoAnswer
from lab.naming import name_option
from lab.node import Node
from lab.pods import (
    SEEDED_IMAGE,
    ContainerSpec,
    PodSpec,
    RunningPod,
    docker_argv,
    image_name,
    infra_argv,
    list_argv,
    name_on_machine,
    parse_inspect,
)

__all__ = ["DockerDown", "await_pod", "list_pods", "remove_pod", "run_pod"]

# It says "Loaded image ID: sha256:DIGITS".
LOAD = """
    said=$(docker load --quiet) || exit
    docker tag "${said##*: }" "$1"
"""

LOOK = 1.0
"""Seconds for which what Docker has said of a pod is taken to be so."""


class DockerDown(LabError):
    """A node's own Docker does not answer, so nobody can say which pods it has."""


def list_pods(node: Node) -> Sequence[RunningPod]:
    """The pods on a node. Raises `DockerDown`."""
    try:
        listing = node.run(list_argv(), check=False, within=QUESTION.seconds)
    except NoAnswer as error:
        raise _docker_down(node, f"nothing within {error.seconds:.0f} s") from error
    if listing.exit_code != 0:
        raise _docker_down(node, listing.output.strip())
    return parse_inspect(node.name, listing.text)


def _docker_down(node: Node, seen: str) -> DockerDown:
    option = name_option(node.lab)
    return DockerDown(
        f"{node.name}: its Docker does not answer: {seen}",
        hint=f"See: lab logs{option} {node.name} docker; "
        f"start it: lab exec{option} {node.name} -- systemctl start docker",
    )


def run_pod(engine: Engine, node: Node, pod: PodSpec, *, cancel: threading.Event | None = None) -> None:
    """Run a pod on a node; wait until its containers run, or have done their work, and its ports answer.

    Raises `LabError`; a pod that could not be made whole is removed again, and what could not be is told in a
    note. So it is when `cancel` is set, which is heeded between what the node's Docker is asked for.
    """
    cancel = cancel or threading.Event()
    for image in dict.fromkeys(container.image for container in pod.containers):
        _go_on(cancel)
        _bring_image(engine, node, image)
    _go_on(cancel)
    try:
        node.run(infra_argv(pod))
        for container in pod.containers:
            _go_on(cancel)
            _run_container(node, pod, container)
        await_pod(node, pod, cancel=cancel)
    except BaseException as error:
        try:
            remove_pod(node, pod.name)
        except LabError as failed:
            command = f"lab pod rm{name_option(node.lab)} {pod.name}"
            error.add_note(f"Not all of the pod {pod.name} could be removed: {failed.message}")
            error.add_note(f"Remove what is left of it with: {command}")
        raise


def await_pod(node: Node, pod: PodSpec, *, cancel: threading.Event | None = None) -> None:
    """Wait until a pod's containers run, or have done their work, and its ports answer. Raises `LabError`."""
    wait.until(
        _ready(node, pod),
        what=f"the pod {pod.name} on {node.name} to answer on its ports",
        timeout=POD_ANSWERS.seconds,
        cancel=cancel,
    )


def _go_on(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise wait.Cancelled("the pod was called off")


def remove_pod(node: Node, name: str) -> None:
    """Remove a pod's containers and their anonymous volumes."""
    script = """
        ids=$(docker ps --all --quiet --filter "label=$0") || exit
        [ -z "$ids" ] || docker rm --force --volumes $ids
    """
    node.run(["sh", "-c", script, f"{labels.POD}={name}"])


def _run_container(node: Node, pod: PodSpec, container: ContainerSpec) -> None:
    """Start one; that it failed is told without what its variables hold."""
    argv = docker_argv(pod, container)
    done = node.run(argv, check=False)
    if done.exit_code != 0:
        open_ = pod.without_values()
        (told,) = [docker_argv(open_, item) for item in open_.containers if item.name == container.name]
        raise node.failure(told, done)


def _ready(node: Node, pod: PodSpec) -> Callable[[], bool | wait.NotYet]:
    """The probe of a wait for a pod: its containers run, or have done their work, and its ports answer.

    Docker is asked once a second at most: its program takes as much processor time as ten tries of a port,
    just when those of the pods start.
    """
    seen: RunningPod | None = None
    asked_at = 0.0

    def ready() -> bool | wait.NotYet:
        nonlocal seen, asked_at
        if seen is None or time.monotonic() - asked_at >= LOOK:
            looked, asked_at = _running(node, pod), time.monotonic()
            if not isinstance(looked, RunningPod):
                seen = None
                return looked
            seen = looked
        return _answers(node, pod, seen)

    return ready


def _running(node: Node, pod: PodSpec) -> RunningPod | bool | wait.NotYet:
    """The pod, if it runs with an address; whether it has done its work."""
    seen = next((item for item in list_pods(node) if item.name == pod.name), None)
    if seen is None or seen.address is None:
        return wait.NotYet("the pod has no address yet")
    if seen.status == "Completed":
        return True
    if seen.status == "Running":
        return seen
    logs = [node.run(["docker", "logs", "--tail", "5", item], check=False).output for item in seen.containers]
    told = "\n".join([seen.status, *logs]).strip()
    if seen.status == "Error" and pod.restart_policy == "Never":
        raise LabError(f"the pod {pod.name} has failed: {told}")
    return wait.NotYet(told)


def _answers(node: Node, pod: PodSpec, seen: RunningPod) -> bool | wait.NotYet:
    """Whether each of its ports accepts a connection."""
    for port in _tcp_ports(pod):
        probe = ["timeout", f"{PACKET.seconds:g}", "bash", "-c", f"exec 3<>/dev/tcp/{seen.address}/{port}"]
        if node.run(probe, check=False).exit_code != 0:
            return wait.NotYet(f"{seen.address} does not accept a connection on port {port}")
    return True


def _tcp_ports(pod: PodSpec) -> Sequence[int]:
    every = [port for container in pod.containers for port in container.ports]
    return [port.container_port for port in every if port.protocol == "TCP"]


def _bring_image(engine: Engine, node: Node, image: str) -> None:
    """See that a minion's own engine has an image: seeded, or carried over from the engine that runs the lab.

    Machines have no way out, so nothing is pulled on them.
    """
    local = name_on_machine(image)
    if (
        image_name(image) == SEEDED_IMAGE
        or node.run(["docker", "image", "inspect", local], check=False).exit_code == 0
    ):
        return
    found = engine.image(image)
    if found is None:
        why = engine.pull(image) or "it was pulled, and is not there"
        found = engine.image(image)
        if found is None:
            raise LabError(
                f"the image {image} is neither on the engine nor to be pulled: {why}",
                hint="From an archive it gets there with: lab images load FILE",
            )
    # Carried by its identifier, and named there: no name is made on the engine that runs the lab.
    load, archive = ["sh", "-c", LOAD, "sh", local], engine.save_image(found.id)
    result = node.engine.exec(node.container.id, load, stdin=archive, within=IMAGE_CARRIED.seconds)
    if result.exit_code != 0:
        raise node.failure(load, result, stdin=True, doing=f"loading the image {image}")
