"""Sections 3.7 and 4: the devices, the leases, the pods, and MySQL logins from pod to pod. Pure."""

from lab.pods import container_name
from lab.tutorial import document
from lab.tutorial.numbers import ADDRESS, CONTAINER, DOCKER0_MTU, MASTER, MINIONS, PEER, POD, SUBNET
from lab.tutorial.step import ABSENT, Expect, Today, TutorialStep
from lab.tutorial.words import NOTHING, Words

__all__ = ["POD_FILES", "POD_LS", "devices", "leases", "login", "no_flannel_on_the_master", "pods"]

POD_FILES = "cat mysqlpod01.yaml mysqlpod02.yaml"
POD_LS = "lab pod ls -o wide"


def devices(node: str) -> TutorialStep:
    """Return the step of section 3.7: `ip a` on a minion."""
    subnet = SUBNET[node]
    return TutorialStep(
        "3.7",
        node,
        "ip a",
        "ip a",
        (
            Expect(
                Words("underlay address", "底层网络的地址"),
                f"{ADDRESS[node]}/24 brd 192.168.199.255",
                _inet("eth0"),
            ),
            Expect(Words("underlay MTU", "底层网络的 MTU"), "1500", r"^\d+: eth0(?:@\S+)?: .* mtu (\d+) "),
            Expect(
                Words("docker0 address", "docker0 的地址"),
                f"{subnet}.1/24 brd {subnet}.255",
                _inet("docker0"),
            ),
            Expect(
                Words("docker0 MTU", "docker0 的 MTU"),
                "1500",
                r"^\d+: docker0: .* mtu (\d+) ",
                today="1472",
                why=DOCKER0_MTU,
            ),
            Expect(Words("flannel0 address", "flannel0 的地址"), f"{subnet}.0/16", _inet("flannel0")),
            Expect(Words("flannel0 MTU", "flannel0 的 MTU"), "1472", r"^\d+: flannel0: .* mtu (\d+) "),
            Expect(Words("flannel0 state", "flannel0 的状态"), "UNKNOWN", r"^\d+: flannel0: .* state (\w+) "),
            Expect(
                Words("flannel0 queue length", "flannel0 的队列长度"),
                "500",
                r"^\d+: flannel0: .* qlen (\d+)",
            ),
            Expect(
                Words("flannel0 is not Ethernet", "flannel0 不是以太网设备"),
                "link/none",
                r"^\d+: flannel0: .*\n +(link/\w+)",
            ),
        ),
        Words(
            "The underlay's interface is eth0 in a container, and eno16777736 in the tutorial. The third "
            "octet is that of the lease, which flannel chooses at random. docker0 is UP because a pod runs. "
            f"{DOCKER0_MTU.en}",
            "底层网络的接口在容器里叫 eth0，在原文里叫 eno16777736。第三段数字是租约的，由 flannel 随机选取。"
            f"docker0 是 UP，因为有 pod 在运行。{DOCKER0_MTU.zh}",
        ),
        Words(
            "docker0 and flannel0 are there: the first with the subnet's address, the second for the whole "
            "network.",
            "docker0 和 flannel0 都已出现：前者的地址属于子网，后者属于整个网段。",
        ),
        document.IP_A if node == MINIONS[0] else "",
    )


