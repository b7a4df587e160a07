"""The sweep: its points are models, whatever is drawn, and an outcome comes to the right place."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import luthier
from bench.roofline import Limits
from bench.sweep import grid, report, whole_products
from bench.sweep.measuring import OURS, Bench, Outcome
from bench.sweep.point import Point, floats
from luthier.deploy import read_manifest
from luthier.frontend import read_model

LIMITS = Limits(1, gflops=100.0, gbytes_per_s=10.0)
POINT = Point("product", "small", "y = MatMul (a, b)", {"a": floats(3, 4)}, {"b": (4, 16)})


def test_every_point_is_a_model_of_fixed_shapes() -> None:
    for point in grid.points(seed=1, short=True):
        model = point.model()
        read_model(model)
        for value in (*model.graph.input, *model.graph.output):
            assert all(d.dim_value > 0 for d in value.type.tensor_type.shape.dim), point.name


def test_a_tenth_is_drawn_and_another_seed_draws_others() -> None:
    fixed = {(p.family, p.name) for p in grid.fixed()}
    drawn = [{(p.family, p.name) for p in grid.points(seed)} - fixed for seed in (0, 1)]
    assert all(len(fixed) / 12 < len(some) < len(fixed) / 8 for some in drawn)
    assert len(drawn[0] & drawn[1]) < len(drawn[0]) / 4


def test_the_short_form_is_an_eighth() -> None:
    assert len(grid.points(0, short=True)) == pytest.approx(len(grid.points(0)) / 8, rel=0.3)


@pytest.fixture(scope="module")
def measured() -> list[Outcome]:
    """Two points by one bench: the second is of a family that OpenVINO's absence does not stop."""
    other = Point("function", "other", "y = Relu (x)", {"x": floats(7)}, positive=True)
    with Bench() as bench:
        return [bench.measure(point, LIMITS, rounds=2) for point in (POINT, other)]


def test_engines_are_timed_through_their_c_apis(measured: list[Outcome]) -> None:
    for outcome in measured:
        assert OURS not in outcome.failures
        assert 0 < outcome.seconds < 1e-3
        assert outcome.ratios["onnxruntime"] > 0


def test_the_limit_is_of_bytes_or_of_operations(measured: list[Outcome]) -> None:
    moved = 4 * (3 * 4 + 4 * 16 + 3 * 16)  # columns that fill vectors: weights are not padded
    assert measured[0].floor == pytest.approx(moved / 10e9)
    assert measured[1].floor == pytest.approx(4 * 14 / 10e9)


def test_products_of_8_bits_have_a_limit_of_their_own(tmp_path: Path) -> None:
    (point,) = (p for p in whole_products.grid() if p.name == "37x80x37 of uint8")
    onnx.save(point.model(), tmp_path / "point.onnx")
    luthier.build(tmp_path / "point.onnx", tmp_path / "built", log=None, threads=1)
    kernels = read_manifest(tmp_path / "built").kernels
    slow, fast = (replace(LIMITS, gops=gops).arithmetic(kernels) for gops in (None, 400.0))
    assert slow == pytest.approx(4 * fast)
    assert slow >= 2 * 37 * 80 * 37 / 100e9


def test_outcomes_are_kept_as_lines(measured: list[Outcome]) -> None:
    assert [Outcome.from_json(o.to_json()) for o in measured] == measured


def test_what_does_not_build_is_a_failure_and_the_next_point_goes_on() -> None:
    image = {"x": "uint8[100]"}
    refused = Point("movement", "image", "y = ImageDecoder (x)", image, output="uint8")
    with Bench() as bench:
        outcome = bench.measure(refused, LIMITS, rounds=2)
        assert "ImageDecoder" in outcome.failures[OURS]
        assert outcome.best == 0
        assert bench.measure(POINT, LIMITS, rounds=2).best > 0


def test_the_tables_name_the_worst_first() -> None:
    def outcome(name: str, best: float) -> Outcome:
        return Outcome("product", name, 1, 1e-6, {"onnxruntime": best}, 5e-7, 0.1, {})

    alone = Outcome("product", "alone", 1, 1e-6, {}, 5e-7, 0.1, {})
    outcomes = [outcome("good", 2.0), outcome("bad", 0.5), outcome("even", 0.95), alone]
    text = report.tables(outcomes)
    assert "| product | 1 | 4 | 0.98 | 0.50 | 1 | 2 | 50% | 0.1 s |" in text
    assert text.index("product: bad") < text.index("product: even") < text.index("product: good")
    assert alone.best == math.inf
