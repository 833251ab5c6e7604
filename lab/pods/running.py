"""Running pods, from the output of `docker inspect`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pydantic import ValidationError

from lab.errors import LabError, Unfit
from lab.labels import POD, POD_PART, POD_SPEC
from lab.pods.containers import container_name
from lab.pods.spec import PodSpec, RestartPolicy
from lab.suggest import suggest

__all__ = ["RunningPod", "list_argv", "parse_inspect"]

LIST = """
    ids=$(docker ps --all --quiet --filter "label=$0") || exit
    if [ -n "$ids" ]; then docker inspect $ids; else echo "[]"; fi
"""


def list_argv() -> list[str]:
    """Return the command, to run on a node, whose output `parse_inspect` reads."""
    return ["sh", "-c", LIST, POD]


@dataclass(frozen=True, slots=True)
class RunningPod:
    """A pod on its node."""

    name: str
    node: str
    address: IPv4Address | None
    """None while its infra container is not running."""
    status: str
    """The status in kubectl's terms.

    Running, ContainerCreating, Completed, Error, CrashLoopBackOff, Paused, or NotReady if the pod has no
    network or some of its containers have completed.
    """
    ready: str
    """How many of its containers are running, such as `1/1`."""
    restarts: int
    """How often Docker has restarted its containers since each was last started by a command."""
    created: datetime
    spec: PodSpec
    containers: tuple[str, ...]
    """The names of its containers in the node's engine, in the Pod's order, without the infra container."""
    infra_pid: int
    """A process on the node in the pod's network namespace; 0 if there is none."""
    address6: IPv6Address | None = None
    """Its IPv6 address, if its node's Docker gives one."""

    def of(self, family: int) -> IPv4Address | IPv6Address | None:
        """Its address of one family."""
        return self.address if family == 4 else self.address6

    def container(self, name: str | None = None) -> str:
        """Return the name of a container in the node's engine, by default the first. Raises `LabError`."""
        known = [container.name for container in self.spec.containers]
        if name is not None and name not in known:
            raise Unfit(f"the pod {self.name} has no container {name}{suggest(name, known, 'it has')}")
        full = container_name(self.name, name or known[0])
        if full not in self.containers:
            raise LabError(f"the pod {self.name}: its container {name or known[0]} is not on {self.node}")
        return full


def parse_inspect(node: str, text: str) -> tuple[RunningPod, ...]:
    """Parse the pods of a node, by name, from `docker inspect` of all containers labelled `lab.pod`.

    Raises `LabError` if the JSON is something else.
    """
    try:
        containers = json.loads(text)
        names = sorted({item["Config"]["Labels"][POD] for item in containers})
        return tuple(
            _pod(node, name, [item for item in containers if item["Config"]["Labels"][POD] == name])
            for name in names
        )
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        words = f"{type(error).__name__}: {error}"
        raise LabError(
            f"{node}: reading the pods from docker inspect: {words}; its output: {text[:200]}"
        ) from error


def _pod(node: str, name: str, parts: Sequence[Mapping[str, Any]]) -> RunningPod:
    labelled = PodSpec.model_validate_json(parts[0]["Config"]["Labels"][POD_SPEC])
    infra = next((item for item in parts if item["Config"]["Labels"][POD_PART] == "infra"), None)
    found = {item["Name"].lstrip("/"): item for item in parts if item is not infra}
    spec = labelled.with_values(
        {
            container.name: _environment(found[full])
            for container in labelled.containers
            if (full := container_name(name, container.name)) in found
        }
    )
    names = tuple(container_name(name, container.name) for container in spec.containers)
    states = [found[key]["State"] if key in found else None for key in names]
    alive = infra is not None and infra["State"]["Status"] == "running"
    running = sum(state is not None and state["Status"] == "running" for state in states)
    return RunningPod(
        name=name,
        node=node,
        address=_address(infra) if infra is not None and alive else None,
        status=_status(alive, states, spec.restart_policy),
        ready=f"{running}/{len(names)}",
        restarts=sum(item["RestartCount"] for item in found.values()),
        created=datetime.fromisoformat((infra or parts[0])["Created"]),
        spec=spec,
        containers=tuple(key for key in names if key in found),
        infra_pid=infra["State"]["Pid"] if infra is not None and alive else 0,
        address6=_address6(infra) if infra is not None and alive else None,
    )


def _environment(container: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the environment of a container, including the image's variables."""
    return dict(item.split("=", 1) for item in container["Config"]["Env"] or () if "=" in item)


def _address(infra: Mapping[str, Any]) -> IPv4Address | None:
    addresses = [item["IPAddress"] for item in infra["NetworkSettings"]["Networks"].values()]
    return IPv4Address(addresses[0]) if any(addresses) else None


def _address6(infra: Mapping[str, Any]) -> IPv6Address | None:
    addresses = [item.get("GlobalIPv6Address") for item in infra["NetworkSettings"]["Networks"].values()]
    return IPv6Address(addresses[0]) if any(addresses) else None


def _status(alive: bool, states: Sequence[Mapping[str, Any] | None], policy: RestartPolicy) -> str:
    kinds = {"missing" if state is None else str(state["Status"]) for state in states}
    codes = [
        state["ExitCode"] for state in states if state is not None and state["Status"] in {"exited", "dead"}
    ]
    if not alive:
        # After a reboot a completed pod is not started, and needs no network.
        done = policy != "Always" and len(codes) == len(states) and not any(codes)
        return "Completed" if done else "NotReady"
    if "restarting" in kinds:
        return "CrashLoopBackOff"
    if any(codes):
        return "Error"
    if kinds & {"missing", "created"}:
        return "ContainerCreating"
    if "paused" in kinds:
        return "Paused"
    if codes:
        return "Completed" if len(codes) == len(states) else "NotReady"
    return "Running"
