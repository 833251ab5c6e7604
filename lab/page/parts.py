"""What several pages have: tables, boxes that scroll, the way to each section. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from lab.page.markup import Markup, Writer

__all__ = ["contents", "scrolling", "table"]


def table(write: Writer, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """On a narrow screen each row is a paragraph, and each cell says whose it is.

    The roles keep it a table for who hears it, also where style makes paragraphs of its rows.
    """
    head = write("tr", *(write("th", cell, scope="col", role="columnheader") for cell in header), role="row")
    body = [
        write(
            "tr",
            *(write("td", cell, data_of=name, role="cell") for name, cell in zip(header, row, strict=True)),
            role="row",
        )
        for row in rows
    ]
    return write(
        "table",
        write("thead", head, role="rowgroup"),
        write("tbody", *body, role="rowgroup"),
        role="table",
    )


def scrolling(write: Writer, label: str, *children: str, class_: str = "wide") -> Markup:
    """A box whose content may be wider than the screen; the keyboard scrolls it, too."""
    return write("div", *children, class_=class_, tabindex="0", role="region", aria_label=label)


def contents(write: Writer, label: str, sections: Mapping[str, str], skip: str) -> Markup:
    """The way to each section, by its identifier; and one past these links, for who has no mouse."""
    links = [write("a", title, href=f"#{identifier}") for identifier, title in sections.items()]
    over = write("a", skip, href="#main", class_="skip")
    return Markup(over + write("nav", *links, aria_label=label))
