"""A strict reading of a page: tags balanced, ids unique, references resolved, nothing fetched from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a page holds; `problems` is empty for a sound one."""

    def __init__(self, text: str, *, scripts: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self.may_have_scripts = scripts
        self.open: list[str] = []
        self.problems: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"{tag} is never closed" for tag in self.open]
        self.problems += [f"id {name} occurs twice" for name in set(self.ids) if self.ids.count(name) > 1]
        wanted = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
        self.problems += [f"#{name} leads nowhere" for name in wanted - set(self.ids)]
        self.problems += self._outside(text)

    def _outside(self, text: str) -> list[str]:
        outside = [f"{tag} fetches {value}" for tag, values in self.tags for name, value in values.items()
                   if name in {"src", "href", "xlink:href", "srcset", "action"} and re.match(r"(?:[a-z]+:)?//|javascript:", value)]  # fmt: skip
        script = "<script src" if self.may_have_scripts else "<script"
        found = [word for word in (script, "@import", "url(http", "<link", "<iframe") if word in text]
        return outside + [f"the page holds {word}" for word in found]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"])
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:]}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "nav" not in self.open:  # the contents repeat every heading
            self.text.append(data)

    def all_of(self, tag: str) -> list[dict[str, str]]:
        return [values for name, values in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())
