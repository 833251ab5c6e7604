"""How a machine's own Docker is started where that differs from the tutorial: the files that say so. Pure."""

from collections.abc import Collection, Mapping

from lab.engine import FileContent
from lab.node.services import UNIT_FOLDER
from lab.spec import NodeSpec
from lab.spec.node import FROM_SUBNET_ENV
from lab.spec.segment import Family

__all__ = ["docker_files"]

# In place of the environment that mk-docker-opts.sh writes once flanneld has its lease.
WITHOUT_LEASE = """\
[Service]
EnvironmentFile=
EnvironmentFile=-/etc/sysconfig/docker
"""

# Nobody orders Docker after the daemon that writes subnet.env, which may be any unit: it waits for the file.
SUBNET_ENV = """\
[Unit]
Description=Wait for a subnet.env, and make Docker's options of it
Before=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart=/bin/sh -c 'until [ -s /run/flannel/subnet.env ]; do sleep 0.1; done'
ExecStart=/usr/local/sbin/lab-docker-opts
"""

# Docker is stopped with flanneld, and a start of it that waits for flanneld is called off when that fails. So
# each start of flanneld asks for Docker's, or nobody would.
WITH_DOCKER = """\
[Unit]
Wants=docker.service lab-docker-follows.path
"""

FOLLOWS_PATH = """\
[Unit]
Description=Look whether the subnet has changed

[Path]
PathChanged=/run/flannel/subnet.env
Unit=lab-docker-follows.service
"""

# A flanneld that has lost its lease takes another subnet while it runs, and nobody would tell Docker.
FOLLOWS = """\
[Unit]
Description=Restart Docker if the subnet has changed

[Service]
Type=oneshot
ExecCondition=/usr/bin/test -s /run/flannel/subnet.env
# Not at boot, when Docker has its first options yet to get.
ExecCondition=/usr/bin/grep -qE "^DOCKER_OPT_(BIP|IPV6)=" /run/docker_opts.env
# Another MTU is no reason to stop pods.
ExecStart=/bin/sh -ec ' \\
  subnets() { grep -E "^DOCKER_OPT_(BIP|IPV6)=" /run/docker_opts.env; }; \\
  before=$$(subnets); \\
  /usr/local/sbin/lab-docker-opts; \\
  [ "$$before" = "$$(subnets)" ] || \\
    exec systemctl --no-block try-restart docker'
"""

# Docker remembers its network, and sets up a route of IPv6 to the former subnet before it moves on.
# The kernel's own route, which it makes with the address, stays.
NO_FORMER_ROUTES = """\
[Service]
ExecStartPost=/bin/sh -c '[ ! -e /sys/class/net/docker0 ] || exec ip -6 route flush dev docker0 proto boot'
"""

AFTER_SUBNET_ENV = """\
[Unit]
Requires=lab-subnet-env.service
After=lab-subnet-env.service
"""


def docker_files(node: NodeSpec, families: Collection[Family]) -> Mapping[str, FileContent]:
    """What a machine that runs docker has beside its image because of that, by path.

    `families` are the versions of IP in which pods have addresses.
    """
    files = {}
    if node.docker.options:
        files["/etc/sysconfig/docker"] = f'OPTIONS="{" ".join(node.docker.options)}"\n'
    if node.runs("flanneld") and node.docker.bip == FROM_SUBNET_ENV:
        files[f"{UNIT_FOLDER}/flanneld.service.d/docker.conf"] = WITH_DOCKER
        files[f"{UNIT_FOLDER}/lab-docker-follows.path"] = FOLLOWS_PATH
        files[f"{UNIT_FOLDER}/lab-docker-follows.service"] = FOLLOWS
    else:
        # An empty file masks the dependency of that name which the image has (systemd.unit(5)).
        files[f"{UNIT_FOLDER}/docker.service.requires/flanneld.service"] = ""
    if node.docker.bip == FROM_SUBNET_ENV and 6 in families:
        files[f"{UNIT_FOLDER}/docker.service.d/former-routes.conf"] = NO_FORMER_ROUTES
    if node.docker.bip != FROM_SUBNET_ENV:
        address = node.docker.address
        bip = f"Environment=DOCKER_OPT_BIP=--bip={address}\n" if address is not None else ""
        files[f"{UNIT_FOLDER}/docker.service.d/bip.conf"] = WITHOUT_LEASE + bip
    elif not node.runs("flanneld"):
        files[f"{UNIT_FOLDER}/lab-subnet-env.service"] = SUBNET_ENV
        files[f"{UNIT_FOLDER}/docker.service.d/subnet-env.conf"] = AFTER_SUBNET_ENV
    return {path: FileContent(text.encode()) for path, text in files.items()}
