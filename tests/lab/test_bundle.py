"""A bundle: which files it has, what stands in them, and that it is an archive which anybody can open."""

import base64
import io
import json
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from lab.bundle import page as bundle_page
from lab.bundle.archive import pack
from lab.bundle.contents import Bundle, bundle_of
from lab.bundle.model import Entry
from lab.faults.status import InForce, Part, Status, node_fault
from lab.observe.journal import lines_of
from lab.spec.engine import EngineSpec
from tests.lab.bundles import AT, ONE, TWO, bundled_lab, evidence, failing, journal_line
from tests.lab.examples import FakeLab
from tests.schemas import problems

MASTER = "centos-master"


def texts(bundle: Bundle) -> dict[str, str]:
    return {entry.path: str(entry.content) for entry in bundle.entries}


def about(node: str, path: str, stdout: str, stderr: str = "", status: int = 0) -> dict[str, str]:
    """The files of a bundle about a lab in which one answer is this, and nothing was checked."""
    lab = bundled_lab(answers={node: {path: (stdout, stderr, status)}})
    return texts(bundle_of(evidence(lab, findings=())))


def test_an_answer_is_a_file_as_it_was_printed() -> None:
    text = "FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET=10.2.35.1/24\n"
    assert about(ONE, "flannel/subnet.env", text)[f"nodes/{ONE}/flannel/subnet.env"] == text


def test_a_command_that_fails_is_told_after_what_it_had_printed() -> None:
    found = about(ONE, "network/conntrack.txt", "half", "cat: /proc: No such file or directory\n", 1)
    assert found[f"nodes/{ONE}/network/conntrack.txt"] == (
        "half\n--- exit status 1, and on standard error:\ncat: /proc: No such file or directory\n"
    )


def test_what_a_command_says_beside_its_answer_comes_after_it() -> None:
    found = about(ONE, "flannel/version.txt", "", "0.1.0\n")
    assert found[f"nodes/{ONE}/flannel/version.txt"] == "--- on standard error:\n0.1.0\n"


def test_a_command_that_hangs_is_told_and_hides_no_other() -> None:
    lab = bundled_lab(answers={ONE: {"docker/info.txt": ("", "", 124), "network/links.txt": ("lo", "", 0)}})
    found = texts(bundle_of(evidence(lab)))
    assert "no answer within 15 s" in found[f"nodes/{ONE}/docker/info.txt"]
    assert found[f"nodes/{ONE}/network/links.txt"] == "lo"


def hung(lab: FakeLab, name: str) -> FakeLab:
    """A lab of which one machine is reached and never answers."""
    minions = tuple(replace(node, hangs=node.name == name) for node in lab.minions)
    return replace(lab, minions=minions)


def test_a_machine_that_does_not_answer_is_in_it_as_such_and_hides_no_other() -> None:
    bundle = bundle_of(evidence(hung(bundled_lab(), ONE)))
    found = texts(bundle)
    assert "did not answer in 15 s" in found[f"nodes/{ONE}/silent.txt"]
    assert f"nodes/{TWO}/silent.txt" not in found
    assert f"nodes/{TWO}/flannel/subnet.env" in found
    (silence,) = [node["silence"] for node in bundle.document["nodes"] if node["silence"]]
    assert silence == "did not answer in 15 s"
    assert "did not answer in 15 s" in found["index.html"]


def test_of_a_machine_that_does_not_run_there_is_what_the_engine_knows() -> None:
    whole = evidence(hung(bundled_lab(), ONE))
    machines = tuple(
        replace(item, state="exited", container={"State": {"OOMKilled": True}}, console="Out of memory")
        if item.name == ONE
        else item
        for item in whole.machines
    )
    found = texts(bundle_of(replace(whole, machines=machines)))
    assert json.loads(found[f"nodes/{ONE}/container.json"]) == {"State": {"OOMKilled": True}}
    assert found[f"nodes/{ONE}/console.log"] == "Out of memory"
    assert "Its container is exited." in found[f"nodes/{ONE}/silent.txt"]


