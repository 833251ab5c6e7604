"""One call of a firewall program's own class: start, repair or remove; prints what had to be changed."""

import sys

sys.path.insert(0, "/usr/lib/flanneld")
from ipaddress import ip_network
from typing import Literal

from flanneld_py.firewall.iptables import Iptables
from flanneld_py.firewall.nftables import Nftables
from flanneld_py.firewall.rules import Overlay, wanted

program, number, network, subnet, what = sys.argv[1:]
family: Literal[4, 6] = 4 if number == "4" else 6
tool = Nftables(family) if program == "nft" else Iptables(family, program)
overlay = Overlay(ip_network(network), ip_network(subnet))
rules = wanted(family, [overlay], ip_masq=True, random_fully=True, forward_rules=True)
print(*tool.remove() if what == "remove" else tool.ensure(rules, keep=what == "repair"), sep=", ")
