"""Kernels of several sizes read shared weights in one order, so the library has them once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from luthier.deploy import build, load
from luthier.deploy.packings import agreed
from luthier.deploy.selection import Selection
from luthier.frontend import import_entries, read_model
from luthier.frontend.program import Library
from luthier.schedules import Workload
from luthier.schedules.target import parse
from luthier.schedules.templates import registry

K, N = 96, 200
TARGET = parse("x86-64-v3", threads=2)
TEXT = f"""
<ir_version: 8, opset_import: ["": 18]>
product (float[rows,{K}] x, float[{K},{N}] w) => (float[rows,{N}] y) {{ y = MatMul (x, w) }}
"""
W = np.random.default_rng(0).standard_normal((K, N)).astype(np.float32)


def library(**rows: str) -> Library:
    """An entry point for each choice of rows, read from the file by itself."""
    reads = {
        name: read_model(onnx.parser.parse_model(TEXT), {"rows": each}, {"w": W})
        for name, each in rows.items()
    }
    return Library("products", import_entries(reads, TARGET))


def workloads(made: Library) -> list[Workload]:
    return [call.workload for program in made.programs for call in program.calls]


def test_by_themselves_they_would_differ() -> None:
    few, many = (registry.default(w, TARGET) for w in workloads(library(few="1", many="64")))
    assert dict(few.knobs)["vectors"] != dict(many.knobs)["vectors"]


@pytest.mark.parametrize("rows", [("1", "64"), ("1", "2..64"), ("1..300", "1..300")], ids=str)
def test_weights_are_stored_once(rows: tuple[str, str], tmp_path: Path) -> None:
    """An entry point of one row, and one of many: the size is that of one packed matrix."""
    one, other = rows
    made = library(few=one, many=other)
    manifest = build(made, tmp_path / "out", TARGET, {})
    assert K * N * 4 <= manifest.weight_bytes <= K * (N + 63) * 4
    with load(tmp_path / "out") as few, few.entry("many") as many:
        for artifact, count in ((few, 1), (many, 64)):
            x = np.random.default_rng(count).standard_normal((count, K)).astype(np.float32)
            assert np.allclose(artifact.run({"x": x})["y"], x @ W, atol=1e-4)


def test_the_kernel_that_does_most_decides() -> None:
    made = library(few="1", many="64")
    few, many = workloads(made)
    found = agreed(made, TARGET, {})
    assert found.keys() == {few}
    default = dict(registry.default(few, TARGET).knobs)
    vectors = dict(registry.default(many, TARGET).knobs)["vectors"]
    assert dict(found[few].knobs) == {**default, "vectors": vectors}


def test_schedules_of_records_stay() -> None:
    made = library(few="1", many="64")
    few, _ = workloads(made)
    assert not agreed(made, TARGET, {few: Selection(registry.default(few, TARGET))})


def test_what_shares_nothing_has_its_default() -> None:
    assert not agreed(library(only="64"), TARGET, {})


FEW_BITS = f"""
<ir_version: 8, opset_import: ["": 18]>
product (float[rows,{K}] x, int8[{K},{N}] codes, float[{N}] scales) => (float[rows,{N}] y) {{
  w = DequantizeLinear <axis = 1> (codes, scales)
  y = MatMul (x, w)
}}
"""


def test_templates_that_share_a_knob_store_a_matrix_once(tmp_path: Path) -> None:
    """One for few rows, and one for many, each of which would have its own width of panels."""
    rng = np.random.default_rng(3)
    given = {
        "codes": rng.integers(-128, 128, (K, N)).astype(np.int8),
        "scales": rng.uniform(0.1, 1, N).astype(np.float32),
    }
    proto = onnx.parser.parse_model(FEW_BITS)
    reads = {name: read_model(proto, {"rows": n}, given) for name, n in (("one", 1), ("many", 64))}
    made = Library("products", import_entries(reads, TARGET))
    templates = {registry.default(w, TARGET).template for w in workloads(made)}
    assert templates == {"few_bits", "few_bits_gemm"}
    manifest = build(made, tmp_path / "out", TARGET, {})
    assert K * N + 4 * N <= manifest.weight_bytes <= (K + 4) * (N + 63)
    with load(tmp_path / "out") as one:
        x = rng.standard_normal((1, K)).astype(np.float32)
        expected = x @ (given["codes"] * given["scales"])
        assert np.allclose(one.run({"x": x})["y"], expected, atol=1e-2)


TIED = f"""
<ir_version: 8, opset_import: ["": 18]>
words (int64[rows] ids, float[{N},{K}] w) => (float[rows,{N}] y) {{
  x = Gather (w, ids)
  t = Transpose <perm = [1, 0]> (w)
  y = MatMul (x, t)
}}
"""


def test_a_table_that_words_are_scored_with_is_stored_once(tmp_path: Path) -> None:
    """As it is, since what gathers its rows reads it so."""
    table = np.ascontiguousarray(W.T)
    read = read_model(onnx.parser.parse_model(TIED), {"rows": 1}, {"w": table})
    made = Library("words", import_entries({"run": read}, TARGET))
    manifest = build(made, tmp_path / "out", TARGET, {})
    assert manifest.weight_bytes == K * N * 4
    with load(tmp_path / "out") as artifact:
        y = artifact.run({"ids": np.array([7])})["y"]
        assert np.allclose(y, table[[7]] @ W, atol=1e-4)
