"""The project's pages as GitHub reads them: their links, and the anchors of their headings."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt  # which rich brings
from markdown_it.token import Token

from tests.sources import ROOT

__all__ = ["PAGES", "Link", "anchors", "links", "problem", "title"]

PAGES: Final = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")],
)
HOST: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?")
TARGETS: Final = {"link_open": "href", "image": "src"}


@dataclass(frozen=True)
class Link:
    """Where a page's link or picture leads, as it is written there."""

    page: Path
    target: str

    @property
    def external(self) -> bool:
        """Whether it leads away from the project."""
        return bool(urlsplit(self.target).scheme or urlsplit(self.target).netloc)

    @property
    def file(self) -> Path:
        """The file that it leads to; the page itself, for a mere anchor."""
        path = unquote(urlsplit(self.target).path)
        return (self.page.parent / path).resolve() if path else self.page

    @property
    def anchor(self) -> str:
        """The place in that file, or nothing."""
        return unquote(urlsplit(self.target).fragment)


@cache
def _tokens(page: Path) -> Sequence[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def _inline(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()


def links(page: Path) -> Sequence[Link]:
    """Every link and picture of a page, once for each place that it leads to."""
    written = [str(token.attrs[TARGETS[token.type]]) for token in _inline(page) if token.type in TARGETS]
    return [Link(page, target) for target in dict.fromkeys(written)]


def _headings(page: Path) -> Iterator[str]:
    tokens = _tokens(page)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            yield "".join(token.content for token in inline.children or ())


def title(page: Path) -> str:
    """A page's first heading."""
    return next(_headings(page))


@cache
def anchors(page: Path) -> frozenset[str]:
    """What GitHub makes of a page's headings: lower case, and numbers where two are the same."""
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for heading in _headings(page):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)


def problem(link: Link) -> str | None:
    """What is wrong with a link, or None. An external one is not asked: it is its form that counts."""
    if link.external:
        parts = urlsplit(link.target)
        good = parts.scheme == "https" and HOST.fullmatch(parts.netloc)
        return None if good else "is no https address"
    if not link.file.is_relative_to(ROOT):
        return "leads out of the project"
    if not link.file.is_file():
        return (
            "leads to no file"
            if not link.file.is_dir()
            else "leads to a folder, which is no page of the site"
        )
    if link.anchor and link.file.suffix != ".md":
        return "names a place in a file that is no page"
    if link.anchor and link.anchor not in anchors(link.file):
        return f"names a heading that is not there; there are {', '.join(sorted(anchors(link.file)))}"
    return None
