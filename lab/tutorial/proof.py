"""Sections 3.7 and 4: the devices, the leases, the pods, and MySQL logins from pod to pod."""

from lab.pods import container_name
from lab.tutorial.numbers import ADDRESS, CONTAINER, DOCKER0_MTU, MASTER, MINIONS, PEER, POD, SUBNET
from lab.tutorial.step import ABSENT, Expect, Today, TutorialStep

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
            Expect("underlay address", f"{ADDRESS[node]}/24 brd 192.168.199.255", _inet("eth0")),
            Expect("underlay MTU", "1500", r"^\d+: eth0(?:@\S+)?: .* mtu (\d+) "),
            Expect("docker0 address", f"{subnet}.1/24 brd {subnet}.255", _inet("docker0")),
            Expect("docker0 MTU", "1500", r"^\d+: docker0: .* mtu (\d+) ", today="1472"),
            Expect("flannel0 address", f"{subnet}.0/16", _inet("flannel0")),
            Expect("flannel0 MTU", "1472", r"^\d+: flannel0: .* mtu (\d+) "),
            Expect("flannel0 state", "UNKNOWN", r"^\d+: flannel0: .* state (\w+) "),
            Expect("flannel0 queue length", "500", r"^\d+: flannel0: .* qlen (\d+)"),
            Expect("flannel0 is not Ethernet", "link/none", r"^\d+: flannel0: .*\n +(link/\w+)"),
        ),
        "The underlay's interface is eth0 in a container, and eno16777736 in the tutorial. The third octet "
        "is that of the lease, which flannel chooses at random. docker0 is UP because a pod runs. "
        f"{DOCKER0_MTU}",
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
    return (
        TutorialStep(
            "3.7",
            MASTER,
            f"etcdctl ls {folder}",
            f"etcdctl ls {folder}" if old else f"etcdctl get --prefix --keys-only {folder}",
            tuple(
                Expect(f"lease of {node}", keys[node], rf"^({today.translate(keys[node])})$")
                for node in MINIONS
            ),
            "" if old else "The v3 API has no directories, only prefixes of keys.",
        ),
        *(
            TutorialStep(
                "3.7",
                MASTER,
                f"etcdctl get {keys[node]}",
                f"etcdctl get {today.translate(keys[node])}",
                (
                    Expect("lease value", values[node], r"^(\{.*\})$", today=None if old else ours[node]),
                    Expect("public IP", ADDRESS[node], r'"PublicIP":"([^"]*)"'),
                ),
                "" if old else "The v3 store contains what today's flannel writes, which supports IPv6, too.",
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
                    "pod": f"name: {pod}",
                    "image": "image: mysql",
                    "variable": "name: MYSQL_ROOT_PASSWORD",
                    "its value": "value: p123456",
                    "port": "containerPort: 3306",
                }.items()
            ),
            "Only the nodeName: lines are added: they place the pods where the tutorial's scheduler did.",
        ),
        TutorialStep(
            "4.1",
            "",
            "kubectl create -f mysqlpod01.yaml\nkubectl create -f mysqlpod02.yaml\nkubectl get pods -o wide",
            POD_LS,
            tuple(
                Expect("pod", f"{POD[node]} 1/1 Running {node}", rf"^({POD[node]}) +(\S+) +(\w+) .* (\S+)$")
                for node in reversed(MINIONS)
            ),
            "lab up has created the pods from the two files, as lab pod create -f mysqlpod01.yaml does; "
            "there is no Kubernetes here, only its Pods.",
        ),
    )


def login(node: str, today: Today) -> tuple[TutorialStep, ...]:
    """Return the steps of section 4.1 in a minion's pod: its address, and MySQL in the other pod."""
    pod = POD[node]
    name = container_name(pod, pod)
    third = today.translate(f"{SUBNET[node]}.").split(".")[2]
    mac = f"02:42:0a:02:{int(third):02x}:02"
    old_mac = f"02:42:0a:02:{int(SUBNET[node].split('.')[2]):02x}:02"
    return (
        TutorialStep(
            "4.1",
            node,
            f"docker exec -it {CONTAINER[pod]} /bin/bash\nip a",
            f"docker exec {name} bash -c 'hostname; ip a'",
            (
                Expect("host name", pod, r"\A(.*)$"),
                Expect("address", f"{SUBNET[node]}.2/24", r"inet (\S+) (?:brd \S+ )?scope global eth0"),
                Expect("state", "UP", r"^\d+: eth0@\S+: .* state (\w+) "),
                Expect("Ethernet address", old_mac, r"link/ether (02:\S+)", today=mac),
                Expect("MTU", "1500", r"^\d+: eth0@\S+: .* mtu (\d+) ", today="1472"),
            ),
            f"Containers have names here. {DOCKER0_MTU}",
        ),
        TutorialStep(
            "4.1",
            node,
            f"mysql -uroot -p -h{PEER[pod]}",
            f"docker exec -it {name} mysql -uroot -p -h{today.translate(PEER[pod])}",
            (
                Expect("the client asks", "Enter password:", r"^(Enter password:)"),
                Expect(
                    "the server answers",
                    "Welcome to the MySQL monitor.",
                    r"^(Welcome to the MySQL monitor\.)",
                ),
                Expect("it shows its version", "Server version:", r"^(Server version:) \S+"),
                Expect("it prompts for commands", "mysql>", r"^(mysql>)"),
            ),
            "This is today's MySQL, not 5.7.10. The password p123456 is typed at the prompt, then \\q.",
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
            Expect("underlay address", "192.168.199.51/24", r"^eth0\S* .* (192\.168\.\S+/\d+)"),
            Expect("flannel0", ABSENT, r"^(flannel0)"),
            Expect("docker0", ABSENT, r"^(docker0)"),
        ),
    )


def _inet(device: str) -> str:
    # flanneld_py marks its own addresses (IFA_PROTO of rtnetlink, since Linux 5.18).
    return rf"inet (\S+(?: brd \S+)?) scope global (?:proto \S+ )?{device}$"
