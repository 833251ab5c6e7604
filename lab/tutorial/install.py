"""Sections 2 to 3.6: etcd's settings, the installation of flannel, its first start."""

from lab.tutorial.numbers import MASTER, SUBNET
from lab.tutorial.step import Expect, Today, TutorialStep

__all__ = ["etcd", "install", "start"]

UNIT = {
    "After=network.target": "After=.*",
    "Before=docker.service": "Before=.*",
    "Type=notify": "Type=.*",
    "EnvironmentFile=-/etc/sysconfig/flanneld": ".*sysconfig/flanneld",
    "EnvironmentFile=-/etc/sysconfig/docker-network": ".*sysconfig/docker-network",
    "ExecStart=/usr/bin/flanneld \\": "ExecStart=.*",
    "-etcd-endpoints=${FLANNEL_ETCD} \\": "-etcd-endpoints.*",
    "$FLANNEL_OPTIONS": r"\$FLANNEL_OPTIONS",
    "RequiredBy=docker.service": "RequiredBy=.*",
    "WantedBy=multi-user.target": "WantedBy=.*",
}


def etcd(today: Today) -> tuple[TutorialStep, ...]:
    """Return the steps of section 2, on the master."""
    config = '{ "Network": "10.2.0.0/16" }'
    set_it = f"etcdctl set /coreos.com/network/config '{config}'"
    why = {
        "v2": "lab up has run the tutorial's command.",
        "v3": f"etcd 3.5 has the v3 API. lab up has run: {set_it.replace(' set ', ' put ')}",
    }
    return (
        TutorialStep(
            "2.1",
            MASTER,
            set_it,
            "etcdctl get /coreos.com/network/config",
            (Expect("flannel's configuration", config, r"^(\{.*\})$"),),
            why[today.api],
        ),
        TutorialStep(
            "2.2",
            MASTER,
            "in /etc/etcd/etcd.conf, change localhost to 0.0.0.0 in\n"
            'ETCD_LISTEN_CLIENT_URLS="http://localhost:2379"',
            "cat /etc/etcd/etcd.conf",
            (Expect("where etcd listens", '"http://0.0.0.0:2379"', r"^ETCD_LISTEN_CLIENT_URLS=(.*)$"),),
            "lab up has written the file as the tutorial changes it.",
        ),
    )


def _release(node: str, today: Today) -> TutorialStep:
    file = "flannel-0.5.5-linux-amd64.tar.gz"
    document = f"wget https://github.com/coreos/flannel/releases/download/v0.5.5/{file}\ntar -xzvf {file}"
    program = today.programs.get(node)
    if program is None:
        command = "ls /usr/lib/flanneld/flanneld_py"
        expect = Expect("the daemon", "flanneld", r"^(__main__\.py)$", today="__main__.py")
        what = "flanneld_py"
    else:
        command = "/usr/bin/flanneld -version"
        expect = Expect("the release", "0.5.5", r"^v?(\d\S*)$")
        what = program
    why = f"Instead of the release lab up has copied {what}: a node cannot reach the outside."
    return TutorialStep("3.1, 3.2", node, document, command, (expect,), why)


