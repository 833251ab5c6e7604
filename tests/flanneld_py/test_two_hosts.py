"""What docs/two-hosts.md says of the daemon is so."""

import re

from flanneld_py.backend.udp.config import Udp
from flanneld_py.backend.wireguard.config import Wireguard
from flanneld_py.kernel.devices import VXLAN_PORT
from flanneld_py.options import flags
from tests.sources import ROOT

PAGE = (ROOT / "docs" / "two-hosts.md").read_text()


def test_every_flag_and_variable_on_the_page_is_the_daemons():
    assert set(re.findall(r"`-([a-z][a-z-]+)[`=]", PAGE)) <= flags.FLAGS.keys()
    assert set(re.findall(r"FLANNELD_[A-Z_]+", PAGE)) <= {flags.variable(name) for name in flags.FLAGS}


def test_the_firewalls_ports_are_the_backends():
    rows = dict(re.findall(r"(?m)^\| `([a-z-]+)` \| (.*) \|$", PAGE))
    assert f"UDP {Udp().port}," in rows["udp"]
    assert f"UDP {VXLAN_PORT}," in rows["vxlan"]
    assert f"UDP {Wireguard().listen_port}," in rows["wireguard"]
    assert f"{Wireguard().listen_port_v6}," in rows["wireguard"]
    assert rows.keys() == {"udp", "vxlan", "host-gw", "wireguard", "ipip"}
