"""A page, parsed: its elements, their attributes and its texts."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Attributes: `elements` are all tags with their attributes, `texts` the texts in their order."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(markup)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def ids(self) -> list[str]:
        return [found for _, attributes in self.elements if (found := attributes.get("id"))]

    def tags(self) -> set[str]:
        return {name for name, _ in self.elements}

    def attributes(self) -> set[str]:
        return {name for _, attributes in self.elements for name in attributes}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
