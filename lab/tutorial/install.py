"""Sections 2 to 3.6: etcd's settings, the installation of flannel, its first start. Pure."""

from lab.tutorial import document
from lab.tutorial.numbers import MASTER, SUBNET
from lab.tutorial.step import Expect, Today, TutorialStep
from lab.tutorial.words import NOTHING, Words

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
    """Return the steps of section 2, on the master.

    Where etcd speaks the document's v2 API and has its configuration already, the document's command changes
    nothing: then it is run as it stands.
    """
    set_it = f"etcdctl set /coreos.com/network/config '{document.CONFIG}'"
    put_it = set_it.replace(" set ", " put ")
    literally = today.api == "v2" and today.config == document.CONFIG
    why = {
        "v2": Words("lab up has run the tutorial's command.", "lab up 已经执行了原文的命令。"),
        "v3": Words(
            f"etcd 3.5 has the v3 API. lab up has run: {put_it}",
            f"etcd 3.5 用 v3 API。lab up 已经执行：{put_it}",
        ),
    }
    return (
        TutorialStep(
            "2.1",
            MASTER,
            set_it,
            set_it if literally else "etcdctl get /coreos.com/network/config",
            (Expect(Words("flannel's configuration", "flannel 的配置"), document.CONFIG, r"^(\{.*\})$"),),
            NOTHING if literally else why[today.api],
            Words(
                "On the master, etcd gets the network from which flannel will give each machine a subnet. "
                "flannel reads it from this one key.",
                "在 master 上，把 flannel 用来给各台主机分配子网的网段写入 etcd。flannel 从这一个键读取它。",
            ),
            document.CONFIG,
        ),
        TutorialStep(
            "2.2",
            MASTER,
            "in /etc/etcd/etcd.conf, change localhost to 0.0.0.0 in\n"
            'ETCD_LISTEN_CLIENT_URLS="http://localhost:2379"',
            "cat /etc/etcd/etcd.conf",
            (
                Expect(
                    Words("where etcd listens", "etcd 的监听地址"),
                    '"http://0.0.0.0:2379"',
                    r"^ETCD_LISTEN_CLIENT_URLS=(.*)$",
                ),
            ),
            Words(
                "lab up has written the file as the tutorial changes it.", "lab up 已按原文的改法写好该文件。"
            ),
            Words(
                "The minions are to reach etcd, so it must not listen on localhost alone.",
                "各 minion 要访问 etcd，所以它不能只监听 localhost。",
            ),
            document.LISTEN,
            "在 /etc/etcd/etcd.conf 中，把下面的 localhost 改为 0.0.0.0：\n"
            'ETCD_LISTEN_CLIENT_URLS="http://localhost:2379"',
        ),
    )


