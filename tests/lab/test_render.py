from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import checks, render
from lab.checks import Finding, Kind, Subject
from lab.checks.values import Number
from lab.cluster import plan
from lab.node.services import Service
from lab.observe import Silent
from lab.render import documents
from lab.tutorial import Agreement, Shown, StepResult
from lab.tutorial.words import Words
from tests.lab.examples import AT, CREATED, SPEC, changed, known, minion, observation, pod


@given(st.lists(st.tuples(st.text("ab\n", max_size=9), st.text("ab", max_size=9)), max_size=5))
def test_a_tables_columns_stand_under_each_other_and_no_line_ends_in_blanks(
    rows: list[tuple[str, str]],
) -> None:
    lines = render.table(["LEFT", "RIGHT"], rows).split("\n")
    start = lines[0].index("RIGHT")
    assert all(line == line.rstrip() for line in lines)
    assert all(set(line[start - 3 : start]) <= {" "} for line in lines)


WORDS = st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=6).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), st.integers(20, 100))
def test_a_table_is_no_wider_than_the_terminal_and_divides_no_word(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    text = render.table(["A", "B", "C"], rows, width)
    assert all(len(line) <= width for line in text.splitlines())
    words = [word for row in rows for cell in row for word in cell.split()]
    assert sorted(word for word in text.split() if word not in {"A", "B", "C"}) == sorted(words)


def test_a_table_that_fits_is_the_same_on_a_terminal_and_in_a_pipe() -> None:
    rows = [["one", "two three"]]
    assert render.table(["A", "B"], rows, 15) == render.table(["A", "B"], rows)
    assert render.table(["A", "B"], rows, 14).splitlines() == ["A     B", "one   two", "      three"]


def test_a_checks_row_fits_an_80_column_terminal_and_no_name_or_number_is_divided() -> None:
    value = '{"PublicIP":"192.168.199.52","PublicIPv6":null}'
    key = "/coreos.com/network/subnets/10.2.127.0-24"
    rows = [["ok", "lease value", "centos-minion01", value, "the same"], ["ok", "lease", "n", "key", key]]
    text = render.table(["", "CHECK", "SUBJECT", "EXPECTED", "SEEN"], rows, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    for undivided in (
        "PublicIPv6",
        "192.168.199.52",
        "coreos.com",
        "subnets",
        "10.2.127.0-24",
        "centos-minion01",
    ):
        assert undivided in text


def test_where_no_columns_fit_each_row_is_a_paragraph() -> None:
    rows = [["centos-minion01", "10.2.127.0/16"], ["centos-minion02", "10.2.247.0/16"]]
    assert render.table(["NODE", "ADDRESS"], rows, 24).splitlines() == [
        "NODE      centos-minion01",
        "ADDRESS   10.2.127.0/16",
        "",
        "NODE      centos-minion02",
        "ADDRESS   10.2.247.0/16",
    ]


# Duration.HumanDuration of Kubernetes' apimachinery, as `kubectl get` shows it.
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 60, "5h1m"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (75 * 3600, "3d3h"),
        (9 * 86400, "9d"),
    ],
)
def test_an_age_is_written_as_kubectl_does(seconds: int, words: str) -> None:
    assert render.age(CREATED, CREATED + timedelta(seconds=seconds)) == words


def test_pods_are_listed_as_in_the_tutorial() -> None:
    # The tutorial's section 4.1, with the address that kubectl shows since 1.3.
    young = replace(pod("mysql02"), created=CREATED + timedelta(minutes=3))
    now = CREATED + timedelta(minutes=10)
    words = [line.split() for line in render.pods([pod("mysql01"), young], wide=True, now=now).splitlines()]
    assert words == [
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"],
        ["mysql01", "1/1", "Running", "0", "10m", "10.2.52.2", "centos-minion02"],
        ["mysql02", "1/1", "Running", "0", "7m", "10.2.35.2", "centos-minion01"],
    ]
    assert render.pods([pod("mysql01")], now=now).splitlines()[0].split() == words[0][:5]


def test_no_pods_and_no_labs_are_said_in_words() -> None:
    assert render.pods([]) == "No pods."
    assert render.labs([]) == "There is no lab."


