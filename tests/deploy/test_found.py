"""Sizes that a run finds: from C, C++ and Python, in the manifest, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import found_models
import numpy as np
import pytest
from found_models import COLUMNS, MOST
from sanitized import HERE, SANITIZERS, WARNINGS, Sanitized
from test_c_api import run

from luthier.deploy import load, read_manifest
from luthier.deploy.found_tables import refusal_arrays
from luthier.frontend.program import Find, OpenTensor, Program, State
from luthier.frontend.program.library import verify_library
from luthier.frontend.program.verify import verify
from luthier.schedules import ArtifactError, Tensor
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol

PROMISES = re.findall(r"PROMISE\((\w+)\),", (HERE / "c_found.c").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("found") / "artifact"
    verify_library(found_models.library())
    found_models.build(out)
    return out


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_promises_in_c(
    sanitized: Sanitized, tmp_path: Path, c_compiler: str, sanitizer: str
) -> None:
    found_models.write_sources(tmp_path)
    run(sanitized.program(c_compiler, sanitizer, "c_found.c", tmp_path), *PROMISES)


def test_arrays_come_back_with_their_shapes(folder: Path) -> None:
    rng = np.random.default_rng(1)
    with load(folder) as artifact:
        assert "rows: float32[found,11]" in repr(artifact)
        assert [symbol.name for symbol in artifact.sizes] == ["tokens"]
        for tokens in (MOST, 4, 4, 0, 1, MOST):
            x = rng.standard_normal((tokens, COLUMNS)).astype(np.float32)
            rows = x[x[:, 0] > 0]
            outputs = artifact.run({"x": x})
            assert np.array_equal(outputs["rows"], rows)
            assert np.array_equal(outputs["minus"], -rows)
            assert outputs["count"] == len(rows)


CPP = """
#include <luthier.hpp>
#include <model.h>
int main()
{
    luthier::Model model(luthier_rows());
    luthier::Instance instance(model);
    if (instance.output_shape(0) != luthier::Shape{-1, 11})
        return 1;
    std::vector<float> x(9 * 11, -1.0f), rows(11), minus(11);
    std::vector<std::int64_t> count(1);
    x[33] = 5;
    instance.run({x}, {rows, count, minus});
    if (instance.output_shape(0) != luthier::Shape{1, 11} || rows[0] != 5 || count[0] != 1)
        return 2;
    x[0] = 4;
    return instance.try_run({x}, {rows, count, minus}).status() == LUTHIER_TOO_SMALL ? 0 : 3;
}
"""


def test_in_cpp(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.cpp").write_text(CPP)
    command = ["c++", "-std=c++17", *WARNINGS[1:], f"-I{folder}", "main.cpp", f"-L{folder}"]
    command += ["-lrows", f"-Wl,-rpath,{folder}", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "program"], check=True)


@pytest.mark.parametrize(
    "found",
    [["tokens=0..9"], ["found=0..9", "found=0..9"], ["found = 0..9"], [7], "found", []],
)
def test_manifests_of_strangers(folder: Path, tmp_path: Path, found: object) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    assert data["entries"][0]["found"] == ["found=0..9"]
    data["entries"][0]["found"] = found
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="malformed"):
        read_manifest(tmp_path)


def test_what_programs_may_find() -> None:
    (program,) = found_models.library().programs
    verify(program)
    find = next(step for step in program.steps if isinstance(step, Find))
    others = tuple(step for step in program.steps if step is not find)
    wrong = {
        "it is found later": replace(program, steps=(*others, find)),
        "a size is found twice": replace(program, steps=(*program.steps[:2], find, *others[1:])),
        "it is float32": replace(program, steps=(others[0], replace(find, value=0), *others[1:])),
        "a size to be found": replace(
            program, open={**program.open, 0: OpenTensor((Size.named("found"), COLUMNS), "float32")}
        ),
        "that has no range": replace(program, symbols=program.symbols[:1], open={}),
        "a state grows": replace(program, states=(State("h", "g", 0, 0, 0, "tokens"),)),
    }
    for message, each in wrong.items():
        with pytest.raises(IRError, match=message.removeprefix("it ")):
            verify(each)


def test_what_is_refused_together_is_asked_for_with_the_last_of_it() -> None:
    """Before that, others may have been found by the iteration before."""
    steps = (Find("late", 0), Find("early", 0))
    refuses = ((("early", 0), ("late", 1)),)
    number = Tensor((), "int64")
    program = Program("p", (number,), (("n", 0),), (), {}, {}, steps, refuses=refuses)
    text = refusal_arrays("v", program, (Symbol("early", 0, 9), Symbol("late", 0, 9)))
    assert re.search(r"v_refused_0\[\] = \{\s*1u,\s*0u", text), text
    assert re.search(r"v_refused_sizes_0\[\] = \{\s*1,\s*0", text), text
