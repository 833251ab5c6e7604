"""`lab report`: the page and the summary, from what a lab tells and from files of other verbs."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from lab import spec
from lab.bundle.archive import pack
from lab.bundle.contents import bundle_of
from lab.bundle.redact import MARK, Redaction
from lab.checks import judge
from lab.cli.common import as_text
from lab.cli.report import report as verb
from lab.cluster import Lab
from lab.cluster.plan import plan_up
from lab.engine import Engine, EngineUnavailable
from lab.errors import LabError, Unfit
from lab.graph.describe import described
from lab.page.markup import Writer
from lab.page.style import STYLE
from lab.render.soak import document as soak_document
from lab.report.documents import Bench, Happening, Soak, read
from lab.report.model import Absent, Checked, Indexed, Report
from lab.report.page import SECTIONS, page
from lab.report.phases import PHASES, happenings, timed
from lab.report.read import bundles_in
from lab.report.style import REPORT_STYLE
from lab.report.summary import LONGEST, ROWS, summary
from lab.report.verdict import HOW, verdicts
from lab.soak.evidence import Evidence
from lab.soak.invariants import Violation
from lab.soak.outcome import Outcome
from lab.soak.schedule import Entry, Round
from lab.tutorial import replay
from tests.lab.bundles import AT, bundled_lab, evidence, failing
from tests.lab.examples import SPEC, fake_lab, observation
from tests.lab.pages import Page

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "lab.yml").read_text(encoding="utf-8"))
BENCH = ROOT / "docs" / "bench" / "bench.json"


def event(kind: str, second: float, name: str, step: int, **more: object) -> dict[str, object]:
    """A line of `lab up --events`."""
    at = f"2026-11-30T19:56:{second:06.3f}+00:00"
    return {"event": kind, "at": at, "parent": None, "step": step, "name": name, **more}


UP = [
    event("step-began", 8, "images", 1),
    event("step-began", 8.1, "build node", 2, parent=1),
    {"event": "note", "at": "2026-11-30T19:56:08.200+00:00", "parent": 2, "text": "pulled"},
    event("step-ended", 9, "images", 1, seconds=1.0),
    event("step-began", 9, "node a", 3),
    event("step-began", 9.5, "node b", 4),
    event("step-ended", 11, "node a", 3, seconds=2.0),
    event("step-failed", 12.5, "node b", 4, seconds=3.0, error="no space left"),
]
EVENTS = "".join(json.dumps(event) + "\n" for event in UP)


def soaked() -> Soak:
    """As `lab soak --json` prints it: a round that held, and one that did not."""
    entry = Entry(at=1.5, fault="partition", targets=("centos-minion01",), lasts=4)
    held = Outcome(1, Round(faults=(entry,)), Evidence(()), ())
    violation = Violation("stray", "10.2.1.0/24", "nobody uses it", "<centos-minion01>")
    broken = Outcome(2, Round(faults=(entry, Entry(at=2, fault="etcd-wipe"))), Evidence(()), (violation,))
    return read(Soak, as_text(soak_document([held, broken], 7)), "soak.json", "lab soak")


def measured() -> Bench:
    return read(Bench, BENCH.read_text(encoding="utf-8"), "bench.json", "lab bench")


@cache
def everything() -> Report:
    return Report(
        lab="demo",
        at=datetime(2026, 11, 30, 12, tzinfo=UTC),
        version="0.1.0",
        topology=described(SPEC, observation()),
        checks=Checked(tuple(judge(observation()))),
        replay=tuple(replay(fake_lab())),
        timings=timed(happenings(EVENTS, "events")),
        soak=soaked(),
        bundles=(Indexed("x.tar.gz", 0, None, "it is no archive"),),
        bench=measured(),
    )


def whole(**changes: Any) -> Report:
    return replace(everything(), **changes)


@cache
def whole_page() -> Page:
    return Page(page(whole(), Writer()))


EMPTY = Absent("it was not asked for.")
NOTHING = whole(
    topology=EMPTY, checks=EMPTY, replay=EMPTY, timings=EMPTY, soak=EMPTY, bundles=EMPTY, bench=EMPTY
)


def test_the_page_has_every_part_and_loads_nothing() -> None:
    found = whole_page()
    assert found.asks_for == []
    assert set(found.links) == {"#main", *(f"#{part}" for part in SECTIONS)}
    assert set(SECTIONS) <= set(found.identifiers)
    assert len(found.identifiers) == len(set(found.identifiers))
    for words in ("centos-minion02", "overlay.mtu", "etcdctl set", "no space left", "partition", "stray"):
        assert words in found.words
    for words in ("x.tar.gz", "it is no archive", "udp, fast path", "Gbit/s"):
        assert words in found.words
    assert "svg" in found.tags


def test_the_table_of_machines_says_which_engine_each_is_on_where_there_are_several() -> None:
    assert "Engine" not in whole_page().words
    graph = described(SPEC, observation())
    machines = tuple(replace(machine, engine=f"far-{machine.name}") for machine in graph.machines)
    found = Page(page(replace(NOTHING, topology=replace(graph, machines=machines)), Writer()))
    assert "Engine" in found.words
    for machine in machines:
        assert machine.engine in found.words


def test_what_there_is_nothing_for_is_left_out_and_the_page_says_how_to_get_it() -> None:
    found = Page(page(NOTHING, Writer()))
    assert found.words.count("Not in this report: it was not asked for.") == len(SECTIONS)
    for how in HOW.values():
        assert how in found.words
    assert [it.ok for it in verdicts(NOTHING)] == [None] * 6


def test_the_style_has_both_colour_schemes_and_a_narrow_screen() -> None:
    assert "prefers-color-scheme: dark" in STYLE
    assert "max-width: 45em" in REPORT_STYLE
    assert "url(" not in STYLE + REPORT_STYLE


def test_what_scrolls_can_be_reached_by_the_keyboard_and_has_a_name() -> None:
    found = whole_page()
    regions = [value for _, name, value in found.attributes if name == "role" and value == "region"]
    labels = [value for _, name, value in found.attributes if name == "aria-label"]
    stops = [value for tag, name, value in found.attributes if (tag, name) == ("div", "tabindex")]
    assert len(stops) == len(regions) > 0
    assert "Picture of the lab" in labels
    assert "" not in labels


EVIL = "</pre></td><script>alert(1)</script><img src=http://192.0.2.1/x>"


def test_nothing_that_a_lab_or_a_file_says_gets_into_the_page_as_html() -> None:
    evil = happenings(EVENTS.replace("no space left", EVIL), "events")
    steps = tuple(replace(step, output=EVIL) for step in replay(fake_lab()))
    bundles = (Indexed(EVIL, 0, None, EVIL),)
    soak = Soak.model_validate(json.loads(soaked().model_dump_json().replace("etcd-wipe", EVIL)))
    found = Page(page(whole(timings=timed(evil), replay=steps, bundles=bundles, soak=soak), Writer()))
    assert found.asks_for == []
    assert found.words.count(EVIL) > 4


def test_what_is_hidden_is_hidden_in_every_part_of_page_and_summary() -> None:
    hide = Redaction(frozenset({"hunter22"})).text
    events = happenings(EVENTS.replace("no space left", "it said hunter22"), "events")
    soak = Soak.model_validate(json.loads(soaked().model_dump_json().replace("nobody", "hunter22")))
    bundles = (Indexed("x.tar.gz", 0, None, "hunter22"),)
    steps = tuple(replace(step, output="hunter22") for step in replay(fake_lab()))
    report = whole(timings=timed(events), soak=soak, bundles=bundles, replay=steps)
    for text in (page(report, Writer(hide)), summary(report, hide)):
        assert "hunter22" not in text
        assert MARK in text.replace("\\", "")


def test_a_summary_says_what_holds_what_does_not_and_how_long_it_took() -> None:
    lines = summary(whole(checks=Checked(failing()))).splitlines()
    assert lines[0] == "## Lab demo"
    assert f"- ❌ **Checks**: 1 of {len(failing())} do not hold" in lines
    assert "- ❌ **Timings**: failed after 4.5 s: node b" in lines
    assert "- ❌ **Soak**: 1 of 2 rounds held" in lines
    assert "| routes.overlay |" in next(line for line in lines if line.startswith("| routes"))
    assert "| machines | 1.0 s | 3.5 s | not done |" in lines
    assert "| node b | no space left |" in lines
    good = summary(whole())
    assert "**Checks**: all" in good
    assert "Checks that do not hold" not in good


def test_in_a_summary_what_was_said_is_text_and_in_one_line() -> None:
    evil = "a|b `c` <b>\n![x](http://192.0.2.1) @somebody " + "y" * 400
    text = summary(whole(bundles=(Indexed("x", 0, None, evil),)))
    (row,) = [line for line in text.splitlines() if line.startswith("| x |")]
    assert row.startswith(r"| x | a\|b \`c\` &lt;b&gt; !\[x\]\(http\://192.0.2.1\) \@somebody yyy")
    assert len(row) < LONGEST + 40


def test_a_long_summary_is_cut_and_says_so() -> None:
    many = tuple(Indexed(f"x{number}", 0, None, "no") for number in range(ROWS + 7))
    text = summary(whole(bundles=many))
    assert text.count("| no |") == ROWS
    assert "and 7 more" in text


def test_steps_of_a_phase_may_overlap_and_parts_of_a_step_are_not_counted() -> None:
    found = timed(happenings(EVENTS, "events"))
    told = {phase.title: (len(phase.steps), phase.began, phase.seconds, phase.well) for phase in found.phases}
    assert told == {"images": (1, 0.0, 1.0, True), "machines": (2, 1.0, 3.5, False)}
    assert found.seconds == 4.5
    assert [step.error for step in found.failed] == ["no space left"]


def test_every_step_of_a_plan_is_of_a_phase_with_a_name() -> None:
    steps = plan_up(spec.tutorial())
    events = [
        Happening(event="step-began", at=AT, step=number, name=step.name) for number, step in enumerate(steps)
    ]
    assert {phase.title for phase in timed(events).phases} == {*PHASES.values()} - {"flanneld"}


def test_a_step_that_was_not_over_lasts_until_the_last_event() -> None:
    (images, machines) = timed(happenings("\n".join(EVENTS.splitlines()[:-1]) + "\n", "events")).phases
    assert images.well
    assert {step.name: (step.outcome, step.seconds) for step in machines.steps} == {
        "node a": ("done", 2.0),
        "node b": ("not over", 1.5),
    }


def test_a_line_that_was_cut_off_is_let_go_and_another_file_is_refused() -> None:
    assert len(happenings(EVENTS[:-20], "events")) == len(UP) - 1
    assert timed(happenings("", "events")).phases == ()
    with pytest.raises(Unfit, match=r"events:1: Invalid JSON") as found:
        happenings("hello\n", "events")
    assert "lab up --events" in found.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schemaVersion": 2, "rounds": []}'])
def test_another_document_is_refused_with_what_makes_the_right_one(text: str) -> None:
    with pytest.raises(Unfit, match=r"^soak.json: ") as found:
        read(Soak, text, "soak.json", "lab soak --json > FILE")
    assert "lab soak --json" in found.value.hint


def left(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)


def test_bundles_are_listed_and_one_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    entries = bundle_of(evidence(bundled_lab(), findings=failing())).entries
    packed = pack("lab-demo", entries, AT)
    left(tmp_path, "a.tar.gz", packed)
    left(tmp_path, "b.tar.gz", packed[: len(packed) // 8])
    left(tmp_path, "c.tar.gz", b"hello")
    empty = BytesIO()
    with tarfile.open(fileobj=empty, mode="w:gz"):
        pass
    left(tmp_path, "d.tar.gz", empty.getvalue())
    left(tmp_path, "notes.txt", b"")
    found = bundles_in(tmp_path)
    assert [each.file for each in found] == ["a.tar.gz", "b.tar.gz", "c.tar.gz", "d.tar.gz"]
    assert found[0].contents is not None
    assert found[0].contents.checks is not None
    assert found[0].contents.checks.failed == 1
    assert len(found[0].contents.files) == len(entries) - 2  # the page and the list itself
    assert all(each.problem for each in found[1:] if each.contents is None)
    words = Page(page(replace(NOTHING, bundles=found), Writer())).words
    assert "A test has asked for it." in words
    assert "there is no contents.json in it" in words
    assert bundles_in(tmp_path / "none") == ()


class UpLab:
    """A lab that is up, as much of it as a report asks."""

    def __init__(self) -> None:
        self._lab = fake_lab()
        self.has_its_networks = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lab, name)


def run(arguments: Sequence[str]) -> Any:
    return CliRunner().invoke(verb, list(arguments), standalone_mode=False)


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: None)
    monkeypatch.setattr(Lab, "get", lambda _engine, _name: UpLab())
    monkeypatch.delenv("LAB_BUNDLES", raising=False)


def test_the_verb_asks_the_lab_and_reads_the_files(up: None, tmp_path: Path) -> None:
    (tmp_path / "events").write_text(EVENTS)
    (tmp_path / "soak.json").write_text(soaked().model_dump_json(by_alias=True))
    (tmp_path / "summary.md").write_text("before\n")
    done = run(
        [
            *("-o", f"{tmp_path}/x.html", "--summary", f"{tmp_path}/summary.md"),
            *("--events", f"{tmp_path}/events", "--soak", f"{tmp_path}/soak.json"),
            *("--bench", str(BENCH), "--bundles", str(tmp_path)),
        ]
    )
    assert done.exception is None
    assert done.stdout == ""
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    found = Page(text)
    assert "Not in this report" not in found.words
    assert "p123456" not in text
    told = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert told.startswith("before\n## Lab ")
    assert "p123456" not in told


def test_without_a_file_the_page_is_the_output_and_a_summary_alone_is_too(up: None) -> None:
    assert run([]).stdout.startswith("<!DOCTYPE html>")
    assert run(["--summary", "-"]).stdout.startswith("## Lab ")


def test_without_an_engine_or_a_lab_there_is_a_report_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def connect() -> Engine:
        raise EngineUnavailable("no Docker engine answers")

    monkeypatch.setattr(Engine, "connect", connect)
    monkeypatch.setenv("LAB_BUNDLES", str(tmp_path / "nothing-was-left"))
    (tmp_path / "events").write_text(EVENTS)
    done = run(["-o", f"{tmp_path}/x.html", "--events", f"{tmp_path}/events"])
    assert done.exception is None
    words = Page((tmp_path / "x.html").read_text(encoding="utf-8")).words
    assert words.count("Not in this report: no Docker engine answers") == 3
    assert "no space left" in words
    assert "None was left" in words


def test_a_part_that_fails_hides_no_other(up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_lab: object) -> Any:
        raise Unfit("the lab demo is not the tutorial's cluster", hint="lab up")

    monkeypatch.setattr("lab.tutorial.replay", refused)
    words = Page(run([]).stdout).words
    assert words.count("Not in this report: the lab demo is not the tutorial's cluster") == 1
    assert "checks hold" in words or "do not hold" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--events", "NO/x"], "--events: NO/x cannot be read: No such file"),
        (["--soak", "NO/x"], "--soak: NO/x cannot be read"),
        (["--bench", "NO/x"], "--bench: NO/x cannot be read"),
        (["--bundles", "NO/x"], "--bundles: NO/x is no folder"),
        (["-o", "NO/x"], "--output: NO/x cannot be written"),
        (["--summary", "NO/x"], "--summary: NO/x cannot be written"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(up: None, arguments: list[str], words: str) -> None:
    done = run(arguments)
    assert isinstance(done.exception, LabError), done.output
    assert not isinstance(done.exception, click.ClickException)
    assert words in done.exception.message


def step(**wanted: str) -> dict[str, Any]:
    """The step of the workflow's first job in whose keys these words stand."""
    (found,) = [
        step
        for step in WORKFLOW["jobs"]["lab-up"]["steps"]
        if all(words in str(step.get(key)) for key, words in wanted.items())
    ]
    return dict(found)


