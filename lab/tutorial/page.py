"""The replay for a browser: what the document says, does and shows, beside what was seen. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from lab.bundle.redact import MARK
from lab.page.markup import Markup, Writer, document
from lab.page.parts import contents, table
from lab.page.style import STYLE
from lab.tutorial.step import ABSENT, Agreement, Shown, StepResult
from lab.tutorial.words import Language, Words

__all__ = ["SIGNS", "STEPS_STYLE", "TITLES", "counted", "page", "step"]

STEPS_STYLE = """
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 1.5em; }
.step { border: 1px solid var(--line); border-radius: 8px; padding: .2em 1em .8em; margin: 1em 0; }
.step h3 { font-size: 1.05em; }
.pair h4 { margin: .5em 0 .2em; font-size: .9em; color: var(--quiet); font-weight: 600; }
.pair pre { margin: .2em 0; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 28em; }
.sign { display: inline-block; width: 1.6em; color: var(--quiet); user-select: none; }
.pair pre > span { display: block; padding-left: 1.6em; min-height: 1.5em; }
.pair pre .sign { float: left; margin-left: -1.6em; }
.same { color: var(--good); }
.normalised { color: var(--link); }
.different { color: var(--warn); }
.wrong-step { color: var(--bad); }
.badge { border: 1px solid currentcolor; border-radius: 1em; padding: 0 .7em; font-size: .85em;
  font-weight: 600; white-space: nowrap; }