def test_a_pod_that_has_no_address_shows_none() -> None:
    assert "<none>" in render.pods([replace(pod("mysql01"), address=None)], wide=True)


@dataclass(frozen=True)
class FakeLab:
    name: str = "tutorial"
    state: str = "up"
    underlay: str = "192.168.199.0/24"
    nodes: int = 3
    made_by: str = "anna@here"


@dataclass(frozen=True)
class FakeNode:
    name: str = "centos-minion01"
    role: str = "minion"
    address: str = "192.168.199.52"
    state: str = "running"
    services: tuple[Service, ...] = (Service("flanneld", "active"), Service("docker", "failed"))
    subnet: str = "10.2.35.1/24"
    subnet6: str = ""
    flanneld: str = "/somewhere/flanneld-0.5.5 0.5.5"
    silences: tuple[Silent, ...] = ()
    ok: bool = False
    engine: str = ""


def test_a_lab_is_listed_with_its_state() -> None:
    line = render.labs([FakeLab()]).splitlines()[1]
    assert line.split() == ["tutorial", "192.168.199.0/24", "3", "anna@here", "up"]


def test_the_status_shows_services_lease_and_pods() -> None:
    text = render.status([FakeNode()], [pod("mysql02")])
    line = next(line for line in text.splitlines() if line.startswith("centos-minion01"))
    assert "flanneld active   10.2.35.1/24 " in line
    assert line.endswith(" /somewhere/flanneld-0.5.5 0.5.5")
    assert "docker failed" in text
    assert "mysql02" in text


def test_the_status_shows_what_a_machine_did_not_tell() -> None:
    silent = replace(FakeNode(), services=(), silences=(Silent("no answer within 10 s", AT, "pods"),))
    assert "pods: no answer within 10 s" in render.status([silent], [])
    hangs = replace(silent, silences=(Silent("did not answer in 15 s", AT),))
    assert " running   did not answer in 15 s   " in render.status([hangs], [])


def test_of_a_lab_on_several_engines_the_status_names_each_machines() -> None:
    shown = render.status([replace(FakeNode(), engine="far")], []).splitlines()
    assert shown[0].split()[:4] == ["NODE", "ROLE", "ENGINE", "ADDRESS"]
    assert shown[1].split()[:4] == ["centos-minion01", "minion", "far", "192.168.199.52"]
    assert "ENGINE" not in render.status([FakeNode()], [])


def test_a_plan_shows_what_comes_after_what() -> None:
    text = render.plan(plan.plan_up(SPEC))
    (line,) = [line for line in text.splitlines() if line.startswith("pod mysql01 ")]
    assert line.endswith("docker on centos-minion02")


def finding(kind: Kind, expected: int, seen: int, node: str = "centos-minion01") -> Finding:
    return Finding(
        id="overlay.mtu",
        title="flannel0 MTU",
        kind=kind,
        subject=Subject.node(node, "flannel0"),
        expected=Number(expected),
        seen=Number(seen),
    )


WRONG = finding(Kind.FAIL, 1472, 1500)
RIGHT = finding(Kind.PASS, 1472, 1472, "centos-minion02")


def test_a_check_that_failed_shows_expected_and_seen() -> None:
    text = render.findings([WRONG, RIGHT])
    lines = [line.split() for line in text.splitlines()]
    assert lines[1] == ["FAILED", "flannel0", "MTU", "centos-minion01", "1472", "1500"]
    assert lines[2] == ["ok", "flannel0", "MTU", "centos-minion02", "1472", "the", "same"]
    assert text.endswith("1 FAILED of 2 checks.")


def test_what_nobody_could_see_is_told_apart_from_what_was_seen_to_be_wrong() -> None:
    text = render.findings([WRONG, RIGHT, replace(WRONG, kind=Kind.UNKNOWN)])
    assert [line.split()[0] for line in text.splitlines()[1:4]] == ["FAILED", "ok", "UNKNOWN"]
    assert text.endswith("1 FAILED, 1 UNKNOWN of 3 checks.")