def test_etcds_keys_can_be_read_with_their_revisions_and_leases() -> None:
    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    key, value = "/coreos.com/network/subnets/10.2.35.0-24", '{"PublicIP":"192.168.199.52"}'
    answer = {
        "header": {"revision": 9},
        "kvs": [
            {
                "key": coded(key),
                "value": coded(value),
                "create_revision": 4,
                "mod_revision": 8,
                "version": 2,
                "lease": 7587870000000000001,
            },
            {"key": coded("/x"), "create_revision": 2, "mod_revision": 2, "version": 1},
        ],
        "consistency": "l",
        "leases": {"7587870000000000001": {"ttl": 86390, "granted": 86400}},
    }
    found = about(MASTER, "etcd/keys.json", json.dumps(answer))
    told = json.loads(found[f"nodes/{MASTER}/etcd/keys.json"])
    assert (told["revision"], told["consistency"]) == (9, "linearizable")
    assert told["keys"][0] == {
        "key": key,
        "value": value,
        "createRevision": 4,
        "modRevision": 8,
        "version": 2,
        "lease": {"id": "694d87900fd7e001", "secondsLeft": 86390, "secondsGranted": 86400},
    }
    assert (told["keys"][1]["value"], told["keys"][1]["lease"]) == ("", None)


@pytest.mark.parametrize("text", ["", "[3]", "{}", "no JSON"])
def test_an_answer_that_is_not_the_programs_stays_as_it_is(text: str) -> None:
    paths = {MASTER: "etcd/keys.json", ONE: "docker/containers.json"}
    lab = bundled_lab(answers={node: {path: (text, "", 0)} for node, path in paths.items()})
    files = texts(bundle_of(evidence(lab, findings=())))
    for node, path in paths.items():
        found = files[f"nodes/{node}/{path}"]
        assert found == text or json.loads(found) == json.loads(text)


def test_each_container_has_a_log_of_its_own_and_none_leaves_its_folder() -> None:
    lines = [
        {"container": "mysql01_mysql01", "log": "ready for connections\n", "status": 0},
        {"container": "../../index.html", "log": "x", "status": 1},
    ]
    output = "".join(f"{json.dumps(line)}\n" for line in lines)
    found = about(ONE, "docker/logs", output, "", 124)
    folder = f"nodes/{ONE}/docker/logs"
    assert found[f"{folder}/mysql01_mysql01.log"] == "ready for connections\n"
    assert [path for path in found if ".." in path.split("/")] == []
    assert found[f"{folder}/_.._index.html.log"].startswith("x")
    assert "no answer within 15 s" in found[f"{folder}/incomplete.txt"]


def test_an_entry_of_a_journal_may_have_what_python_takes_for_the_end_of_a_line() -> None:
    """Its JSON leaves these characters as they are."""
    entry = {"__REALTIME_TIMESTAMP": "1", "__MONOTONIC_TIMESTAMP": "1", "MESSAGE": "one\u2028two\x85three"}
    found, others = lines_of(json.dumps(entry, ensure_ascii=False) + "\nFailed to read\n")
    assert [line.message for line in found] == ["one\u2028two\x85three"]
    assert others == ["Failed to read"]
    assert lines_of("") == ([], [])


def test_journals_of_machines_on_several_engines_are_merged_by_the_wall_clock() -> None:
    later = journal_line(
        "later", 1_000_000, 1_480_411_510_000_000, _COMM="etcd"
    )  # its machine has just booted
    earlier = journal_line("earlier", 900_000_000, 1_480_411_500_000_000, _COMM="flanneld")
    answers = {MASTER: {"journal/all.log": (later, "", 0)}, ONE: {"journal/all.log": (earlier, "", 0)}}
    lab = bundled_lab(answers=answers)

    def said(engines: tuple[EngineSpec, ...]) -> list[str]:
        spec = lab.spec.model_copy(update={"engines": engines})
        log = texts(bundle_of(evidence(lab, spec=spec)))["journal.log"]
        return [line.split()[-1] for line in log.splitlines()]

    assert said(()) == ["later", "earlier"]
    assert said((EngineSpec(name="home"), EngineSpec(name="far", host="ssh://far"))) == ["earlier", "later"]


def test_a_journal_has_both_clocks_and_all_machines_are_merged_by_the_one_that_they_share() -> None:
    first = journal_line("Reloading\n", 12_345_678, SYSLOG_IDENTIFIER="systemd", _PID="1")
    third = journal_line([104, 105, 255], 14_000_000, SYSLOG_IDENTIFIER="flanneld", _PID="77")
    # Its wall clock was set back meanwhile.
    second = journal_line("two\nlines", 13_000_000, 1_480_000_000_000_000, _COMM="etcd")
    lab = bundled_lab(
        answers={
            ONE: {"journal/all.log": (first + third, "", 0)},
            MASTER: {"journal/all.log": (f"{second}Failed to read\n", "", 0)},
        }
    )
    found = texts(bundle_of(evidence(lab)))
    assert found[f"nodes/{ONE}/journal/all.log"].splitlines() == [
        "2016-11-29T09:25:10.345678Z [    12.345678] systemd[1]: Reloading",
        "2016-11-29T09:25:12.000000Z [    14.000000] flanneld[77]: hi\N{REPLACEMENT CHARACTER}",
    ]
    assert found[f"nodes/{MASTER}/journal/all.log"].splitlines()[-2:] == ["    lines", "Failed to read"]
    lines = [line for line in found["journal.log"].splitlines() if not line.startswith("    ")]
    assert [line.split("] ")[1].split()[:2] for line in lines] == [
        [ONE, "systemd[1]:"],
        [MASTER, "etcd:"],
        [ONE, "flanneld[77]:"],
    ]


