"""docs/two-hosts.md, followed on two machines of a lab that have Debian's own unit of Docker."""

import json
import re

import pytest

from lab import spec
from lab.engine import FileContent
from tests.cluster.judging import subnets, wait_until_right
from tests.sources import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

PAGE = (ROOT / "docs" / "two-hosts.md").read_text()

# What a node has in place of what the page sets up, and of Debian's unit of Docker.
UNDO = """
systemctl stop docker flanneld lab-docker-follows.path
rm -r /etc/systemd/system/docker.service /etc/systemd/system/flanneld.service.d
rm -r /usr/lib/systemd/system/docker.service.requires
rm -r /usr/lib/systemd/system/flanneld.service /etc/sysconfig/flanneld /run/flannel /run/docker_opts.env
rm /etc/systemd/system/lab-docker-follows.*
mkdir -p /opt/flannel/bin
ln -s /usr/bin/flanneld /usr/bin/mk-docker-opts.sh /opt/flannel/bin/
"""
# As the page has them.
COMMANDS = """
systemctl daemon-reload
systemctl enable --now flanneld
systemctl restart docker
"""


def files(*, etcd: str) -> dict[str, FileContent]:
    blocks = re.findall(r"(?ms)^```(?:ini|sh)\n# (/\S+)\n(.*?)^```$", PAGE)
    on_each = {path: text for path, text in blocks if path != "/etc/default/etcd"}
    assert len(on_each) == 3
    return {path: FileContent(text.replace("192.0.2.11", etcd).encode()) for path, text in on_each.items()}


def config() -> str:
    (text,) = re.findall(r"etcdctl put /coreos.com/network/config '(.*)'", PAGE)
    return str(text)


def test_the_pages_units_bring_flanneld_and_docker_up_on_both_hosts(make_lab):
    flannel = {"config": config(), "options": ["-iface=eth0", "-ip-masq"]}  # what the checks are to expect
    lab = make_lab(spec.load(json.dumps({"flannel": flannel, "pods": []}), "hosts.yaml")).lab
    assert COMMANDS in PAGE
    for node in lab.minions:
        node.run(["sh", "-ec", UNDO])
        lab.engine.put_files(node.container.id, files(etcd="centos-master"))
    for node in lab.minions:
        node.run(["sh", "-ec", COMMANDS])
    wait_until_right(lab)
    before = subnets(lab)
    for node in lab.minions:
        assert node.run(["curl", "-s", "http://127.0.0.1:8401/readyz"]).text == "flanneld is ready\n"
        docker = ["systemctl", "show", "--property=MainPID,ExecMainStartTimestampMonotonic", "docker"]
        running = node.run(docker).text
        node.run(["systemctl", "restart", "flanneld"])
        assert node.run(docker).text == running
    wait_until_right(lab)
    assert subnets(lab) == before
