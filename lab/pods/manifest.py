"""A Pod's manifest: Kubernetes' YAML, read into `PodSpec`."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from lab import yamltext
from lab.errors import Unfit
from lab.pods import ignored as harmless
from lab.pods.spec import ContainerSpec, PodSpec, RestartPolicy, dns_label
from lab.validation import Model, short, validate

__all__ = ["from_document", "parse"]


class _Metadata(Model):
    name: str
    labels: dict[str, str] = Field(default_factory=dict)

    ignored = harmless.METADATA

    _name = field_validator("name")(dns_label)


class _Body(Model):
    node_name: str | None = None
    restart_policy: RestartPolicy = "Always"
    containers: tuple[ContainerSpec, ...]

    ignored = harmless.SPEC

    @field_validator("containers")
    @classmethod
    def _some(cls, value: tuple[ContainerSpec, ...]) -> tuple[ContainerSpec, ...]:
        if not value:
            raise ValueError("a Pod has at least one container")
        return value


class _Document(Model):
    """A Pod as kubectl reads it.

    See https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/.
    """

    api_version: Literal["v1"]
    kind: Literal["Pod"]
    metadata: _Metadata
    spec: _Body

    ignored = harmless.POD


def parse(text: str, source: str) -> tuple[PodSpec, ...]:
    """Parse the Pods in a YAML text of one or more documents.

    Raises `Unfit` with a line `source: path: what is wrong` for each error.
    """
    read = yamltext.load(text, source)
    documents = read.items
    if not documents:
        raise Unfit("\n".join([*read.problems, f"{source}: it contains no Pod"]))
    names = (
        [source] if len(documents) == 1 else [f"{source}, document {n}" for n in range(1, len(documents) + 1)]
    )
    pods, wrong = [], read.problems
    for document, name in zip(documents, names, strict=True):
        try:
            pods.append(from_document(document, name))
        except Unfit as error:
            wrong.append(error.message)
    wrong += [f"{source}: two Pods are called {name}" for name in _doubles([pod.name for pod in pods])]
    if wrong:
        raise Unfit("\n".join(wrong))
    return tuple(pods)


def from_document(document: object, source: str, at: str = "") -> PodSpec:
    """Parse one Pod from loaded YAML, at the path `at` of `source`. Raises `Unfit`."""
    kind = document.get("kind") if isinstance(document, dict) else None
    if isinstance(kind, str) and kind != "Pod":
        path = f"{at}.kind" if at else "kind"
        raise Unfit(f"{source}: {path}: the lab runs only Pods; got {short(kind)}")
    wrong = []
    if double := _doubles(_container_names(document)):
        path = f"{at}.spec.containers" if at else "spec.containers"
        wrong.append(f"{source}: {path}: two containers are called {', '.join(double)}")
    try:
        pod = validate(_Document, document, source, at)
    except Unfit as error:
        raise Unfit("\n".join([error.message, *wrong])) from error
    if wrong:
        raise Unfit("\n".join(wrong))
    return PodSpec(
        name=pod.metadata.name,
        labels=pod.metadata.labels,
        node=pod.spec.node_name,
        restart_policy=pod.spec.restart_policy,
        containers=pod.spec.containers,
    )


def _container_names(document: object) -> list[str]:
    """Return the container names of a document that may be invalid."""
    body = document.get("spec") if isinstance(document, dict) else None
    containers = body.get("containers") if isinstance(body, dict) else None
    entries = containers if isinstance(containers, list) else []
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    return [name for name in names if isinstance(name, str)]


def _doubles(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
