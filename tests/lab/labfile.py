"""Lab files, written."""

from typing import Any

import yaml

from lab.spec import Flanneld, LabSpec, NodeSpec
from lab.spec.segment import ONLY, Segment

__all__ = ["lab_file"]


def lab_file(spec: LabSpec) -> str:
    """The lab file of a lab, with everything written out; `load` reads it back."""
    document = {
        "name": spec.name,
        **_underlay(spec),
        "nodes": [_node_document(node) for node in spec.nodes],
        "flannel": {
            "config": spec.flannel_config,
            "prefix": spec.etcd_prefix,
            "etcdApi": spec.etcd_api,
            "options": list(spec.flanneld_options),
        },
        "etcd": spec.etcd.model_dump(),
        "pods": [pod.to_document() for pod in spec.pods],
        "checks": [item.model_dump() | {"run": list(item.run)} for item in spec.checks],
        "privileged": spec.privileged,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _underlay(spec: LabSpec) -> dict[str, Any]:
    """The keys of its segments."""

    def document(segment: Segment) -> dict[str, Any]:
        return {
            "subnet": str(segment.subnet) if segment.subnet else None,
            "ipv4": segment.ipv4,
            "ipv6": str(segment.ipv6) if segment.ipv6 else False,
            "onLink": segment.on_link,
            "mtu": segment.mtu,
            "impairment": segment.impairment,
        }

    if [segment.name for segment in spec.segments] == [ONLY]:
        return {"underlay": document(spec.segments[0])}
    return {"segments": {segment.name: document(segment) for segment in spec.segments}}


def _node_document(node: NodeSpec) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": node.name,
        "host": node.host,
        "segment": node.segment,
        "alsoOn": [place.model_dump() for place in node.also_on],
        "router": node.router,
        "masquerade": list(node.masquerade),
        "forwards": [item.model_dump() for item in node.forwards],
        "services": list(node.services),
        "sysctls": dict(node.sysctls),
        "files": [{"path": item.path, "text": item.text, "mode": f"{item.mode:04o}"} for item in node.files],
        "units": dict(node.units),
    }
    if node.runs("docker"):
        document["docker"] = {"bip": node.docker.bip, "options": list(node.docker.options)}
    if node.flanneld != Flanneld():
        program = node.flanneld.program
        document["flanneld"] = {
            **({"binary": program.path} if program else {}),
            "options": list(node.flanneld.options),
        }
    return document