def leases(today: Today) -> tuple[TutorialStep, ...]:
    """Return the steps of section 3.7 on the "routing table" in etcd."""
    folder = "/coreos.com/network/subnets"
    keys = {node: f"{folder}/{SUBNET[node]}.0-24" for node in MINIONS}
    old = today.api == "v2"
    values = {node: f'{{"PublicIP":"{ADDRESS[node]}"}}' for node in MINIONS}
    ours = {
        node: today.translate(value.replace("}", ',"PublicIPv6":null}')) for node, value in values.items()
    }
    prefixes = Words(
        "The v3 API has no directories, only prefixes of keys.", "v3 API 没有目录，只有键的前缀。"
    )
    ipv6 = Words(
        "The v3 store contains what today's flannel writes, which supports IPv6, too.",
        "v3 存储里是今天的 flannel 写入的内容，它也支持 IPv6。",
    )
    return (
        TutorialStep(
            "3.7",
            MASTER,
            f"etcdctl ls {folder}",
            f"etcdctl ls {folder}" if old else f"etcdctl get --prefix --keys-only {folder}",
            tuple(
                Expect(
                    Words(f"lease of {node}", f"{node} 的租约"),
                    keys[node],
                    rf"^({today.translate(keys[node])})$",
                )
                for node in MINIONS
            ),
            NOTHING if old else prefixes,
            Words(
                "etcd has a lease for each minion, named after its subnet.",
                "etcd 里每台 minion 有一个租约，以其子网命名。",
            ),
            document.LEASES,
        ),
        *(
            TutorialStep(
                "3.7",
                MASTER,
                f"etcdctl get {keys[node]}",
                f"etcdctl get {today.translate(keys[node])}",
                (
                    Expect(
                        Words("lease value", "租约的值"),
                        values[node],
                        r"^(\{.*\})$",
                        today=None if old else ours[node],
                        why=NOTHING if old else ipv6,
                    ),
                    Expect(Words("public IP", "公网 IP"), ADDRESS[node], r'"PublicIP":"([^"]*)"'),
                ),
                NOTHING if old else ipv6,
                Words(
                    "The lease says which machine has the subnet. This is flannel's routing table.",
                    "租约说明哪台主机拥有该子网。这就是 flannel 的“路由表”。",
                ),
                values[node],
            )
            for node in MINIONS
        ),
    )


def pods() -> tuple[TutorialStep, ...]:
    """Return the steps of section 4.1 on the two pods."""
    return (
        TutorialStep(
            "4.1",
            "",
            "cat mysqlpod01.yaml",
            POD_FILES,
            tuple(
                Expect(what, line, rf"^ *(?:- )?({line})$")
                for pod in ("mysql01", "mysql02")
                for what, line in {
                    Words("pod", "pod"): f"name: {pod}",
                    Words("image", "镜像"): "image: mysql",
                    Words("variable", "变量"): "name: MYSQL_ROOT_PASSWORD",
                    Words("its value", "变量的值"): "value: p123456",
                    Words("port", "端口"): "containerPort: 3306",
                }.items()
            ),
            Words(
                "Only the nodeName: lines are added: they place the pods where the tutorial's scheduler did.",
                "只多了 nodeName: 行：它们把 pod 放在原文的调度器所放的主机上。",
            ),
            Words(
                "Two pods with MySQL, mysql01 and mysql02, are described in a file each.",
                "两个 MySQL pod：mysql01 和 mysql02，各用一个文件描述。",
            ),
            document.POD + document.POD.replace("01", "02"),
        ),
        TutorialStep(
            "4.1",
            "",
            "kubectl create -f mysqlpod01.yaml\nkubectl create -f mysqlpod02.yaml\nkubectl get pods -o wide",
            POD_LS,
            tuple(
                Expect(
                    Words("pod", "pod"),
                    f"{POD[node]} 1/1 Running {node}",
                    rf"^({POD[node]}) +(\S+) +(\w+) .* (\S+)$",
                )
                for node in reversed(MINIONS)
            ),
            Words(
                "lab up has created the pods from the two files, as lab pod create -f mysqlpod01.yaml does; "
                "there is no Kubernetes here, only its Pods.",
                "lab up 已经用这两个文件创建了 pod，与 lab pod create -f mysqlpod01.yaml 相同；"
                "这里没有 Kubernetes，只有它的 Pod。",
            ),
            Words("Kubernetes creates them, one on each minion.", "由 Kubernetes 创建，每台 minion 上一个。"),
            document.PODS,
        ),
    )


