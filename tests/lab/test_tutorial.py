import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import Unfit
from lab.pods import RunningPod
from lab.spec import EtcdApi
from lab.spec.segment import Subnets
from lab.tutorial import Agreement, StepResult, document, replay
from lab.tutorial.step import CHOSEN, ELSEWHERE, Expect, Today, TutorialStep, examine, plain
from lab.tutorial.steps import steps
from lab.tutorial.words import Words
from tests.lab.examples import SPEC, FakeLab, etcd_answer, fake_lab, known, master

ONE, TWO = "centos-minion01", "centos-minion02"

# The document's own numbers.
DOCUMENT = Today(
    underlay=IPv4Network("192.168.199.0/24"),
    subnets={ONE: IPv4Network("10.2.35.0/24"), TWO: IPv4Network("10.2.52.0/24")},
)


def step(command: str, node: str | None = None) -> TutorialStep:
    """The first step for a command of the document."""
    found = [
        item
        for item in steps(DOCUMENT)
        if command in item.document.splitlines() and node in {None, item.node}
    ]
    assert found
    return found[0]


def wrong(result: StepResult) -> dict[str, tuple[str, str]]:
    """what -> (expected, seen) of all that is not as expected."""
    return {item.what.en: (item.expected, item.seen) for item in result.shown if not item.ok}


def test_the_documents_devices_are_what_is_expected_but_for_docker0s_mtu() -> None:
    result = examine(step("ip a", ONE), document.IP_A, 0, DOCUMENT)
    assert wrong(result) == {"docker0 MTU": ("1472", "1500")}
    assert len(result.shown) == 9


def test_an_address_that_is_marked_as_flannelds_own_is_the_documents() -> None:
    # As `ip a` prints it from Linux 5.18 on; older kernels keep no such mark.
    marked = document.IP_A.replace("scope global flannel0", "scope global proto 0xf1 flannel0")
    assert wrong(examine(step("ip a", ONE), marked, 0, DOCUMENT)) == {"docker0 MTU": ("1472", "1500")}


def test_the_documents_pod_is_what_is_expected_but_for_its_mtu() -> None:
    found = step("docker exec -it 309728d3a3f4 /bin/bash")
    assert found.node == ONE
    assert wrong(examine(found, f"mysql02\n{document.POD_IP_A}", 0, DOCUMENT)) == {"MTU": ("1472", "1500")}


@pytest.mark.parametrize(
    ("command", "node", "output"),
    [
        ("mysql -uroot -p -h10.2.52.2", ONE, document.LOGIN),
        ("mysql -uroot -p -h10.2.35.2", TWO, document.LOGIN),
        ("kubectl get pods -o wide", "", document.PODS),
        ("cat mysqlpod01.yaml", "", document.POD + document.POD.replace("01", "02")),
        ("edit /usr/lib/systemd/system/flanneld.service", TWO, document.UNIT),
        (
            "etcdctl ls /coreos.com/network/subnets",
            "centos-master",
            "/coreos.com/network/subnets/10.2.35.0-24\n/coreos.com/network/subnets/10.2.52.0-24\n",
        ),
        (
            'etcdctl set /coreos.com/network/config \'{ "Network": "10.2.0.0/16" }\'',
            "centos-master",
            '/coreos.com/network/config\n{ "Network": "10.2.0.0/16" }\n',
        ),
    ],
)
def test_what_the_document_prints_is_what_is_expected(command: str, node: str, output: str) -> None:
    result = examine(step(command, node), output, 0, DOCUMENT)
    assert wrong(result) == {}
    assert result.ok


def test_the_documents_settings_are_what_is_expected_but_for_the_options() -> None:
    result = examine(step("edit /etc/sysconfig/flanneld", ONE), document.SYSCONFIG, 0, DOCUMENT)
    assert wrong(result) == {"options": ('FLANNEL_OPTIONS="-iface=eth0"', "#FLANNEL_OPTIONS=")}


@pytest.mark.parametrize(
    ("address", "key"), [("192.168.199.52", "10.2.35.0-24"), ("192.168.199.53", "10.2.52.0-24")]
)
def test_a_lease_names_the_documents_address_and_publicipv6_beside_it(address: str, key: str) -> None:
    found = step(f"etcdctl get /coreos.com/network/subnets/{key}")
    value = f'{{"PublicIP":"{address}"}}'
    assert wrong(examine(found, f"{key}\n{value}\n", 0, DOCUMENT)) == {
        "lease value": (f'{{"PublicIP":"{address}","PublicIPv6":null}}', value)
    }


