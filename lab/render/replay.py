"""The replay of the tutorial."""

from collections.abc import Sequence

from lab.render.shapes import ShownStep
from lab.render.text import indent, less, table

__all__ = ["replay_summary", "step"]


def step(result: ShownStep, *, width: int | None = None) -> str:
    """One step of the replay: the document's command, today's, its output, and what it shows."""
    where = f" on {result.node}" if result.node else ""
    lines = [
        f"== {result.section}{where}: {'as in the tutorial' if result.ok else 'DIFFERS FROM THE TUTORIAL'}"
    ]
    lines += [f"document:  {line}" for line in result.document.splitlines()]
    lines += [f"today:     {line}" for line in result.command.splitlines()]
    lines.append(indent(result.output.rstrip("\n"), "    | "))
    shown = [
        [
            "ok" if item.ok else "FAILED",
            item.what.en,
            item.seen if item.ok else f"expected {item.expected}\nseen     {item.seen}",
            "" if item.document == item.seen else f"document: {item.document}",
        ]
        for item in result.shown
    ]
    if shown:
        lines.append(indent(table(shown[0], shown[1:], less(width))))
    if result.why.en:
        lines.append(f"  why it differs: {result.why.en}")
    return "\n".join(lines) + "\n"


def replay_summary(results: Sequence[ShownStep]) -> str:
    """The replay's last line."""
    wrong = [result for result in results if not result.ok]
    if not wrong:
        return f"All {len(results)} steps show what the tutorial shows."
    places = ", ".join(dict.fromkeys(result.section for result in wrong))
    return f"{len(wrong)} of {len(results)} steps do not show what the tutorial shows: {places}."
