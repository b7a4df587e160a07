"""Numbers that a run asks for: from C, under the sanitizers, and which programs may ask."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import expecting_models
import pytest
from sanitized import HERE, SANITIZERS, Sanitized
from test_c_api import run

from luthier.frontend.program.library import verify_library
from luthier.frontend.program.verify import verify
from luthier.schedules.ir.core import IRError

PROMISES = re.findall(r"PROMISE\((\w+)\),", (HERE / "c_expect.c").read_text())


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_promises_in_c(
    sanitized: Sanitized, tmp_path: Path, c_compiler: str, sanitizer: str
) -> None:
    verify_library(expecting_models.library())
    expecting_models.write_sources(tmp_path)
    run(sanitized.program(c_compiler, sanitizer, "c_expect.c", tmp_path), *PROMISES)


def test_it_asks_for_whole_numbers_of_one_shape() -> None:
    (program,) = expecting_models.library().programs
    expect, call = program.steps
    for value in (1, 3):
        wrong = replace(expect, value=value)
        with pytest.raises(IRError, match=r"expect .* they are float32\[3,11\], int64\[2\]"):
            verify(replace(program, steps=(call, wrong)))
