"""Values that grow in loops, in a C program under sanitizers."""

from __future__ import annotations

from pathlib import Path

import growing_models
import pytest
from sanitized import SANITIZERS, Sanitized
from test_c_api import run


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_growing_in_c(
    sanitized: Sanitized, tmp_path: Path, c_compiler: str, sanitizer: str
) -> None:
    growing_models.write_sources(tmp_path)
    assert "LUTHIER_GROW" in (tmp_path / "tables.c").read_text()
    run(sanitized.program(c_compiler, sanitizer, "c_growing.c", tmp_path))