# flannel 0.5.5's subnet.env, and what its mk-docker-opts.sh -i makes of it.
@pytest.mark.parametrize(
    ("command", "output"),
    [
        (
            "source /run/flannel/subnet.env",
            "FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET=10.2.35.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n",
        ),
        (
            "mk-docker-opts.sh -i",
            'DOCKER_OPT_BIP="--bip=10.2.35.1/24"\nDOCKER_OPT_IPMASQ="--ip-masq=true"\n'
            'DOCKER_OPT_MTU="--mtu=1472"\n',
        ),
    ],
)
def test_the_files_that_the_document_does_not_show_are_those_of_0_5_5(command: str, output: str) -> None:
    assert wrong(examine(step(command, ONE), output, 0, DOCUMENT)) == {}


def test_in_another_lab_the_documents_addresses_are_that_labs() -> None:
    # Subnets that are each other's in the document must not be translated twice.
    today = Today(
        IPv4Network("192.168.203.0/24"), {ONE: IPv4Network("10.2.52.0/24"), TWO: IPv4Network("10.2.35.0/24")}
    )
    assert today.translate("192.168.199.52 10.2.35.1 10.2.52.255 10.2.0.0/16") == (
        "192.168.203.52 10.2.52.1 10.2.35.255 10.2.0.0/16"
    )


@given(st.text())
def test_the_document_is_its_own_translation(text: str) -> None:
    assert DOCUMENT.translate(text) == text


@given(st.integers(1, 255), st.integers(1, 255))
def test_every_steps_command_names_the_addresses_of_today(one: int, two: int) -> None:
    today = Today(
        DOCUMENT.underlay,
        {ONE: IPv4Network(f"10.2.{one}.0/24"), TWO: IPv4Network(f"10.2.{two}.0/24")},
    )
    commands = [item.command for item in steps(today)]
    assert f"docker exec -it mysql02_mysql02 mysql -uroot -p -h10.2.{two}.2" in commands
    assert f"docker exec -it mysql01_mysql01 mysql -uroot -p -h10.2.{one}.2" in commands


def test_the_sections_come_in_the_documents_order_and_none_is_left_out() -> None:
    sections = [item.section for item in steps(DOCUMENT)]
    first = list(dict.fromkeys(word for section in sections for word in section.split(", ")))
    assert first == ["2.1", "2.2", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "4.1", "note"]


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_every_text_is_there_in_both_languages_and_every_difference_has_a_reason(api: EtcdApi) -> None:
    for item in steps(replace(DOCUMENT, api=api, programs={TWO: "./flanneld-0.5.5"})):
        said = [item.text, item.why, *(it for expect in item.expects for it in (expect.what, expect.why))]
        assert item.text
        assert [it for it in said if bool(it.en) != bool(it.zh)] == []
        result = examine(item, item.shows, 0, DOCUMENT)
        assert [it for it in result.shown if it.agreement is not Agreement.SAME and not it.why] == []
        assert bool(result.command_why) is (item.command != item.document)


def test_a_step_gives_each_reason_once_for_its_command_and_for_what_it_shows() -> None:
    found = {(it.section, it.node, it.document): examine(it, it.shows, 0, DOCUMENT) for it in steps(DOCUMENT)}
    for result in found.values():
        words = [why.en for why in result.reasons]
        different = [item.why for item in result.shown if item.agreement is Agreement.DIFFERENT]
        assert all(
            any(why.en in said for said in words) for why in filter(None, (result.command_why, *different))
        )
        assert len(set(words)) == len(words)
    assert found["3.7", ONE, "ip a"].command_agreement is Agreement.SAME


