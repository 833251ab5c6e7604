"""A backend is one package and one line: all that others need to know of it, it declares."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import flanneld_py.backend
from flanneld_py.backend import catalog
from flanneld_py.backend.alloc.backend import AllocBackend
from flanneld_py.backend.kind import NodeContext
from flanneld_py.commands import check_config, cleanup
from flanneld_py.config import ConfigError, changes
from flanneld_py.config.backend import BackendConfig
from flanneld_py.config.keys import keys_of
from flanneld_py.daemon.reservations import Reservations
from flanneld_py.errors import Fatal
from flanneld_py.kernel.devices import Device
from flanneld_py.options import Options
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.made import addresses
from tests.sources import imports

ROOT = Path(flanneld_py.backend.__file__).parent.parent
KINDS = sorted(catalog.KINDS)

# A backend that nobody has heard of.
PIGEON = """
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flanneld_py.backend.kind import BackendKind
from flanneld_py.config.backend import BackendConfig, OwnDevices, Reservation
from flanneld_py.config.keys import integer
from flanneld_py.config.reader import Problem


@dataclass(frozen=True, slots=True)
class Pigeon(BackendConfig):
    type: ClassVar[str] = "pigeon"
    carries_ipv6: ClassVar[bool] = False
    devices: ClassVar[tuple[OwnDevices, ...]] = (OwnDevices("dummy", re.compile("pigeon[0-9]+")),)
    lofts: int = integer("Lofts", 0, 0, 9, zero="as many as there are")

    def problems(self, versions: object) -> Iterator[Problem]:
        if self.lofts == 7:
            yield Problem("Backend.Lofts", "is 7", "give another one")

    def reservations(self, versions: object) -> Iterator[Reservation]:
        yield Reservation.device(f"pigeon{self.lofts}", "Backend.Lofts")


@dataclass(frozen=True, slots=True)
class PigeonOptions:
    iface_wait: int = 60


def _open(network, config, options, node):
    from flanneld_py.backend.alloc.backend import AllocBackend

    made = AllocBackend(network, config, node)
    made.mtu = options.iface_wait
    return made


KIND = BackendKind(Pigeon, PigeonOptions, _open)
"""


@pytest.fixture
def pigeon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Its package beside the others, and its line in the catalog."""
    (tmp_path / "pigeon").mkdir()
    (tmp_path / "pigeon" / "__init__.py").write_text(PIGEON)
    monkeypatch.setattr(flanneld_py.backend, "__path__", [*flanneld_py.backend.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    monkeypatch.setattr(catalog, "KINDS", catalog.load((*catalog.PACKAGES, "pigeon")))
    yield
    del sys.modules["flanneld_py.backend.pigeon"]


def text(**backend: object) -> str:
    return json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": "pigeon"} | backend})


def test_its_keys_are_read_and_judged(pigeon):
    assert catalog.parse_config(text(lofts=3)).backend.settings() == {"Lofts": "3"}
    for lofts, words in ((12, "Backend.Lofts is 12: give a number from 0 to 9"), (7, "Backend.Lofts is 7")):
        with pytest.raises(ConfigError, match=words):
            catalog.parse_config(text(Lofts=lofts))
    with pytest.raises(ConfigError, match=r"give one of udp, .*, pigeon$"):
        catalog.parse_config(text(Type="dove"))


def test_it_is_described_and_its_changes_are_told(pigeon):
    old, new = catalog.parse_config(text()), catalog.parse_config(text(Lofts=2))
    assert "backend pigeon (Lofts as many as there are)" in check_config.describe(old)
    assert changes(old, new)[0].startswith("Backend.Lofts 0 -> 2; ")


def test_what_it_cannot_carry_is_told(pigeon):
    both = {"Network": "10.2.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00::/48"}
    network = catalog.parse_config(json.dumps(both | {"Backend": {"Type": "pigeon"}}))
    assert str(network.uncarried).startswith("Backend.Type pigeon carries IPv4 only")


def test_two_networks_cannot_both_have_what_it_needs(pigeon):
    reservations = Reservations()
    reservations.take("blue", catalog.parse_config(text(Lofts=1)))
    reservations.take("green", catalog.parse_config(text(Lofts=2)))
    with pytest.raises(Fatal, match=r"The device pigeon1 carries the network blue .* its own Backend\.Lofts"):
        reservations.take("green", catalog.parse_config(text(Lofts=1)))


def test_cleanup_takes_its_devices_away(pigeon):
    assert cleanup.is_flannels(Device("pigeon7", 1, 0, 0, kind="dummy"))
    assert not cleanup.is_flannels(Device("pigeon7", 1, 0, 0, kind="bridge"))


def test_a_device_that_ends_with_its_daemon_is_no_leftover_and_tells_that_one_runs():
    for name in ("flannel0", "flannel7"):  # of several networks each has one
        tun = Device(name, 1, 0, 0, kind="tun")
        assert (cleanup.is_flannels(tun), cleanup.is_flannels(tun, left=False)) == (False, True)
    assert not cleanup.is_flannels(Device("tun0", 1, 0, 0, kind="tun"), left=False)


def test_it_is_made_with_the_options_that_it_takes(pigeon):
    node = NodeContext(Interface("eth0", 2, 1500), addresses("192.168.50.11"))
    made = catalog.open_backend(catalog.parse_config(text()), Options(iface_wait=77), node)
    assert isinstance(made, AllocBackend)
    assert made.mtu == 77


# The backends that there are


def importers(module: str) -> set[str]:
    """The daemon's files that import it, or something of it."""
    return {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if any(f"{name}.".startswith(f"{module}.") for name in imports(path))
    }


@pytest.mark.parametrize("package", catalog.PACKAGES)
def test_nobody_but_the_backend_itself_imports_its_package(package):
    found = importers(f"flanneld_py.backend.{package}")
    assert found
    assert {name for name in found if not name.startswith(f"backend/{package}/")} == set()


def test_every_package_beside_the_catalog_has_its_line():
    packages = {path.parent.name for path in (ROOT / "backend").glob("*/__init__.py")}
    assert packages == set(catalog.PACKAGES)


def test_no_backend_is_given_all_options():
    names = {name for name in importers("flanneld_py.options") if name.startswith("backend/")}
    assert names == {"backend/catalog.py", "backend/kind.py"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_options_that_a_backend_takes_are_options_with_their_defaults(kind):
    found = catalog.KINDS[kind]
    assert found.taken(Options()) == found.options()


def test_each_option_of_a_backend_is_taken_by_one():
    taken = [each.name for kind in catalog.KINDS.values() for each in fields(kind.options)]
    named = [each.name for each in fields(Options) if each.name.startswith(("udp_", "vxlan_"))]
    assert sorted(taken) == sorted(named)


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_keys_of_a_backend_differ_in_case_alone(kind):
    config: type[BackendConfig] = catalog.KINDS[kind].config
    names = [key.name for key in keys_of(config).values()]
    assert len({name.casefold() for name in names}) == len(names)


def test_one_backend_is_that_of_a_network_that_names_none():
    assert [kind for kind in catalog.KINDS if catalog.KINDS[kind].config.is_default] == ["udp"]


def test_what_carries_packets_is_imported_only_when_it_is_made():
    """The daemon's memory and the time that it takes to start hang on it."""
    program = "import sys, flanneld_py.backend.catalog; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "flanneld_py.backend.vxlan.config" in imported
    carries = re.compile(
        r"flanneld_py\.(backend\.\w+\.(?!config$)\w+|backend\.kernel_backend|datapath|firewall)|pyroute2"
    )
    assert {name for name in imported if carries.match(name)} == set()
