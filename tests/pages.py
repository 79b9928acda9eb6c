"""A look at HTML as strict as a test needs it."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and texts of a page.

    Attributes:
        tags: Every opening tag with its attributes.
        texts: Every text between tags, stripped.
        faults: What is not as it must be.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self._open]
        self._check()

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every tag of this name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing, at {self.getpos()}")

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())

    def _check(self) -> None:
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        self.faults += [f"id {name} twice" for name in set(ids) if ids.count(name) > 1]
        for tag, attributes in self.tags:
            self.faults += self._faults_of(tag, attributes, set(ids))

    def _faults_of(self, tag, attributes, ids):
        if tag in ("script", "link", "iframe", "object"):
            yield f"<{tag}>"
        if tag == "img" and not attributes.get("alt"):
            yield "an image without alt"
        for name, value in attributes.items():
            if name.startswith("on"):
                yield f"{tag} {name}"
            if name in ("src", "href", "xlink:href"):
                inside = value.startswith("#") and value[1:] in ids
                if not inside and not value.startswith("data:image/"):
                    yield f"{tag} {name}={value[:60]}"
