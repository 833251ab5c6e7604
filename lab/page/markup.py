"""HTML, in which every text is escaped: what is not made here is text. Pure."""

import html
from collections.abc import Callable

__all__ = ["Markup", "Writer", "document", "element"]


class Markup(str):
    """A piece of HTML, which needs no escaping any more."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str) -> Markup:
    """An element; a child that is no `Markup` is text. In an attribute's name a `_` stands for a
    hyphen, and one at its end for nothing.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items()
    )
    inner = "".join(child if isinstance(child, Markup) else html.escape(child) for child in children)
    return Markup(
        f"<{name}{given}>{inner}</{name}>\n" if name in BLOCKS else f"<{name}{given}>{inner}</{name}>"
    )


BLOCKS = frozenset(
    {
        "details", "dl", "h1", "h2", "h3", "header", "html", "li", "main", "nav", "p", "pre", "section",
        "table", "tbody", "thead", "tr", "ul",
    }
)  # fmt: skip
"""Elements with a line of their own in the source."""


class Writer:
    """Makes elements in whose texts something is hidden, so that no page can forget to hide it.

    Attributes are the page's own words, and are left alone.
    """

    def __init__(self, hide: Callable[[str], str] = str) -> None:
        self._hide = hide

    def __call__(self, name: str, *children: str, **attributes: str) -> Markup:
        """Make one."""
        return element(name, *map(self.text, children), **attributes)

    def text(self, child: str) -> str:
        """A text without what is to be hidden."""
        return child if isinstance(child, Markup) else self._hide(child)


POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""For the browser: should anything of a log slip into the page as HTML, it loads and runs nothing either."""


def document(title: str, style: str, *children: str, lang: str = "en") -> Markup:
    """A whole page, which loads nothing from anywhere."""
    head = [
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        element("title", title),
        element("style", Markup(style)),
    ]
    whole = element("html", element("head", *head), element("body", *children), lang=lang)
    return Markup(f"<!DOCTYPE html>\n{whole}")
