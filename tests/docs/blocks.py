"""The fenced code blocks of a Markdown page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """``info`` stands after the first fence: a language, and a file's name for code that
    programs of later blocks need (Markdown shows the language alone).
    """

    page: Path
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def file(self) -> str:
        return self.info.partition(" ")[2].strip()

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["text"])
        for match in _FENCE.finditer(text)
    ]


def section(page: Path, title: str) -> str:
    """The text under a heading, down to the next one of the same or a higher level."""
    pattern = rf"^(?P<level>#+) {re.escape(title)}$\n(?P<text>.*?)(?=^#{{1,2}} |\Z)"
    match = re.search(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    assert match, f"{page.name} has no section '{title}'"
    return match["text"]