.legend li { margin: .2em 0; }
@media (max-width: 45em) {
  .pair { grid-template-columns: minmax(0, 1fr); }
  .step { padding: .1em .6em .6em; }
}
"""

SIGNS: Mapping[Agreement, str] = {
    Agreement.SAME: "=",
    Agreement.NORMALISED: "≈",
    Agreement.DIFFERENT: "≠",
    Agreement.WRONG: "✗",
}
CLASSES = {**{each: each.value for each in Agreement}, Agreement.WRONG: "wrong-step"}

TITLES: Mapping[Agreement, Words] = {
    Agreement.SAME: Words("same", "相同"),
    Agreement.NORMALISED: Words("normalised", "换算后相同"),
    Agreement.DIFFERENT: Words("different, on purpose", "有意不同"),
    Agreement.WRONG: Words("not as expected", "不符合预期"),
}
LEGEND: Mapping[Agreement, Words] = {
    Agreement.SAME: Words("what the document shows, to the letter", "与原文所示逐字相同"),
    Agreement.NORMALISED: Words(
        "the same, once the document's addresses are put in terms of this lab's",
        "把原文的地址换成本实验室的地址后相同",
    ),
    Agreement.DIFFERENT: Words(
        "something else, as it is expected of a lab; the reason is given",
        "与原文不同，但实验室本应如此；给出原因",
    ),
    Agreement.WRONG: Words("neither: something is not right", "都不是：有问题"),
}

TITLE = Words("The tutorial, replayed", "教程重放")
INTRODUCTION = Words(
    "Each step of the 2016 tutorial on flannel under Kubernetes: on the left what the document says, types "
    "and shows, on the right what was run in the lab {lab} and what it really printed, at {at} UTC. Before "
    "lines of an output stands how they compare; lines without a sign are not compared.",
    "2016 年关于 Kubernetes 下 flannel 的教程的每一步：左边是原文所说、所输入、所显示的内容，"
    "右边是在实验室 {lab} 中执行的命令及其真实输出，时间 {at}（UTC）。"
    "输出行前的符号表示比较结果；没有符号的行不参与比较。",
)
HIDDEN = Words(
    f"Passwords are replaced by {MARK}, also the document's own.",
    f"密码都替换为 {MARK}，原文自己的密码也是。",
)
DOCUMENT, HERE = Words("The document", "原文"), Words("This lab", "本实验室")
ON, HOST = Words("on {node}", "在 {node} 上"), Words("where lab runs", "运行 lab 的主机")
COMMAND, PRINTS = Words("command", "命令"), Words("output", "输出")
PRINTS_NOTHING = Words("The document shows no output here. It asks for:", "原文此处没有输出，它要求：")
COMPARED = Words("Compared", "比较")
HEADER = (
    Words("", ""),
    Words("What", "项目"),
    Words("Document", "原文"),
    Words("Expected here", "此处预期"),
    Words("Seen", "所见"),
    Words("Why", "原因"),
)
NO_SUCH_LINE = Words(ABSENT, "没有这一行")
SECTIONS, SKIP = Words("Sections", "章节"), Words("To the steps", "跳到步骤")
SECTION = Words("Section {section}", "第 {section} 节")


def page(
    results: Sequence[StepResult], lab: str, at: datetime, write: Writer, language: Language = "en"
) -> str:
    """The whole page."""
    sections = list(dict.fromkeys(result.section for result in results))
    names = {_identifier(section): _heading(section, language) for section in sections}
    parts: list[str] = []
    for section in sections:
        heading = _heading(section, language)
        parts.append(write("h2", heading, id=_identifier(section)))
        parts += [step(result, write, language) for result in results if result.section == section]
    return document(
        TITLE.of(language),
        STYLE + STEPS_STYLE,
        contents(write, SECTIONS.of(language), names, SKIP.of(language)),
        write(
            "main",
            write("h1", TITLE.of(language)),
            write("p", INTRODUCTION.of(language).format(lab=lab, at=f"{at:%Y-%m-%d %H:%M}")),
            counted(results, write, language),
            write("p", HIDDEN.of(language), class_="quiet"),
            *parts,
            id="main",
        ),
        lang="zh-CN" if language == "zh" else "en",
    )


def _heading(section: str, language: Language) -> str:
    named = section.replace("note", "说明") if language == "zh" else section
    return SECTION.of(language).format(section=named)


def _identifier(section: str) -> str:
    return "section-" + "-".join(section.replace(",", "").split())


def counted(results: Sequence[StepResult], write: Writer, language: Language = "en") -> Markup:
    """How many steps are of which kind, and what that means."""
    items = []
    for each in Agreement:
        number = sum(result.agreement is each for result in results)
        words = f" {number}: {LEGEND[each].of(language)}"
        items.append(write("li", _badge(each, write, language), words))
    return write("ul", *items, class_="legend")


def step(result: StepResult, write: Writer, language: Language = "en") -> Markup:
    """One step: two columns, and the comparison below them."""
    where = ON.of(language).format(node=result.node) if result.node else HOST.of(language)
    shown = {line: item.agreement for item in result.shown for line in item.document_lines}
    seen = {line: item.agreement for item in result.shown for line in item.lines}
    reasons = [write("p", why.of(language), class_="quiet") for why in result.reasons]
    return write(
        "section",
        write(
            "h3", f"{_heading(result.section, language)} {where} ", _badge(result.agreement, write, language)
        ),
        write(
            "div",
            write(
                "div",
                write("h4", DOCUMENT.of(language)),
                write("p", result.text.of(language)),
                write("h4", COMMAND.of(language)),
                write("pre", _command(result, language), tabindex="0"),
                *_printed(result, shown, write, language),
            ),
            write(
                "div",
                write("h4", HERE.of(language)),
                *reasons,
                write("h4", f"{COMMAND.of(language)} ", _badge(result.command_agreement, write, language)),
                write("pre", result.command, tabindex="0"),
                write("h4", PRINTS.of(language)),
                write("pre", *_lines(result.output, seen, write, language), tabindex="0"),
            ),
            class_="pair",
        ),
        write(
            "details",
            write("summary", f"{COMPARED.of(language)}: {len(result.shown)}"),
            table(
                write,
                [name.of(language) for name in HEADER],
                [_row(item, write, language) for item in result.shown],
            ),
            **({} if result.ok else {"open": ""}),
        ),
        class_="step",
    )


def _command(result: StepResult, language: Language) -> str:
    return result.document_zh or result.document if language == "zh" else result.document


def _badge(agreement: Agreement, write: Writer, language: Language) -> Markup:
    words = f"{SIGNS[agreement]} {TITLES[agreement].of(language)}"
    return write("span", words, class_=f"badge {CLASSES[agreement]}")


def _printed(
    result: StepResult, marks: Mapping[int, Agreement], write: Writer, language: Language
) -> Iterator[Markup]:
    """What the document prints; where it prints nothing, what it wants all the same."""
    if result.shows:
        yield write("h4", PRINTS.of(language))
        yield write("pre", *_lines(result.shows, marks, write, language), tabindex="0")
        return
    yield write("h4", PRINTS_NOTHING.of(language))
    rows = [
        write("li", f"{item.what.of(language)}: ", write("code", _value(item.document, language)))
        for item in result.shown
    ]
    yield write("ul", *rows)


def _lines(text: str, marks: Mapping[int, Agreement], write: Writer, language: Language) -> Iterator[Markup]:
    """Each with its sign. What is hidden is hidden before lines are told apart: a secret may have several."""
    hidden = write.text(text.rstrip("\n")).split("\n")
    for number, line in enumerate(hidden):
        mark = marks.get(number)
        if mark is None:
            yield write("span", write("span", class_="sign"), line)
        else:
            sign = write("span", SIGNS[mark], class_="sign", title=TITLES[mark].of(language))
            yield write("span", sign, line, class_=CLASSES[mark])


def _value(text: str, language: Language) -> str:
    return NO_SUCH_LINE.of(language) if text == ABSENT else text


def _row(item: Shown, write: Writer, language: Language) -> Sequence[str]:
    return [
        _badge(item.agreement, write, language),
        item.what.of(language),
        *(_value(it, language) for it in (item.document, item.expected, item.seen)),
        item.why.of(language),
    ]
