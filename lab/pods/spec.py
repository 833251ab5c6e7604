"""A Pod, as a frozen value; its manifest, in YAML, is `lab.pods.manifest`'s."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, field_validator

from lab.pods import ignored as harmless
from lab.pods.reference import image_name
from lab.validation import DNS_LABEL, DNS_LABEL_WORDS, Model

__all__ = [
    "ContainerSpec",
    "EnvVar",
    "PodSpec",
    "Port",
    "RestartPolicy",
    "dns_label",
    "expand",
]

DNS_NAME = re.compile(DNS_LABEL)
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")

RestartPolicy = Literal["Always", "OnFailure", "Never"]


def _image_name(value: str) -> str:
    image_name(value)
    return value


def dns_label(value: str) -> str:
    """A name as Kubernetes has it. Raises `ValueError`."""
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

    _name = field_validator("name")(dns_label)
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

    def to_document(self) -> dict[str, Any]:
        """Its manifest, without default values; `lab.pods.manifest.from_document` reads it back."""
        spec = {"nodeName": self.node} if self.node else {}
        dump = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {key: dump[key] for key in ("name", "labels") if key in dump},
            "spec": spec | {key: dump[key] for key in ("restartPolicy", "containers") if key in dump},
        }

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


def expand(text: str, values: Mapping[str, str]) -> str:
    """Expand Kubernetes' `$(NAME)` in command, args and env: unknown names stay as they are, `$$` is `$`."""

    def replacement(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else values.get(match[1], match[0])

    return REFERENCE.sub(replacement, text)