def test_numbers_of_the_machines_network_are_others_for_another_reason_than_those_of_subnets() -> None:
    today = Today(IPv4Network("192.168.203.0/24"), dict(DOCUMENT.subnets))
    (step,) = [it for it in steps(today) if (it.section, it.node) == ("3.7", ONE)]
    shown = examine(step, today.translate(step.shows), 0, today).shown
    whys = {item.what.en: item.why for item in shown if item.agreement is Agreement.NORMALISED}
    assert whys == {"underlay address": ELSEWHERE}
    other = replace(today, subnets={ONE: IPv4Network("10.2.7.0/24"), TWO: IPv4Network("10.2.8.0/24")})
    (leases,) = [it for it in steps(other) if it.section == "3.7" and it.command.endswith("/subnets")]
    result = examine(leases, other.translate(leases.shows), 0, other)
    assert [item.why for item in result.shown] == [CHOSEN, CHOSEN]
    assert [item.document_lines for item in result.shown] == [(0,), (1,)]  # marked on both sides


def test_where_the_document_prints_something_that_is_what_it_is_compared_by() -> None:
    missing = {
        (item.document, expect.what.en)
        for item in steps(DOCUMENT)
        if item.shows
        for expect, shown in zip(item.expects, examine(item, item.shows, 0, DOCUMENT).shown, strict=True)
        if not shown.document_lines or shown.seen != expect.document
    }
    # Its prompt, which it does not print, names the pod.
    assert {what for _, what in missing} == {"host name"}


def test_what_differs_is_told_from_what_has_only_other_numbers_and_from_what_is_wrong() -> None:
    subnets = {ONE: IPv4Network("10.2.7.0/24"), TWO: IPv4Network("10.2.9.0/24")}
    today = replace(DOCUMENT, subnets=subnets)
    output = today.translate(document.IP_A).replace("docker0:  mtu 1500", "docker0:  mtu 1472")
    result = examine(step("ip a", ONE), output.replace("qlen 500", "qlen 1"), 0, today)
    assert {item.what.en: item.agreement for item in result.shown} == {
        "underlay address": Agreement.SAME,
        "underlay MTU": Agreement.SAME,
        "docker0 address": Agreement.NORMALISED,
        "docker0 MTU": Agreement.DIFFERENT,
        "flannel0 address": Agreement.NORMALISED,
        "flannel0 MTU": Agreement.SAME,
        "flannel0 state": Agreement.SAME,
        "flannel0 queue length": Agreement.WRONG,
        "flannel0 is not Ethernet": Agreement.SAME,
    }
    assert (result.agreement, result.command_agreement) == (Agreement.WRONG, Agreement.SAME)
    (queue,) = [item for item in result.shown if item.what.en == "flannel0 queue length"]
    assert [output.splitlines()[line].split(":")[1] for line in queue.lines] == [" flannel0"]


def test_a_pods_ethernet_address_is_put_in_terms_of_its_subnet() -> None:
    subnets = {ONE: IPv4Network("10.2.254.0/24"), TWO: IPv4Network("10.2.9.0/24")}
    today = replace(DOCUMENT, subnets=subnets)
    assert today.translate("02:42:0a:02:23:02 02:42:0a:02:34:02") == "02:42:0a:02:fe:02 02:42:0a:02:09:02"


def literal(today: Today) -> list[str]:
    return [
        item.command for item in steps(today) if item.command == item.document and "etcdctl" in item.command
    ]


def test_with_the_v2_api_the_documents_etcdctl_commands_are_run_word_for_word() -> None:
    today = replace(DOCUMENT, api="v2", config=document.CONFIG)
    assert literal(today) == [item.document for item in steps(DOCUMENT) if "etcdctl" in item.document]
    # What v3's etcdctl understands as well.
    assert {command.split()[1] for command in literal(replace(today, api="v3"))} == {"get"}


@pytest.mark.parametrize("config", [None, '{"Network": "10.3.0.0/16"}'])
def test_the_documents_etcdctl_set_is_not_run_where_it_would_change_anything(config: str | None) -> None:
    today = replace(DOCUMENT, api="v2", config=config)
    assert [command for command in literal(today) if " set " in command] == []


def test_both_minions_are_set_up_the_same() -> None:
    done: dict[str, list[str]] = {}
    for item in steps(DOCUMENT):
        if item.section.startswith("3") and item.node in {ONE, TWO}:
            done.setdefault(item.node, []).append(item.document)
    assert done[ONE] == done[TWO]


CHANGES_NOTHING = (
    "cat ",
    "ls ",
    "ip ",
    "ps ",
    "systemctl show ",
    "etcdctl get ",
    "docker exec ",
    "lab pod ls",
)