def _release(node: str, today: Today) -> TutorialStep:
    file = "flannel-0.5.5-linux-amd64.tar.gz"
    commands = f"wget https://github.com/coreos/flannel/releases/download/v0.5.5/{file}\ntar -xzvf {file}"
    program = today.programs.get(node)
    if program is None:
        command = "ls /usr/lib/flanneld/flanneld_py"
        expect = Expect(Words("the daemon", "守护进程"), "flanneld", r"^(__main__\.py)$", today="__main__.py")
        what = "flanneld_py"
    else:
        command = "/usr/bin/flanneld -version"
        expect = Expect(Words("the release", "版本"), "0.5.5", r"^v?(\d\S*)$")
        what = program
    why = Words(
        f"Instead of the release lab up has copied {what}: a node cannot reach the outside.",
        f"lab up 复制的是 {what}，而不是发行包：实验室的主机不能访问外部。",
    )
    text = Words(
        "Each minion downloads flannel's release 0.5.5 and unpacks it.",
        "每台 minion 下载 flannel 0.5.5 的发行包并解压。",
    )
    return TutorialStep("3.1, 3.2", node, commands, command, (expect,), why, text)


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
            tuple(
                Expect(Words("executable", "可执行文件"), name, rf"^-rwxr-xr-x .* ({name})$")
                for name in programs
            ),
            text=Words(
                "The daemon, and the script that turns its lease into Docker's options, go to /usr/bin.",
                "把守护进程，以及把租约转成 Docker 选项的脚本，复制到 /usr/bin。",
            ),
        ),
        TutorialStep(
            "3.4",
            node,
            "edit /etc/sysconfig/flanneld",
            "cat /etc/sysconfig/flanneld",
            (
                Expect(
                    Words("etcd's URL", "etcd 的 URL"),
                    '"http://centos-master:2379"',
                    r"^FLANNEL_ETCD=(.*)$",
                ),
                Expect(Words("etcd's key", "etcd 的键"), '"/coreos.com/network"', r"^FLANNEL_ETCD_KEY=(.*)$"),
                Expect(
                    Words("options", "选项"),
                    "#FLANNEL_OPTIONS=",
                    r"^(#?FLANNEL_OPTIONS=.*)$",
                    today=f'FLANNEL_OPTIONS="{options}"',
                ),
            ),
            Words(
                "-iface=eth0, because without it flanneld takes the default route's interface, and a node of "
                "the lab has no such route.",
                "加 -iface=eth0，因为不写时 flanneld 使用默认路由所在的接口，而实验室的主机没有默认路由。",
            ),
            Words(
                "The daemon's settings: where etcd is, and under which key.",
                "守护进程的设置：etcd 的地址和键。",
            ),
            document.SYSCONFIG,
            "编辑 /etc/sysconfig/flanneld",
        ),
        TutorialStep(
            "3.4",
            node,
            "edit /usr/lib/systemd/system/flanneld.service",
            "cat /usr/lib/systemd/system/flanneld.service",
            tuple(
                Expect(Words("the unit", "单元文件"), line, rf"^\s*({pattern})$")
                for line, pattern in UNIT.items()
            ),
            text=Words("A unit makes it a service of systemd.", "用单元文件把它变成 systemd 的服务。"),
            shows=document.UNIT,
            document_zh="编辑 /usr/lib/systemd/system/flanneld.service",
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
                Expect(
                    Words("flanneld comes before", "flanneld 先于"),
                    "docker.service",
                    r"^Before=.*\b(docker\.service)\b",
                ),
                Expect(
                    Words("flanneld is required by", "需要 flanneld 的"),
                    "docker.service",
                    r"^RequiredBy=.*\b(docker\.service)\b",
                ),
            ),
            Words(
                "Nothing to stop: Before= and RequiredBy= hold back Docker until flanneld has its lease.",
                "无需停止：Before= 和 RequiredBy= 让 Docker 等到 flanneld 拿到租约。",
            ),
            Words(
                "Docker runs already, with a bridge of its own choice. It is stopped, to begin again with "
                "flannel's subnet.",
                "Docker 已在运行，网桥地址是它自己选的。先停掉它，之后用 flannel 的子网重新启动。",
            ),
        ),
        TutorialStep(
            "3.6",
            node,
            "systemctl start flanneld",
            "systemctl show --property=Type,ActiveState,SubState flanneld.service",
            (
                Expect(Words("flanneld", "flanneld"), "active running", r"^ActiveState=(.*)\nSubState=(.*)$"),
                Expect(Words("it reports readiness itself", "它自己报告就绪"), "notify", r"^Type=(.*)$"),
            ),
            Words(
                "It was started at boot. Starting it again would have no effect.",
                "开机时已启动，再启动一次没有作用。",
            ),
            Words(
                "flanneld starts, takes a subnet by writing a lease into etcd, and makes its device.",
                "启动 flanneld：它在 etcd 中写入租约以取得子网，并建立自己的设备。",
            ),
        ),
        TutorialStep(
            "3.6",
            node,
            "mk-docker-opts.sh -i",
            "cat /run/docker_opts.env",
            (
                Expect(
                    Words("docker0's address", "docker0 的地址"),
                    f"--bip={gateway}",
                    r'^DOCKER_OPT_BIP="(.*)"$',
                ),
                Expect(
                    Words("masquerading by docker", "由 Docker 做地址伪装"),
                    "--ip-masq=true",
                    r'^DOCKER_OPT_IPMASQ="(.*)"$',
                ),
                Expect(Words("docker0's MTU", "docker0 的 MTU"), "--mtu=1472", r'^DOCKER_OPT_MTU="(.*)"$'),
            ),
            Words(
                "The tutorial does not show the file; these are the lines that v0.5.5's script writes. "
                "The unit's ExecStartPost= has run it.",
                "原文没有列出该文件；这些是 v0.5.5 的脚本写出的行。单元的 ExecStartPost= 已经执行过它。",
            ),
            Words(
                "A script reads what flanneld has written of its lease, and writes options for Docker.",
                "脚本读取 flanneld 写下的租约信息，写出 Docker 的选项。",
            ),
        ),
        TutorialStep(
            "3.6",
            node,
            "source /run/flannel/subnet.env",
            "cat /run/flannel/subnet.env",
            (
                Expect(Words("network", "网段"), "10.2.0.0/16", r"^FLANNEL_NETWORK=(.*)$"),
                Expect(Words("subnet", "子网"), gateway, r"^FLANNEL_SUBNET=(.*)$"),
                Expect(Words("MTU", "MTU"), "1472", r"^FLANNEL_MTU=(.*)$"),
            ),
            text=Words(
                "What flanneld has written of its lease becomes variables of the shell.",
                "把 flanneld 写下的租约信息读成 shell 变量。",
            ),
        ),
        TutorialStep(
            "3.6, 3.7",
            node,
            "ifconfig docker0 ${FLANNEL_SUBNET}\nsystemctl restart docker",
            "ps -C dockerd -o args=",
            (
                Expect(
                    Words("docker's bridge address", "Docker 的网桥地址"),
                    f"--bip={gateway}",
                    r" (--bip=\S+)",
                ),
                Expect(Words("docker's MTU", "Docker 的 MTU"), "1500", r" --mtu=(\S+)", today="1472"),
            ),
            Words(
                "Docker creates docker0 itself, with the address and the MTU that flanneld's start wrote to "
                "/run/docker_opts.env.",
                "docker0 由 Docker 自己建立，地址和 MTU 取自 flanneld 启动时写入的 /run/docker_opts.env。",
            ),
            Words(
                "docker0 gets the subnet's address by hand, and Docker starts again.",
                "手工给 docker0 设置子网的地址，再启动 Docker。",
            ),
        ),
    )
