"""Lab files, written."""

from typing import Any

import yaml

from lab.pods import to_document
from lab.spec import Flanneld, LabSpec, NodeSpec
from lab.spec.model import underlay_of

__all__ = ["lab_file"]


def lab_file(spec: LabSpec) -> str:
    """The lab file of a lab, with everything written out; `load` reads it back."""
    document = {
        "name": spec.name,
        **({"underlay": str(spec.underlay)} if spec.underlay != underlay_of(spec.name) else {}),
        "nodes": [_node_document(node) for node in spec.nodes],
        "flannel": {
            "config": spec.flannel_config,
            "prefix": spec.etcd_prefix,
            "etcdApi": spec.etcd_api,
            "options": list(spec.flanneld_options),
        },
        "etcd": spec.etcd.model_dump(),
        "pods": [to_document(pod) for pod in spec.pods],
        "checks": [item.model_dump() | {"run": list(item.run)} for item in spec.checks],
        "privileged": spec.privileged,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _node_document(node: NodeSpec) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": node.name,
        "host": node.host,
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