def test_no_step_changes_anything_in_the_lab() -> None:
    assert [item.command for item in steps(DOCUMENT) if not item.command.startswith(CHANGES_NOTHING)] == []


def test_every_command_that_is_not_the_documents_is_explained() -> None:
    unexplained = [
        item.document
        for item in steps(DOCUMENT)
        if not item.why and item.command.split(" ")[0] not in {"cat", "ls", "ip"}
    ]
    assert unexplained == []


def test_a_command_that_fails_is_not_what_the_tutorial_shows() -> None:
    result = examine(TutorialStep("0", "n", "x", "x", ()), "", 3, DOCUMENT)
    assert not result.ok
    assert wrong(result) == {"exit status": ("0", "3")}


def test_what_is_expected_today_stands_beside_what_the_document_shows() -> None:
    expect = Expect(Words("a name", "名字"), "old 10.2.35.1", r"^(\w+) is (\w+)$", today="new")
    (shown,) = examine(TutorialStep("0", "n", "x", "x", (expect,)), "it\nwho is it\n", 0, DOCUMENT).shown
    assert (shown.document, shown.expected, shown.seen, shown.ok) == ("old 10.2.35.1", "new", "who it", False)


def test_a_terminals_escapes_are_taken_out() -> None:
    assert plain("\x1b[?2004hmysql> \x1b[0m\\q\r\nBye\r\n\a") == "mysql> \\q\nBye\n"


def titles(results: Iterable[StepResult]) -> list[str]:
    return [result.document for result in results]


def test_a_replay_runs_every_step_and_compares_its_output() -> None:
    lab = fake_lab()
    lab.nodes[ONE].said["ip a"] = document.IP_A.replace("docker0:  mtu 1500", "docker0:  mtu 1472")
    results = list(replay(lab))
    assert titles(results) == [item.document for item in steps(DOCUMENT)]
    right = {(result.node, result.command) for result in results if result.ok}
    assert (ONE, "ip a") in right
    assert (TWO, "ip a") not in right
    # The pods and their files are this machine's to show.
    assert {("", "lab pod ls -o wide"), ("", "cat mysqlpod01.yaml mysqlpod02.yaml")} <= right


def test_another_cluster_than_the_tutorials_is_refused_with_the_difference() -> None:
    spec = SPEC.model_copy(update={"etcd_prefix": "/x", "pods": ()})
    with pytest.raises(Unfit, match="is not the tutorial's cluster: its etcd prefix and pods differ"):
        next(iter(replay(replace(fake_lab(), spec=spec))))


def test_a_pod_with_another_password_is_not_the_tutorials() -> None:
    (one, two) = fake_lab().pods()
    other = replace(one, spec=one.spec.with_values({one.name: {"MYSQL_ROOT_PASSWORD": "p654321"}}))

    class WithOther(FakeLab):
        def pods(self) -> Sequence[RunningPod]:
            return (other, two)

    lab = fake_lab()
    with pytest.raises(Unfit, match="its pods' variables differ"):
        next(iter(replay(WithOther(lab.master, lab.minions))))


def test_the_tutorials_cluster_under_another_name_is_replayed_too() -> None:
    lab = replace(
        fake_lab(),
        spec=SPEC.with_name("demo"),
        segments={"underlay": Subnets(IPv4Network("192.168.203.0/24"))},
    )
    moved = [
        replace(lease, value=lease.value.replace("192.168.199", "192.168.203"))
        for lease in known(master().leases)
    ]
    lab.master.answers["leases"] = (etcd_answer(*moved), "", 0)
    assert next(iter(replay(lab))).section == "2.1"


TYPIST = files("lab").joinpath("tutorial", "typist.py").read_text(encoding="utf-8")


def typed(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TYPIST, "60", "p123456", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_typist_gives_the_password_at_its_prompt_and_ends_at_the_next() -> None:
    end = typed('printf "Enter password:"; read -r a; printf "mysql> "; read -r b; echo "$a, $b"; exit 7')
    assert end.returncode == 7
    assert "p123456, \\q" in end.stdout


def test_the_typist_has_a_terminal() -> None:
    assert "yes" in typed("test -t 0 && echo yes").stdout
