"""Reading pages as a browser does."""

from html.parser import HTMLParser

__all__ = ["VOID", "Page"]

VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})


class Page(HTMLParser):
    """The elements, identifiers, links and words of a page; it must be well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.identifiers: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(text)
        self.close()
        self.words = "".join(self._words)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name in {"href", "src"} and value:
                self.links.append(value)
            if name == "id" and value:
                self.identifiers.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self._words.append(data)

    @property
    def asks_for(self) -> list[str]:
        """What a browser would load or run: nothing, in a page that is to be one file."""
        asking = {"script", "link", "img", "iframe", "object", "embed", "video", "audio", "form"}
        outside = [link for link in self.links if not link.startswith("#")]
        return [*sorted(self.tags & asking), *outside]
