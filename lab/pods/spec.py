"""Kubernetes Pod YAML, parsed once into frozen types."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, field_validator

from lab import yamltext
from lab.errors import Unfit
from lab.pods import ignored as harmless
from lab.pods.reference import image_name
from lab.validation import DNS_LABEL, DNS_LABEL_WORDS, Model, short, validate

__all__ = [
    "ContainerSpec",
    "EnvVar",
    "PodSpec",
    "Port",
    "RestartPolicy",
    "expand",
    "from_document",
    "parse",
    "to_document",
]

DNS_NAME = re.compile(DNS_LABEL)
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")

RestartPolicy = Literal["Always", "OnFailure", "Never"]


def _image_name(value: str) -> str:
    image_name(value)
    return value


def _dns_label(value: str) -> str:
    if not DNS_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name: {DNS_LABEL_WORDS}")
    return value


class EnvVar(Model):
    """One environment variable."""

    name: str
    value: str = ""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not ENV_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not the name of an environment variable")
        return value


class Port(Model):
    """A port that a container listens on. Pods reach each other without publishing it."""

    ignored = harmless.PORT

    container_port: Annotated[StrictInt, Field(ge=1, le=65535)]
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class ContainerSpec(Model):
    """One container of a Pod."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[Port, ...] = ()
    working_dir: str = ""

    ignored = harmless.CONTAINER

    _name = field_validator("name")(_dns_label)
    _image = field_validator("image")(_image_name)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables, with `$(NAME)` replaced by the values of earlier ones, as in Kubernetes."""
        values: dict[str, str] = {}
        for variable in self.env:
            values[variable.name] = expand(variable.value, values)
        return values


class PodSpec(Model):
    """A Pod. `node` is its `nodeName`."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    node: str | None = None
    restart_policy: RestartPolicy = "Always"
    containers: tuple[ContainerSpec, ...]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of all its containers."""
        return {name: value for container in self.containers for name, value in container.environment.items()}

    def without_values(self) -> "PodSpec":
        """Return the Pod without the values of its variables, which may be passwords."""
        return self._with_env(lambda _container, variable: EnvVar(name=variable.name))

    def with_values(self, values: Mapping[str, Mapping[str, str]]) -> "PodSpec":
        """Return the Pod with these values of its variables, by container; values are taken literally."""

        def found(container: ContainerSpec, variable: EnvVar) -> EnvVar:
            value = values.get(container.name, {}).get(variable.name, "")
            literal = value.replace("$", "$$") if REFERENCE.search(value) else value
            return EnvVar(name=variable.name, value=literal)

        return self._with_env(found)

    def _with_env(self, change: Callable[[ContainerSpec, EnvVar], EnvVar]) -> "PodSpec":
        containers = tuple(
            item.model_copy(update={"env": tuple(change(item, variable) for variable in item.env)})
            for item in self.containers
        )
        return self.model_copy(update={"containers": containers})


class _Metadata(Model):
    name: str
    labels: dict[str, str] = Field(default_factory=dict)

    ignored = harmless.METADATA

    _name = field_validator("name")(_dns_label)


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


def to_document(pod: PodSpec) -> dict[str, Any]:
    """Write the Pod as Kubernetes does, without default values; `from_document` reads it back."""
    spec = {"nodeName": pod.node} if pod.node else {}
    dump = pod.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {key: dump[key] for key in ("name", "labels") if key in dump},
        "spec": spec | {key: dump[key] for key in ("restartPolicy", "containers") if key in dump},
    }


def expand(text: str, values: Mapping[str, str]) -> str:
    """Expand Kubernetes' `$(NAME)` in command, args and env: unknown names stay as they are, `$$` is `$`."""

    def replacement(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else values.get(match[1], match[0])

    return REFERENCE.sub(replacement, text)


def _doubles(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
