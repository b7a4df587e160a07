"""Products of 8 bits, as quantisers write them: pairs around a product, 8 bits outside."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper, shape_inference

from bench.sweep.point import Array, Point, by

_TEXT = """\
<ir_version: 9, opset_import: ["": 20]>
point ({kind}[{m},{k}] a) => ({kind}[{m},{n}] y) {{
    x = DequantizeLinear (a, a_scale, a_zero)
    w = DequantizeLinear <axis = 1> (b, b_scale, b_zero)
    c = DequantizeLinear <axis = 0> (bias, c_scale, c_zero)
    p = MatMul (x, w)
    s = Add (p, c)
    y = QuantizeLinear (s, y_scale, y_zero)
}}"""
_LARGEST = 127
_SATURATED = 0.02  # of results
_DEVIATIONS = 4  # that 8 bits hold: trained weights are about normal, so few are large


@dataclass(frozen=True)
class Bytes(Point):
    """Rows [m, k] of ``kind`` by known int8 columns [k, n], each with a scale of its own, a bias,
    and the result quantised as the rows are."""

    m: int = 1
    n: int = 1
    k: int = 1
    kind: str = "uint8"

    def model(self) -> onnx.ModelProto:
        """With seeded numbers, of which most results are inside of what 8 bits hold."""
        rng = np.random.default_rng(self.k)
        zero = 128 if self.kind == "uint8" else 0
        scales = rng.uniform(0.5, 1, self.n).astype(np.float32) / _LARGEST * self.k**-0.5
        b = rng.standard_normal((self.k, self.n)) * _LARGEST / _DEVIATIONS
        spread = float(_LARGEST / _DEVIATIONS * np.sqrt(self.k) * scales.mean())
        arrays = {
            "a_scale": np.float32(1 / _LARGEST),
            "a_zero": np.array(zero, self.kind),
            "b": np.clip(np.rint(b), -_LARGEST, _LARGEST).astype(np.int8),
            "b_scale": scales,
            "b_zero": np.zeros(self.n, np.int8),
            "bias": rng.integers(-(1 << 12), 1 << 12, self.n, np.int32),
            "c_scale": scales / _LARGEST,
            "c_zero": np.zeros(self.n, np.int32),
            "y_scale": np.float32(spread / 40),
            "y_zero": np.array(zero, self.kind),
        }
        model = onnx.parser.parse_model(_TEXT.format(m=self.m, n=self.n, k=self.k, kind=self.kind))
        for name, array in arrays.items():
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred)
        return inferred

    def alike(self, some: Array, other: Array) -> bool:
        """Where engines round scales, results are a step apart; more of some, in one of a hundred,
        where ONNX Runtime's sums saturate: on processors without VNNI."""
        apart = np.abs(some.astype(int) - other.astype(int)) > 1
        return bool(apart.mean() <= _SATURATED)


def point(m: int, n: int, k: int, kind: str = "uint8") -> Bytes:
    """Rows [m, k] by a matrix [k, n]."""
    return Bytes(
        "product of bytes",
        f"{by(m, n, k)} of {kind}",
        "",
        {"a": f"{kind}[{m},{k}]"},
        m=m,
        n=n,
        k=k,
        kind=kind,
    )


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for m, n, k in (
        (1, 4096, 4096), (1, 1000, 1024), (4, 1024, 1024), (16, 768, 768), (49, 2048, 512),
        (128, 768, 768), (128, 3072, 768), (128, 768, 3072), (196, 256, 1024), (384, 1024, 1024),
        (784, 128, 512), (3136, 64, 64), (3136, 256, 64), (37, 80, 37), (197, 1000, 333),
    ):  # fmt: skip
        yield point(m, n, k)
    for m, n, k in ((1, 1024, 4096), (128, 768, 768), (784, 512, 128)):
        yield point(m, n, k, "int8")


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    m, n, k = (round(2 ** rng.uniform(0, top)) for top in (9, 11, 11))
    return point(m, n, k, rng.choice(("uint8", "int8")))
