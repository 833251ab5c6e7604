"""The commands that create a pod's containers in its node's Docker engine."""

from collections.abc import Mapping
from typing import Final

from lab import labels
from lab.pods.reference import image_name, name_on_machine
from lab.pods.spec import ContainerSpec, PodSpec, RestartPolicy, expand

__all__ = [
    "INFRA_IMAGE",
    "SEEDED_IMAGE",
    "container_name",
    "docker_argv",
    "infra_argv",
    "infra_name",
]

INFRA_IMAGE: Final = "lab-pause"
SEEDED_IMAGE: Final = image_name("mysql")
"""The MySQL image that every minion has from the start."""

DOCKER_RESTART: Mapping[RestartPolicy, str] = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}


def container_name(pod: str, container: str) -> str:
    """Return a container's name in its node's engine; it is unique, as DNS labels do not contain `_`."""
    return f"{pod}_{container}"


def infra_name(pod: str) -> str:
    """Return the name of the container that holds a pod's network namespace."""
    return f"lab-pod-{pod}"


def infra_argv(pod: PodSpec) -> list[str]:
    """Build the `docker run` command of the infra container.

    Docker must not restart it: the pod's containers would stay in the dead namespace. The node's
    lab-pods.service starts infra containers, then the others, whenever Docker has started.
    """
    return [
        *(
            "docker",
            "run",
            "--detach",
            "--pull=never",
            "--name",
            infra_name(pod.name),
            "--hostname",
            pod.name,
        ),
        *_labels(pod, "infra"),
        *(
            "--restart=no",
            "--stop-signal",
            "SIGKILL",
        ),  # as PID 1 it ignores SIGTERM, and it has nothing to save
        INFRA_IMAGE,
    ]


def docker_argv(pod: PodSpec, container: ContainerSpec) -> list[str]:
    """Build the `docker run` command of a container, which shares the pod's network namespace and host name.

    As in Kubernetes, `command` replaces the image's entrypoint and its arguments, `args` only the arguments.
    Docker restarts a container that exits according to the pod's restartPolicy.
    """
    values = container.environment
    words = [expand(word, values) for word in (*container.command, *container.args)]
    entrypoint = ["--entrypoint", words.pop(0)] if container.command else []
    return [
        *("docker", "run", "--detach", "--pull=never", "--name", container_name(pod.name, container.name)),
        *("--network", f"container:{infra_name(pod.name)}"),
        *_labels(pod, "container"),
        f"--restart={DOCKER_RESTART[pod.restart_policy]}",
        *(word for name, value in values.items() for word in ("--env", f"{name}={value}")),
        *(("--workdir", container.working_dir) if container.working_dir else ()),
        *entrypoint,
        name_on_machine(container.image),
        *words,
    ]


def _labels(pod: PodSpec, part: str) -> list[str]:
    """Build the labels of a container. The values of the pod's variables are only in its environment."""
    spec = pod.without_values().model_dump_json(exclude_defaults=True)
    found = labels.of_pod(pod.name, part, pod.restart_policy, spec)
    return [word for key, value in found.items() for word in ("--label", f"{key}={value}")]
