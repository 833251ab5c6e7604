"""The files that the lab puts into a machine before its first start: today's daemon, and its settings.

The node image holds the daemon's dependencies only, so a change to the daemon needs no image build.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from lab.engine import FileContent
from lab.errors import Unfit
from lab.spec import LabSpec

__all__ = ["daemon_files", "sysconfig"]

DEFAULT_PREFIX = "/coreos.com/network"
"""flanneld's own default of -etcd-prefix."""


def daemon_files(package: Path | None = None) -> Mapping[str, FileContent]:
    """The Python sources of `flanneld_py`, by the path that they have on a machine."""
    if package is None:
        spec = find_spec("flanneld_py")  # finds it without importing it: the two packages stay apart
        if spec is None or spec.origin is None:
            raise Unfit("the package flanneld_py is not installed beside lab", hint="make setup")
        package = Path(spec.origin).parent
    return {
        f"/usr/lib/flanneld/flanneld_py/{path.relative_to(package)}": FileContent(path.read_bytes())
        for path in sorted(package.rglob("*.py"))
    }


def sysconfig(spec: LabSpec) -> FileContent:
    """The tutorial's /etc/sysconfig/flanneld (its section 3.4), with the lab's own values.

    The tutorial's unit does not hand FLANNEL_ETCD_KEY on, so another prefix than flanneld's own goes
    among the options.
    """
    prefix = [] if spec.etcd_prefix == DEFAULT_PREFIX else [f"-etcd-prefix={spec.etcd_prefix}"]
    text = f"""\
# Flanneld configuration options
# etcd url location
FLANNEL_ETCD="http://{spec.master.name}:2379"

# etcs config key
FLANNEL_ETCD_KEY="{spec.etcd_prefix}"

# Any additonal options
FLANNEL_OPTIONS="{" ".join([*spec.flanneld_options, *prefix])}"
"""
    return FileContent(text.encode())
