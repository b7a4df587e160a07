"""The pages about PyTorch and Keras run, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import blocks

pytest.importorskip("torch", reason="needs the extra 'torch': make test-torch")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", ["pytorch", "keras"])
def test_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "keras":
        pytest.importorskip("keras", reason="needs the extra 'keras': make test-torch")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(DOCS / f"{page}.md"):
        assert block.language == "python", f"{block}: only Python is run here"
        exec(compile(block.text, str(block), "exec"), names)