def test_what_happened_on_all_machines_and_to_them_is_one_time_line() -> None:
    second = 1_480_411_500_000_000  # 2016-11-29, 09:25:00 UTC
    flanneld = journal_line("two\nlines", 2, second + 2_000_000, SYSLOG_IDENTIFIER="flanneld", _PID="7")
    etcd = journal_line("ready", 9, second + 500_000, SYSLOG_IDENTIFIER="etcd")
    other = journal_line("nothing to do with the lab", 5, second, _COMM="cron")
    lab = bundled_lab(
        answers={
            ONE: {"journal/flanneld.log": (flanneld, "", 0), "journal/all.log": (flanneld + other, "", 0)},
            MASTER: {"journal/etcd.log": (etcd, "", 0)},
        }
    )
    events = (
        {"event": "step-began", "at": "2016-11-29T09:24:59.000+00:00", "step": 1, "name": "pod mysql01"},
        {
            "event": "step-failed",
            "at": "2016-11-29T09:25:03.000+00:00",
            "name": "pod mysql01",
            "error": "no",
            "seconds": 4.0,
        },
    )
    began = datetime(2016, 11, 29, 9, 25, 1, tzinfo=UTC)
    fault = InForce("8f31", "netem", began, (ONE,), (ONE,), {}, (Part(ONE, True, "delay 50ms"),))
    found = texts(bundle_of(evidence(lab, events=events, faults=Status((fault,), {}))))
    assert found["timeline.log"].splitlines() == [
        "2016-11-29 09:24:59.000 lab             pod mysql01: began",
        "2016-11-29 09:25:00.500 centos-master   etcd: ready",
        f"2016-11-29 09:25:01.000 lab             fault 8f31 netem {ONE}: began, and is on",
        "2016-11-29 09:25:02.000 centos-minion01 flanneld[7]: two",
        "    lines",
        "2016-11-29 09:25:03.000 lab             pod mysql01: failed: no",
        "2026-11-29 09:15:00.000 lab             this bundle was begun",
    ]


def test_faults_in_force_are_in_it_and_who_does_not_tell_of_them_is_too() -> None:
    machine = node_fault(TWO, "paused", "Up (Paused)")
    assert machine is not None
    delay = InForce("8f31", "netem", AT, (ONE,), (ONE,), {"delay": "50ms"}, (Part(ONE, True, "delay 50ms"),))
    status = Status((delay, machine), {TWO: "its container is paused"})
    found = texts(bundle_of(evidence(bundled_lab(), faults=status)))
    told = json.loads(found["faults.json"])
    assert problems("fault-status", told) == []
    assert [item["fault"] for item in told["faults"]] == ["netem", "node-pause"]
    assert told["silent"] == [{"node": TWO, "reason": "its container is paused"}]
    assert "delay 50ms" in found["faults.txt"]
    assert f"What {TWO} has is not known: its container is paused\n" in found["faults.txt"]
    page = Page(found["index.html"])
    assert "delay 50ms" in page.words
    assert f"What {TWO} has is not known: its container is paused" in page.words


def test_where_nobody_could_be_asked_no_fault_is_denied() -> None:
    found = texts(bundle_of(evidence(bundled_lab(), faults=None)))
    assert "faults.json" not in found
    assert "No fault is in force" not in found["index.html"]


def test_documents_of_who_asks_are_in_it_without_secrets() -> None:
    extra = {"soak/schedule.yaml": "rounds: []\n", "soak/round.txt": "password=verysecret\n"}
    found = texts(bundle_of(evidence(bundled_lab(), extra=extra)))
    assert found["soak/schedule.yaml"] == "rounds: []\n"
    assert found["soak/round.txt"] == "password=[redacted]\n"
    assert "rounds: []" in Page(found["index.html"]).words


