"""The files that the lab puts into a machine before its first start: today's daemon, and its settings.

The node image holds the daemon's dependencies, and byte code that Python uses where the source is still the
same, so a change to the daemon needs no image build.
"""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lab.capture.inside import PROGRAM as CAPTURE
from lab.engine import FileContent, text_files
from lab.errors import Unfit
from lab.faults.impairment.inside import PROGRAM as IMPAIR
from lab.faults.inside import PROGRAM as FAULTS
from lab.faults.inside import SERVICES
from lab.node.docker import docker_files
from lab.node.etcd import Credentials, endpoints, etcd_files, flanneld_environment, flanneld_options
from lab.node.impaired import impaired_files
from lab.node.inside import PROGRAM as SUPERVISE
from lab.node.services import UNIT_FOLDER
from lab.spec import LabSpec, NodeSpec, program_bytes
from lab.spec.node import NodeFile
from lab.spec.source import content
from lab.trace.inside import PROGRAM as TRACE
from lab.web.inside import PROGRAM as WATCH

__all__ = ["DAEMON", "PROGRAMS", "SPEC_FILE", "daemon_files", "node_files", "spec_keeper", "sysconfig"]

DAEMON = "/usr/lib/flanneld"
"""Where `flanneld_py` lies on a machine."""

SPEC_FILE = "/etc/overlay-lab/spec.json"
"""On one machine, for root: all that the lab was made from, with the pods' passwords, which no label has."""

PROGRAMS = (SUPERVISE, FAULTS, IMPAIR, TRACE, CAPTURE, WATCH)
"""The laboratory's own, which every machine has."""

DEFAULT_PREFIX = "/coreos.com/network"
"""flanneld's own default of -etcd-prefix."""


def spec_keeper(spec: LabSpec) -> str:
    """The machine that has SPEC_FILE: the first that runs etcd, else the first of all."""
    return (*spec.running("etcd"), *spec.nodes)[0].name


def node_files(
    spec: LabSpec, node: NodeSpec, arch: str, credentials: Credentials | None = None
) -> Mapping[str, FileContent]:
    """What a machine has beside its image, by path; `arch` is Debian's name of its architecture.

    mk-docker-opts.sh stays ours with every flanneld: it reads /run/flannel/subnet.env, and the machine's
    units ask for the tutorial's `mk-docker-opts.sh -i`. The lab file's own files come last, so that they can
    replace any other. Raises `Unfit`.
    """
    credentials = credentials or Credentials()
    files = dict(_programs())
    if node.name == spec_keeper(spec):
        files[SPEC_FILE] = FileContent(spec.to_json().encode(), 0o600)
    files |= {**etcd_files(spec, node, credentials), **impaired_files(spec, node)}
    if node.runs("flanneld"):
        files["/etc/sysconfig/flanneld"] = sysconfig(spec, node, credentials)
        program = node.flanneld.program
        if program is not None:
            files["/usr/bin/flanneld"] = FileContent(program_bytes(program, arch), 0o755)
    if node.runs("docker"):
        files |= docker_files(node, spec.families)
    if node.runs("flanneld") or node.in_overlay:  # mk-docker-opts.sh is a part of it
        files |= daemon_files()
    files |= {f"{UNIT_FOLDER}/{name}": FileContent(text.encode()) for name, text in node.units.items()}
    return files | {item.path: FileContent(_content(item), item.mode) for item in node.files}


@cache
def _programs() -> Mapping[str, FileContent]:
    """The laboratory's own on every machine; they are the same on all, and take a while to be read."""
    texts = {path: text for program in PROGRAMS for path, text in program.texts().items()}
    return text_files({**SERVICES, **texts})


def _content(item: NodeFile) -> bytes:
    return (item.text or "").encode() if item.source is None else content(item.source)


def daemon_files(package: Path | None = None) -> Mapping[str, FileContent]:
    """`flanneld_py`, by the path that it has on a machine: sources, and what is compiled from them."""
    if package is None:
        spec = find_spec("flanneld_py")  # finds it without importing it: the two packages stay apart
        if spec is None or spec.origin is None:
            raise Unfit(
                "the package flanneld_py is not installed beside lab",
                hint="pip install overlay-lab; in a clone: make setup",
            )
        package = Path(spec.origin).parent
    return _sources(package)


@cache
def _sources(package: Path) -> Mapping[str, FileContent]:
    return {
        f"{DAEMON}/flanneld_py/{path.relative_to(package)}": FileContent(path.read_bytes())
        for path in sorted(package.rglob("*"))
        if path.suffix in (".py", ".c", ".o", ".so")
    }


def sysconfig(spec: LabSpec, node: NodeSpec, credentials: Credentials | None = None) -> FileContent:
    """The tutorial's /etc/sysconfig/flanneld (its section 3.4), with the lab's own values.

    The tutorial's unit does not hand FLANNEL_ETCD_KEY on, so another prefix than flanneld's own goes
    among the options.
    """
    options = [*spec.flanneld_options, *node.flanneld.options]
    if spec.etcd_prefix != DEFAULT_PREFIX:
        options.append(f"-etcd-prefix={spec.etcd_prefix}")
    if spec.etcd_api == "v2" and node.flanneld.program is None:  # any other that knows v2 knows only v2
        options.append("-etcd-api=v2")
    options += flanneld_options(spec)
    variables = flanneld_environment(spec, credentials or Credentials())
    text = f"""\
# Flanneld configuration options
# etcd url location
FLANNEL_ETCD="{endpoints(spec)}"

# etcs config key
FLANNEL_ETCD_KEY="{spec.etcd_prefix}"

# Any additonal options
FLANNEL_OPTIONS="{" ".join(options)}"
"""
    text += "".join(f"\n{name}={value}\n" for name, value in variables.items())
    return FileContent(text.encode(), 0o600 if variables else 0o644)
