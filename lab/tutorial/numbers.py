"""The tutorial's own names and addresses. Pure."""

from lab.tutorial.words import Words

__all__ = [
    "ADDRESS",
    "CONTAINER",
    "DOCKER0_MTU",
    "MASTER",
    "MINIONS",
    "PEER",
    "POD",
    "SUBNET",
]

MASTER = "centos-master"
MINIONS = ("centos-minion01", "centos-minion02")

ADDRESS = {"centos-minion01": "192.168.199.52", "centos-minion02": "192.168.199.53"}
SUBNET = {"centos-minion01": "10.2.35", "centos-minion02": "10.2.52"}
POD = {"centos-minion01": "mysql02", "centos-minion02": "mysql01"}
CONTAINER = {"mysql02": "309728d3a3f4", "mysql01": "98fd9272ad7a"}
PEER = {"mysql02": "10.2.52.2", "mysql01": "10.2.35.2"}

DOCKER0_MTU = Words(
    "The tutorial shows 1500 on docker0 because it configured docker0 by hand, without the MTU of "
    "subnet.env. Here Docker gets both from mk-docker-opts.sh, so that containers send no packet that is "
    "too large for flannel0.",
    "原文中 docker0 是 1500，因为它手工设置 docker0，没有用 subnet.env 里的 MTU。"
    "这里 Docker 从 mk-docker-opts.sh 同时得到两者，容器不会发出对 flannel0 来说过大的包。",
)
