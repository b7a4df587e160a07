"""A refactoring proves itself: the same kernels, text for text."""

from __future__ import annotations

from pathlib import Path

from bench.generated import TARGETS, THREADS, differences, text
from bench.models import DIGITS
from luthier.schedules.target import parse


def test_the_same_code_generates_the_same_text() -> None:
    target = parse(TARGETS[0], THREADS)
    first = text(DIGITS, target)
    assert first == text(DIGITS, target)
    assert "chunks\n" in first
    assert "def main" in first


def test_differences_are_named(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, texts in ((before, "abd"), (after, "acd")):
        folder.mkdir()
        (folder / "same.txt").write_text("a\nb\n")
        (folder / "changed.txt").write_text("\n".join(texts))
    (after / "new.txt").write_text("")
    (after / "longer.txt").write_text("a\nb")
    (before / "longer.txt").write_text("a")
    assert list(differences(after, before)) == [
        "changed.txt: line 2 differs",
        "longer.txt: line 2 differs",
        f"new.txt: only in {after}",
    ]
