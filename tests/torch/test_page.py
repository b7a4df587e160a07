"""The page about PyTorch runs, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import blocks

pytest.importorskip("torch", reason="needs the extra 'torch': make test-torch")
PAGE = Path(__file__).parents[2] / "docs" / "pytorch.md"


@pytest.mark.filterwarnings("default")
def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(PAGE):
        assert block.language == "python", f"{block}: only Python is run here"
        exec(compile(block.text, str(block), "exec"), names)