@pytest.mark.slow
def test_the_workflow_writes_page_and_summary_also_after_a_failure_and_uploads_the_page(
    tmp_path: Path,
) -> None:
    writing, uploading = step(run="lab report"), step(uses="upload-artifact", **{"with": "lab-report.html"})
    assert writing["if"] == uploading["if"] == "always()"
    assert "--events $RUNNER_TEMP/events.jsonl" in step(run="make lab-up UP")["run"]
    temporary = tmp_path / "temp"
    temporary.mkdir()
    (temporary / "events.jsonl").write_text(EVENTS)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    summary_file = tmp_path / "summary.md"
    given = {"RUNNER_TEMP": str(temporary), "GITHUB_STEP_SUMMARY": str(summary_file)}
    # What `lab up` leaves that fails: there is no lab.
    there_is_none = {
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
        "LAB_BUNDLES": str(tmp_path / "lab-bundles"),
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", writing["run"]],
        cwd=tmp_path,
        env={**os.environ, **given, **there_is_none},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    uploaded = uploading["with"]["path"].replace("${{ runner.temp }}", str(temporary))
    assert "no space left" in Page(Path(uploaded).read_text(encoding="utf-8")).words
    assert "failed after 4.5 s: node b" in summary_file.read_text(encoding="utf-8")
