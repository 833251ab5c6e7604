"""The contract of registries holds with the real etcd, by both of its APIs."""

from importlib.metadata import distribution
from pathlib import Path

import pytest

from lab.engine import FileContent
from tests.kernel.harness import Sandbox

pytestmark = pytest.mark.kernel

PLACE = "/opt/suite"  # the engine puts nothing into a tmpfs such as /run
ROOT = Path(__file__).parent.parent.parent
SUITE = (
    "tests/flanneld_py/registry_conformance.py",
    "tests/flanneld_py/announcements_conformance.py",
    "tests/kernel/registry_on_etcd.py",
)
# What pytest consists of; a machine of the lab has only what the daemon needs.
PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")


def sources() -> dict[str, FileContent]:
    """The suite, and what runs it, by the paths that they get."""
    files = {name: ROOT / name for name in SUITE}
    for package in PYTEST:
        for file in distribution(package).files or ():
            if file.suffix == ".py" and ".." not in file.parts:
                files[str(file)] = Path(str(file.locate()))
    return {f"{PLACE}/{name}": FileContent(path.read_bytes()) for name, path in files.items()}


@pytest.fixture(scope="module")
def suite(container: Sandbox) -> Sandbox:
    """The container with the suite in it."""
    container.put(sources())
    container.run("ip", "link", "set", "lo", "up")
    return container


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["TestEtcd", "TestEtcd2", "TestBesideInEtcd", "TestBesideInEtcd2"])
def test_a_real_etcd_keeps_to_the_contract(suite, kind):
    done = suite.run(
        "env", f"PYTHONPATH={PLACE}:/usr/lib/flanneld", "python3", "-m", "pytest", "-q", "-W", "error",
        "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={PLACE}", "--color=no",
        f"{PLACE}/tests/kernel/registry_on_etcd.py::{kind}", check=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert " passed" in done.text
