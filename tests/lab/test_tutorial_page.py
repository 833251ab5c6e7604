"""The page of `lab tutorial --report`."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.bundle.redact import MARK, Redaction, redaction_of
from lab.cli.verify import tutorial_
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.page.markup import Writer
from lab.page.style import STYLE
from lab.spec import tutorial
from lab.tutorial import Agreement, StepResult, document, replay
from lab.tutorial.page import SIGNS, STEPS_STYLE, TITLES, page
from lab.tutorial.step import ABSENT
from lab.tutorial.words import LANGUAGES, Language
from tests.lab.examples import fake_lab
from tests.lab.pages import Page

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def results() -> list[StepResult]:
    lab = fake_lab()
    lab.nodes["centos-minion01"].said["ip a"] = document.IP_A.replace(
        "docker0:  mtu 1500", "docker0:  mtu 1472"
    )
    return list(replay(lab))


def shown(results: list[StepResult], language: Language = "en") -> Page:
    hide = redaction_of(tutorial(), tutorial().pods).text
    return Page(page(results, "demo", AT, Writer(hide), language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_every_step_with_both_sides_and_loads_nothing(
    results: list[StepResult], language: Language
) -> None:
    found = shown(results, language)
    assert found.asks_for == []
    assert set(found.links) - {"#main"} <= {f"#{name}" for name in found.identifiers}
    for result in results:
        assert result.text.of(language) in found.words
        assert (result.document_zh if language == "zh" else "") in found.words
        assert result.command in found.words
        assert [line for line in result.output.splitlines() if line not in found.words] in (
            [],
            ["      value: p123456"] * 2,
        )
    assert ("html", "lang", {"en": "en", "zh": "zh-CN"}[language]) in found.attributes


def test_a_chinese_page_has_no_english_words_of_its_own(results: list[StepResult]) -> None:
    words = shown(results, "zh").words
    for title in (
        " same ",
        "normalised",
        "Document",
        "Compared",
        "Section",
        "on purpose",
        "where lab runs",
        ABSENT,
    ):
        assert title not in words


def test_each_step_says_how_it_stands_to_the_document_and_why(results: list[StepResult]) -> None:
    (differing,) = [it for it in results if it.section == "3.1, 3.2" and it.node == "centos-minion01"]
    words = shown([differing]).words
    assert f"{SIGNS[differing.agreement]} {TITLES[differing.agreement].en}" in words
    assert differing.why.en in words
    every = [item for result in results for item in result.shown]
    assert [item for item in every if item.agreement is Agreement.DIFFERENT] != []
    assert [item for item in every if item.agreement is not Agreement.SAME and not item.why] == []


def test_a_reason_is_read_without_unfolding_anything(results: list[StepResult]) -> None:
    for result in results:
        beside = page([result], "demo", AT, Writer()).partition("<details")[0]
        for why in result.reasons:
            assert Writer()("p", why.en, class_="quiet") in beside


def test_signs_stand_before_the_lines_that_are_compared(results: list[StepResult]) -> None:
    (master,) = [it for it in results if it.section == "2.1"]
    marked = tuple(replace(it, lines=(1,)) for it in master.shown)
    changed = replace(master, output="nothing\n{ that }\n", shown=marked)
    text = page([changed], "demo", AT, Writer())
    line = next(line for line in text.splitlines() if "{ that }" in line)
    assert f">{SIGNS[changed.shown[0].agreement]}</span>{{ that }}" in line


def test_passwords_are_hidden_on_both_sides(results: list[StepResult]) -> None:
    words = shown(results).words
    assert "p123456" not in words
    assert f"value: {MARK}" in words


def test_what_a_machine_prints_cannot_put_anything_into_the_page(results: list[StepResult]) -> None:
    evil = "</pre><script>alert(1)</script><img src=http://192.0.2.1/x>&amp;"
    changed = [replace(result, output=evil, command=evil) for result in results[:2]]
    found = shown(changed)
    assert found.asks_for == []
    assert found.words.count(evil) == 4


def test_a_secret_over_several_lines_is_hidden_whole(results: list[StepResult]) -> None:
    secret = "first line of it\nsecond line of it"
    changed = [replace(results[0], output=f"a\n{secret}\nb")]
    words = Page(page(changed, "demo", AT, Writer(Redaction(frozenset({secret})).text))).words
    assert "line of it" not in words


def test_no_sign_is_told_by_its_colour_alone() -> None:
    assert len(set(SIGNS.values())) == len(Agreement)
    assert len({it.en for it in TITLES.values()}) == len({it.zh for it in TITLES.values()}) == len(Agreement)


def test_the_style_has_both_colour_schemes_a_narrow_screen_and_no_address() -> None:
    style = STYLE + STEPS_STYLE
    assert "prefers-color-scheme: dark" in style
    assert "max-width: 45em" in STEPS_STYLE
    assert not {"url(", "@import", "http"} & set(style.split())
    assert "url(" not in style


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: None)
    monkeypatch.setattr(Lab, "get", lambda _engine, _name: fake_lab())


def test_the_verb_writes_the_page_beside_its_text(world: None, tmp_path: Path) -> None:
    file = tmp_path / "tutorial.html"
    done = CliRunner().invoke(tutorial_, ["--report", str(file), "--language", "zh"], standalone_mode=False)
    assert "2.1 on centos-master" in done.output
    text = file.read_text(encoding="utf-8")
    assert "教程重放" in text
    assert "p123456" not in text


def test_a_page_that_cannot_be_written_and_a_language_without_a_page_are_told(
    world: None, tmp_path: Path
) -> None:
    run = CliRunner()
    nowhere = str(tmp_path / "no" / "x.html")
    done = run.invoke(tutorial_, ["--report", nowhere], standalone_mode=False)
    assert isinstance(done.exception, LabError)
    assert "No such file" in done.exception.message
    done = run.invoke(tutorial_, ["--language", "zh"], standalone_mode=False)
    assert isinstance(done.exception, Unfit)