def install(node: str, today: Today) -> tuple[TutorialStep, ...]:
    """Return the steps of sections 3.1 to 3.4, on a minion."""
    programs = ("/usr/bin/flanneld", "/usr/bin/mk-docker-opts.sh")
    options = "-iface=eth0"
    if today.api == "v2" and node not in today.programs:
        options += " -etcd-api=v2"
    return (
        _release(node, today),
        TutorialStep(
            "3.3",
            node,
            "cp flannel-0.5.5/flanneld /usr/bin\ncp flannel-0.5.5/mk-docker-opts.sh /usr/bin",
            f"ls -l {' '.join(programs)}",
            tuple(Expect("executable", name, rf"^-rwxr-xr-x .* ({name})$") for name in programs),
        ),
        TutorialStep(
            "3.4",
            node,
            "edit /etc/sysconfig/flanneld",
            "cat /etc/sysconfig/flanneld",
            (
                Expect("etcd's URL", '"http://centos-master:2379"', r"^FLANNEL_ETCD=(.*)$"),
                Expect("etcd's key", '"/coreos.com/network"', r"^FLANNEL_ETCD_KEY=(.*)$"),
                Expect(
                    "options",
                    "#FLANNEL_OPTIONS=",
                    r"^(#?FLANNEL_OPTIONS=.*)$",
                    today=f'FLANNEL_OPTIONS="{options}"',
                ),
            ),
            "-iface=eth0, because without it flanneld takes the default route's interface, and a node of the "
            "lab has no such route.",
        ),
        TutorialStep(
            "3.4",
            node,
            "edit /usr/lib/systemd/system/flanneld.service",
            "cat /usr/lib/systemd/system/flanneld.service",
            tuple(Expect("the unit", line, rf"^\s*({pattern})$") for line, pattern in UNIT.items()),
        ),
    )


def start(node: str) -> tuple[TutorialStep, ...]:
    """Return the steps of sections 3.5 to 3.7, on a minion."""
    gateway = f"{SUBNET[node]}.1/24"
    return (
        TutorialStep(
            "3.5",
            node,
            "systemctl stop docker",
            "systemctl show --property=Before,RequiredBy flanneld.service",
            (
                Expect("flanneld comes before", "docker.service", r"^Before=.*\b(docker\.service)\b"),
                Expect("flanneld is required by", "docker.service", r"^RequiredBy=.*\b(docker\.service)\b"),
            ),
            "Nothing to stop: Before= and RequiredBy= hold back Docker until flanneld has its lease.",
        ),
        TutorialStep(
            "3.6",
            node,
            "systemctl start flanneld",
            "systemctl show --property=Type,ActiveState,SubState flanneld.service",
            (
                Expect("flanneld", "active running", r"^ActiveState=(.*)\nSubState=(.*)$"),
                Expect("it reports readiness itself", "notify", r"^Type=(.*)$"),
            ),
            "It was started at boot. Starting it again would have no effect.",
        ),
        TutorialStep(
            "3.6",
            node,
            "mk-docker-opts.sh -i",
            "cat /run/docker_opts.env",
            (
                Expect("docker0's address", f"--bip={gateway}", r'^DOCKER_OPT_BIP="(.*)"$'),
                Expect("masquerading by docker", "--ip-masq=true", r'^DOCKER_OPT_IPMASQ="(.*)"$'),
                Expect("docker0's MTU", "--mtu=1472", r'^DOCKER_OPT_MTU="(.*)"$'),
            ),
            "The tutorial does not show the file; these are the lines that v0.5.5's script writes. "
            "The unit's ExecStartPost= has run it.",
        ),
        TutorialStep(
            "3.6",
            node,
            "source /run/flannel/subnet.env",
            "cat /run/flannel/subnet.env",
            (
                Expect("network", "10.2.0.0/16", r"^FLANNEL_NETWORK=(.*)$"),
                Expect("subnet", gateway, r"^FLANNEL_SUBNET=(.*)$"),
                Expect("MTU", "1472", r"^FLANNEL_MTU=(.*)$"),
            ),
        ),
        TutorialStep(
            "3.6, 3.7",
            node,
            "ifconfig docker0 ${FLANNEL_SUBNET}\nsystemctl restart docker",
            "ps -C dockerd -o args=",
            (
                Expect("docker's bridge address", f"--bip={gateway}", r" (--bip=\S+)"),
                Expect("docker's MTU", "1500", r" --mtu=(\S+)", today="1472"),
            ),
            "Docker creates docker0 itself, with the address and the MTU that flanneld's start wrote to "
            "/run/docker_opts.env.",
        ),
    )
