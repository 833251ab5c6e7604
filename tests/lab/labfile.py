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
        "pods": [to_document(pod) for pod in spec.pods],
        "privileged": spec.privileged,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _node_document(node: NodeSpec) -> dict[str, Any]:
    document = node.model_dump(exclude={"flanneld"})
    if node.flanneld != Flanneld():
        program = node.flanneld.program
        document["flanneld"] = {
            **({"binary": program.path} if program else {}),
            "options": list(node.flanneld.options),
        }
    return document
