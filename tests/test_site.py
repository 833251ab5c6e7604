"""The site that is made of the pages: whole, its links lead somewhere, and nothing is from elsewhere."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt

from tests import site
from tests.pages import PAGES
from tests.sources import ROOT

pytestmark = pytest.mark.package
ADDRESS = "https://example.org/overlay-lab/"
LOADED = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("object", "data")}
STRUCTURE = ("h1", "h2", "h3", "h4", "ul", "ol", "li", "table", "td", "pre", "img", "blockquote")


@dataclass
class Html(HTMLParser):
    """What matters of a page: what it loads, where it leads, which places it has, and how it is built."""

    loads: list[str] = field(default_factory=list)
    leads: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    article: Counter[str] = field(default_factory=Counter)
    inside: bool = False

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(given["href"])
        self.loads += [given[name] for name in given if (tag, name) in LOADED]
        self.inside |= tag == "article"
        self.article[tag] += self.inside

    def handle_endtag(self, tag):
        self.inside &= tag != "article"


@cache
def read(path: Path) -> Html:
    page = Html()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return site.build(tmp_path_factory.mktemp("site"), address=ADDRESS, repository="https://example.org/o/r")


def html_of(built: Path, page: Path) -> Path:
    name = str(page.relative_to(ROOT).with_suffix(".html"))
    return built / ("index.html" if name == "README.html" else name.replace("README", "index"))


def named(nav: object) -> Iterator[str]:
    """Every page of a navigation."""
    if isinstance(nav, Mapping):
        nav = [*nav.values()]
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list):
        for each in nav:
            yield from named(each)


def test_the_navigation_has_every_page_once():
    assert sorted(named(site.nav())) == sorted(str(page.relative_to(ROOT)) for page in PAGES)


def wrong(built: Path, page: Path, target: str) -> str | None:
    """Why something that a page names is not on the site."""
    address = urljoin(urljoin(ADDRESS, str(page.relative_to(built))), target)
    if not address.startswith(ADDRESS):
        return None if urlsplit(address).scheme == "https" else "is no https address"
    parts = urlsplit(address.removeprefix(ADDRESS))
    file = built / unquote(parts.path)
    file = file / "index.html" if file.is_dir() else file
    if not file.is_file():
        return "is not there"
    known = read(file).ids if file.suffix == ".html" else set()
    return None if unquote(parts.fragment) in {"", *known} else "is no place on that page"


def test_every_link_of_the_site_leads_somewhere(built):
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > len(PAGES)
    found = {
        f"{page.relative_to(built)}: {target}": problem
        for page in pages
        for target in dict.fromkeys([*read(page).leads, *read(page).loads])
        if (problem := wrong(built, page, target))
    }
    assert found == {}


def test_no_page_loads_anything_from_elsewhere(built):
    for page in built.rglob("*.html"):
        addresses = [
            urljoin(urljoin(ADDRESS, str(page.relative_to(built))), each) for each in read(page).loads
        ]
        assert [each for each in addresses if not each.startswith((ADDRESS, "data:"))] == [], page
    for sheet in built.rglob("*.css"):
        assert re.findall(r"url\([\"']?https?:|@import", sheet.read_text(encoding="utf-8")) == [], sheet


def test_pages_ask_nobody_about_the_repository(built):
    """The theme's script asks GitHub for stars where the header has the repository (`repo_url`)."""
    assert "repo_url" not in yaml.safe_load(site.SETTINGS.read_text(encoding="utf-8"))
    assert 'data-md-component="source"' not in (built / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_site_shows_what_github_shows(built, page):
    """Two readers of Markdown differ about lists: that one begins, and what is part of it."""
    github = Html()
    rendered = MarkdownIt("commonmark").enable("table").render(page.read_text(encoding="utf-8"))
    github.feed(f"<article>{rendered}</article>")
    shown = read(html_of(built, page)).article
    assert {tag: shown[tag] for tag in STRUCTURE} == {tag: github.article[tag] for tag in STRUCTURE}


def test_a_source_file_that_a_page_links_to_is_a_page(built):
    tutorial = read(built / "docs" / "tutorial.html")
    assert "../lab/tutorial/mysqlpod01.yaml.html" in tutorial.leads
    assert "mysqlpod01" in (built / "lab" / "tutorial" / "mysqlpod01.yaml.html").read_text(encoding="utf-8")


def test_what_cannot_be_built_is_said_with_what_zensical_says(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "sources", lambda: {"README.md": "[nowhere](docs/nowhere.md)"})
    with pytest.raises(site.Failed, match=r"(?s)zensical could not build.*README\.md:1"):
        site.build(tmp_path / "site")