def test_only_what_failed_is_shown_when_asked_for_and_the_sum_is_of_all() -> None:
    assert [line.split() for line in render.findings([WRONG, RIGHT], failures=True).splitlines()] == [
        ["CHECK", "SUBJECT", "EXPECTED", "SEEN"],
        ["FAILED", "flannel0", "MTU", "centos-minion01", "1472", "1500"],
        [],
        ["1", "FAILED", "of", "2", "checks."],
    ]
    assert render.findings([RIGHT], failures=True) == "All 1 checks passed."
    report = documents.check([WRONG, RIGHT], failures=True)
    assert (report["passed"], report["failed"]) == (1, 1)
    assert [item["kind"] for item in report["findings"]] == ["fail"]


def test_whatever_a_check_is_called_lab_up_shows_its_table() -> None:
    renamed = [replace(item, title="something else") for item in checks.judge(observation())]
    assert render.up(StandingLab(), renamed) == render.up(StandingLab(), checks.judge(observation()))


class StandingLab:
    """No more of a lab than the report needs."""

    spec = SPEC
    underlay = IPv4Network("192.168.199.0/24")


def test_lab_up_ends_with_what_the_tutorial_ends_with() -> None:
    text = render.up(StandingLab(), checks.judge(observation()))
    for seen in (
        "/coreos.com/network/subnets/10.2.35.0-24",
        '{"PublicIP":"192.168.199.52","PublicIPv6":null}',
        "10.2.35.0/16",
        "10.2.52.1/24",
        "10.2.52.2/24",
        "Running 1/1 on centos-minion02",
        "mysql02 -> mysql01",
        "MySQL 9.7.0 on host mysql01",
    ):
        assert seen in text
    assert text.splitlines()[-1].startswith("All ")


def test_a_lab_without_pods_has_no_heading_for_them() -> None:
    text = render.up(
        StandingLab(), [item for item in checks.judge(observation()) if item.id.startswith("leases.")]
    )
    assert "leases in etcd" in text
    assert "Pods" not in text
    assert "logins" not in text


def test_lab_up_shows_each_check_that_failed() -> None:
    first, second = known(minion("centos-minion01").logins)
    refused = replace(first, host="", error="ERROR 2003 (HY000)")
    found = checks.judge(changed(observation(), "centos-minion01", logins=(refused, second)))
    text = render.up(StandingLab(), found)
    assert "ERROR 2003 (HY000)" in text
    assert text.endswith(f"1 FAILED of {len(found)} checks.")


def result(ok: bool) -> StepResult:
    docker0 = Agreement.DIFFERENT if ok else Agreement.WRONG
    return StepResult(
        section="3.7",
        node="centos-minion01",
        document="ip a",
        command="ip a",
        output="4: flannel0: mtu 1472\n",
        shown=(
            Shown(Words("flannel0 MTU", ""), "1472", "1472", "1472", Agreement.SAME),
            Shown(Words("docker0 MTU", ""), "1500", "1472", "1472" if ok else "1500", docker0),
        ),
        command_agreement=Agreement.SAME,
        why=Words("because", ""),
    )


def test_a_step_shows_both_commands_the_output_and_what_differs() -> None:
    lines = render.step(result(ok=True)).splitlines()
    assert "3.7 on centos-minion01" in lines[0]
    assert "document:  ip a" in lines
    assert "    | 4: flannel0: mtu 1472" in lines
    assert [line.split() for line in lines if "MTU" in line] == [
        ["ok", "flannel0", "MTU", "1472"],
        ["ok", "docker0", "MTU", "1472", "document:", "1500"],
    ]
    assert lines[-1].strip() == "why it differs: because"


def test_a_step_that_shows_something_else_says_so() -> None:
    text = render.step(result(ok=False))
    assert "DIFFERS" in text.splitlines()[0]
    assert "expected 1472" in text
    assert "seen     1500" in text


def test_the_replays_last_line_is_the_sum() -> None:
    assert render.replay_summary([result(ok=True)]) == "All 1 steps show what the tutorial shows."
    assert render.replay_summary([result(ok=True), result(ok=False)]) == (
        "1 of 2 steps do not show what the tutorial shows: 3.7."
    )
