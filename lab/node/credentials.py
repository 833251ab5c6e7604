"""What lets a lab's machines into its etcd: made for each lab, and kept on its nodes alone."""

import secrets
from collections.abc import Mapping

from lab.node.etcd import Certificate, Credentials
from lab.spec import LabSpec

__all__ = ["make_credentials"]


def make_credentials(spec: LabSpec) -> Credentials:
    """Make what this lab needs: keys and passwords that were never used before."""
    authority, nodes = _certificates(spec) if spec.etcd.tls else (b"", {})
    root, flannel = (secrets.token_urlsafe(18) if spec.etcd.auth else "" for _ in range(2))
    return Credentials(authority, nodes, root, flannel)


def _certificates(spec: LabSpec) -> tuple[bytes, Mapping[str, Certificate]]:
    from lab.node.certificates import make_certificates  # only where it is needed: it loads much

    return make_certificates(node.name for node in spec.nodes)