def login(node: str, today: Today) -> tuple[TutorialStep, ...]:
    """Return the steps of section 4.1 in a minion's pod: its address, and MySQL in the other pod."""
    pod = POD[node]
    name = container_name(pod, pod)
    mac = f"02:42:0a:02:{int(SUBNET[node].split('.')[2]):02x}:02"
    return (
        TutorialStep(
            "4.1",
            node,
            f"docker exec -it {CONTAINER[pod]} /bin/bash\nip a",
            f"docker exec {name} bash -c 'hostname; ip a'",
            (
                Expect(Words("host name", "主机名"), pod, r"\A(.*)$"),
                Expect(
                    Words("address", "地址"),
                    f"{SUBNET[node]}.2/24",
                    r"inet (\S+) (?:brd \S+ )?scope global eth0",
                ),
                Expect(Words("state", "状态"), "UP", r"^\d+: eth0@\S+: .* state (\w+) "),
                Expect(Words("Ethernet address", "以太网地址"), mac, r"link/ether (02:\S+)"),
                Expect(
                    Words("MTU", "MTU"),
                    "1500",
                    r"^\d+: eth0@\S+: .* mtu (\d+) ",
                    today="1472",
                    why=DOCKER0_MTU,
                ),
            ),
            Words(f"Containers have names here. {DOCKER0_MTU.en}", f"这里的容器有名字。{DOCKER0_MTU.zh}"),
            Words(
                "A shell in the pod shows that its address is of its machine's subnet.",
                "在 pod 中打开 shell，可见它的地址属于所在主机的子网。",
            ),
            document.POD_IP_A if node == MINIONS[0] else "",
        ),
        TutorialStep(
            "4.1",
            node,
            f"mysql -uroot -p -h{PEER[pod]}",
            f"docker exec -it {name} mysql -uroot -p -h{today.translate(PEER[pod])}",
            (
                Expect(Words("the client asks", "客户端询问"), "Enter password:", r"^(Enter password:)"),
                Expect(
                    Words("the server answers", "服务器应答"),
                    "Welcome to the MySQL monitor.",
                    r"^(Welcome to the MySQL monitor\.)",
                ),
                Expect(
                    Words("it shows its version", "它显示版本"), "Server version:", r"^(Server version:) \S+"
                ),
                Expect(Words("it prompts for commands", "它等待命令"), "mysql>", r"^(mysql>)"),
            ),
            Words(
                "This is today's MySQL, not 5.7.10. The password p123456 is typed at the prompt, then \\q.",
                "这是今天的 MySQL，不是 5.7.10。在提示符处输入密码 p123456，然后输入 \\q。",
            ),
            Words(
                "From there MySQL's client logs in to the pod on the other minion: the packets cross the "
                "overlay.",
                "从这里用 MySQL 客户端登录另一台 minion 上的 pod：数据包穿过覆盖网络。",
            ),
            document.LOGIN,
        ),
    )


def no_flannel_on_the_master() -> TutorialStep:
    """Return the step for the tutorial's closing note."""
    return TutorialStep(
        "4.1, note",
        MASTER,
        "flannel does not have to be deployed on the master, because it carries no workload",
        "ip -brief address",
        (
            Expect(
                Words("underlay address", "底层网络的地址"),
                "192.168.199.51/24",
                r"^eth0\S* .* (192\.168\.\S+/\d+)",
            ),
            Expect(Words("flannel0", "flannel0"), ABSENT, r"^(flannel0)"),
            Expect(Words("docker0", "docker0"), ABSENT, r"^(docker0)"),
        ),
        Words(
            "A note and no command: what the master has shows that it holds.",
            "原文只是说明，没有命令：master 的接口表明确实如此。",
        ),
        Words(
            "A note at the end: the master needs no flannel, as it runs no pods.",
            "结尾的说明：master 不运行 pod，因此不需要 flannel。",
        ),
        document_zh="master 不承载工作负载，无需部署 flannel",
    )


def _inet(device: str) -> str:
    # flanneld_py marks its own addresses (IFA_PROTO of rtnetlink, since Linux 5.18).
    return rf"inet (\S+(?: brd \S+)?) scope global (?:proto \S+ )?{device}$"
