"""The pages as a site: what it is built from, and building it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.docs.decisions import decisions
from tests.pages import PAGES, links, title
from tests.sources import ROOT

__all__ = ["SETTINGS", "Failed", "build", "nav", "page_of", "sources"]

SETTINGS: Final = ROOT / "docs" / "mkdocs.yml"
STYLE: Final = ROOT / "docs" / "site.css"
SHOWN_AS_THEY_ARE: Final = frozenset({".json", ".png", ".svg"})
"""Files that a browser shows, and programs read; it would only save others, or show them without colours."""
LANGUAGES: Final = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".lua": "lua"}


class Failed(Exception):
    """The site could not be built; the text says what Zensical said."""


def nav() -> Sequence[Mapping[str, Any]]:
    """The site's navigation, with every decision in it."""
    entries: Sequence[Mapping[str, Any]] = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))["nav"]
    entries[-1]["The project"][-1]["Decisions"] += [{title(page): _relative(page)} for page in decisions()]
    return entries


def sources() -> Mapping[str, str | Path]:
    """Where the site's files are to be, as in the project: the text of pages, and files as they are.

    What pages link to is on the site, too: source files as pages of their own.
    """
    found: dict[str, str | Path] = {_relative(STYLE): STYLE}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for link in links(page):
            if link.external or link.file.suffix == ".md":
                continue
            if link.file.suffix in SHOWN_AS_THEY_ARE:
                found[_relative(link.file)] = link.file
            else:
                shown = page_of(link.file)
                found[shown] = _as_a_page(link.file)
                text = text.replace(f"]({link.target})", f"]({os.path.relpath(ROOT / shown, page.parent)})")
        found[_relative(page)] = text
    return found


def page_of(file: Path) -> str:
    """The page that shows a source file. The site has no folder with a hidden name."""
    return f"{_relative(file)}.md".removeprefix(".")


def build(folder: Path, *, address: str | None = None, repository: str | None = None) -> Path:
    """Build the site in a folder, and answer where it is; with its and the repository's address, if any."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in sources().items():
        path = folder / "pages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_text(content, encoding="utf-8")
    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    settings |= {"docs_dir": "pages", "site_dir": "site", "site_url": address, "nav": nav()}
    if repository:
        settings["extra"]["social"] = [{"icon": "lucide/git-branch", "link": repository, "name": "Source"}]
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    argv = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "mkdocs.yml"]
    done = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"}
    )
    if done.returncode:
        raise Failed(f"zensical could not build the site in {folder}:\n{done.stdout}{done.stderr}")
    return folder / "site"


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _as_a_page(file: Path) -> str:
    """A file of the project as a page, which the search leaves out."""
    language = LANGUAGES.get(file.suffix, "text")
    text = file.read_text(encoding="utf-8")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {file.name}\n\n````{language}\n{text.rstrip()}\n````\n"
