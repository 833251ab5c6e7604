"""Which places somebody means by a word: a machine, a pod, or a device of a machine. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from lab.capture.model import Wanted
from lab.errors import Unfit
from lab.pods import RunningPod
from lab.spec import LabSpec
from lab.suggest import similar, suggest

__all__ = ["devices_named", "everything", "meant", "wanted"]


class Meant(NamedTuple):
    """A word, understood."""

    node: str
    device: str = ""
    """Empty: all of them."""
    pod: str = ""


def everything(spec: LabSpec, running: Collection[str]) -> Mapping[str, Wanted]:
    """What is captured without a word, by machine that runs: the underlay's devices, and every pod."""
    return {
        node.name: Wanted(
            devices=tuple(f"eth{number}" for number in range(len(node.attachments))),
            pods=None if node.runs("docker") else (),
        )
        for node in spec.nodes
        if node.name in running
    }


def meant(word: str, lab: str, nodes: Sequence[str], pods: Sequence[RunningPod]) -> Meant:
    """What a word means. Raises `Unfit`."""
    node, slash, device = word.partition("/")
    if slash and node in nodes and device:
        return Meant(node, device)
    if word in nodes:
        return Meant(word)
    for pod in pods:
        if pod.name == word:
            return Meant(pod.node, pod=word)
    if slash:
        links = [f"{name}/{device}" for name in nodes]
        maybe = similar(word, links) or suggest(node, nodes, "its machines are")
    else:
        maybe = suggest(word, [*nodes, *(pod.name for pod in pods)], "it has")
    raise Unfit(f"the lab {lab} has no machine, pod or link (MACHINE/DEVICE) {word}{maybe}")


def devices_named(places: Iterable[Meant]) -> Mapping[str, Sequence[str]]:
    """The devices that are named, by machine."""
    found: dict[str, list[str]] = {}
    for place in places:
        if place.device:
            found.setdefault(place.node, []).append(place.device)
    return found


def require(node: str, named: Iterable[str], there: Sequence[str]) -> None:
    """Raise `Unfit` if a machine that has these devices lacks one that is named."""
    for device in named:
        if device not in there:
            raise Unfit(f"{node} has no device {device}{suggest(device, there, 'it has')}")


def wanted(places: Iterable[Meant], running: Iterable[str]) -> Mapping[str, Wanted]:
    """What is captured, by machine: on some that run nothing, but they tell of faults and of leases."""
    found: dict[str, Wanted] = {name: Wanted() for name in running}
    for place in places:
        had = found.get(place.node, Wanted())
        pods, devices = had.pods or (), had.devices
        if place.pod:
            pods = tuple(dict.fromkeys((*pods, place.pod)))
        elif not place.device or devices is None:
            devices = None
        elif place.device not in devices:
            devices = (*devices, place.device)
        found[place.node] = Wanted(devices, pods)
    return found