def test_the_plan_has_the_times_of_the_run_that_made_the_lab() -> None:
    at = "2026-11-29T09:14:01.000+00:00"
    events = (
        {"event": "step-began", "at": at, "step": 1, "parent": None, "name": "network"},
        {"event": "step-ended", "at": at, "step": 1, "parent": None, "name": "network", "seconds": 0.25},
        {"event": "step-began", "at": at, "step": 2, "parent": None, "name": "etcd"},
        {"event": "step-failed", "at": at, "step": 2, "name": "etcd", "seconds": 3.0, "error": "no quorum"},
        {"event": "step-began", "at": at, "step": 3, "parent": None, "name": "images"},
    )
    found = texts(bundle_of(evidence(bundled_lab(), events=events)))
    lines = {line.split("   ")[0].rstrip(): line for line in found["plan.txt"].splitlines()}
    assert all(word in lines["network"] for word in (at, "0.25 s", "done"))
    assert all(word in lines["etcd"] for word in ("3.00 s", "failed", "no quorum"))
    assert "under way" in lines["images"]
    assert "not begun" in lines["checks"]
    assert [json.loads(line) for line in found["events.jsonl"].splitlines()] == list(events)


def test_the_plan_of_a_lab_that_somebody_else_made_claims_no_times() -> None:
    plan = texts(bundle_of(evidence(bundled_lab())))["plan.txt"]
    assert "was made by another process" in plan
    assert "not begun" not in plan


def test_its_list_follows_the_schema_and_names_every_other_file() -> None:
    bundle = bundle_of(evidence(hung(bundled_lab(), ONE), findings=failing()))
    found = texts(bundle)
    listing = json.loads(found["contents.json"])
    assert problems("bundle", listing) == []
    assert {item["path"] for item in listing["files"]} == found.keys() - {"index.html", "contents.json"}
    assert listing["checks"]["failed"] == 1
    command = {item["path"]: item["command"] for item in listing["files"]}
    assert command[f"nodes/{TWO}/network/rules.txt"] == "ip -4 rule show"
    assert problems("check", json.loads(found["checks.json"])) == []


def test_the_labs_description_has_no_values_and_the_secret_question_has_no_file() -> None:
    found = texts(bundle_of(evidence(bundled_lab())))
    assert json.loads(found["lab.json"])["name"] == "tutorial"
    assert [path for path in found if "secrets" in path] == []


class Page(HTMLParser):
    """What a browser makes of the page: its elements, what it links to, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_comes_first_links_to_every_file_and_loads_nothing() -> None:
    bundle = bundle_of(evidence(bundled_lab(), findings=failing()))
    assert bundle.entries[0].path == "index.html"
    page = Page(str(bundle.entries[0].content))
    within = {f"#{name}" for name in (MASTER, ONE, TWO)}
    assert set(page.links) - within == texts(bundle).keys() - {"index.html", "contents.json"}
    assert within <= set(page.links)
    assert not page.tags & {"script", "link", "img", "iframe", "object"}
    assert "overlay routes" in page.words


def test_a_log_cannot_put_anything_into_the_page() -> None:
    evil = "</pre><script>alert(1)</script><img src=http://192.0.2.1/x>&amp;"
    lab = bundled_lab(answers={ONE: {"network/links.txt": (evil, "", 0)}})
    page = Page(str(bundle_of(evidence(lab, why=evil)).entries[0].content))
    assert not page.tags & {"script", "img"}
    assert page.words.count(evil) == 3  # why, in the page and in why.txt, and the answer


def test_of_a_long_log_the_page_has_the_end_and_its_file_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_page, "SHOWN", 6_000)
    text = "".join(journal_line(f"line {number}", number) for number in range(300))
    found = about(ONE, "journal/flanneld.log", text)
    page = Page(found["index.html"])
    assert "line 299\n" in page.words
    assert "The last 6000 of " in page.words
    assert "line 0\n" in found[f"nodes/{ONE}/journal/flanneld.log"]
    assert "flanneld" in page.words
    assert page.words.count(": line 0\n") == 0


def test_the_archive_has_one_folder_and_the_same_files_make_the_same_bytes() -> None:
    entries = bundle_of(evidence(bundled_lab())).entries
    packed = pack("lab-tutorial-20261129T091500Z", entries, AT)
    assert packed == pack("lab-tutorial-20261129T091500Z", entries, AT)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        members = archive.getmembers()
        assert members[0].name == "lab-tutorial-20261129T091500Z/index.html"
        assert {member.name.split("/")[0] for member in members} == {"lab-tutorial-20261129T091500Z"}
        assert len({member.name for member in members}) == len(members)
        assert {(member.uid, member.mode, member.mtime) for member in members} == {(0, 0o644, AT.timestamp())}
        one = archive.extractfile("lab-tutorial-20261129T091500Z/why.txt")
        assert one is not None
        assert one.read() == b"A test has asked for it.\n"


def test_what_is_not_text_is_in_the_archive_all_the_same() -> None:
    packed = pack("x", [Entry("y", "\udcff")], AT)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["x/y"]
