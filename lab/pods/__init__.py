"""Kubernetes Pods: their YAML, their placement, and the `docker run` commands that create them.

As in Kubernetes with Docker, a Pod consists of an infra container, which holds the network namespace and the
host name, and the Pod's containers in that namespace. Names and labels hold all state: `lab.pod` (its name),
`lab.pod.part` (infra or container), `lab.pod.restart` (restartPolicy) and `lab.pod.spec` (JSON).
"""

from lab.pods.containers import INFRA_IMAGE, SEEDED_IMAGE, container_name, docker_argv, infra_argv, infra_name
from lab.pods.placement import place
from lab.pods.reference import ImageName, image_name, name_on_machine
from lab.pods.running import RunningPod, list_argv, parse_inspect
from lab.pods.spec import ContainerSpec, EnvVar, PodSpec, Port

__all__ = [
    "INFRA_IMAGE",
    "SEEDED_IMAGE",
    "ContainerSpec",
    "EnvVar",
    "ImageName",
    "PodSpec",
    "Port",
    "RunningPod",
    "container_name",
    "docker_argv",
    "image_name",
    "infra_argv",
    "infra_name",
    "list_argv",
    "name_on_machine",
    "parse_inspect",
    "place",
]
