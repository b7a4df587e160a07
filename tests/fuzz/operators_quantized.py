"""Rules of products of quantised numbers.

No pair of products overflows 16 bits, which ONNX Runtime adds up on processors without VNNI.
"""

from __future__ import annotations

import numpy as np

from .draft import Draft, Growth, Rule, Shape, attributes
from .operators_layers import window


def _number(g: Growth, dtype: str, shape: Shape = ()) -> str:
    """A zero point."""
    middle = 0 if dtype == "int8" else 128
    return g.known(np.full(shape, middle + g.rng.randint(-9, 9)), dtype)


def _scale(g: Growth, shape: Shape = ()) -> str:
    return g.known(g.numbers.uniform(0.01, 0.6, shape), "float32")


def _weights(g: Growth, dtype: str, shape: Shape) -> str:
    low = -64 if dtype == "int8" else 0
    return g.known(g.numbers.integers(low, 64, shape), dtype)


def _measured(g: Growth) -> Draft:
    attributes("DynamicQuantizeLinear", g.opset)
    return Draft("DynamicQuantizeLinear", [g.any(("float32",))], outputs=3)


def _matmul_integer(g: Growth) -> Draft:
    attributes("MatMulInteger", g.opset)
    a = g.any(("uint8",), 2)
    right = g.pick(("int8", "uint8"))
    columns = g.rng.choice((1, 3, 8, 17))
    b = _weights(g, right, (g.shape(a)[-1], columns))
    zeros = [_number(g, "uint8"), _number(g, right, g.pick(((), (columns,))))]
    return Draft("MatMulInteger", [a, b, *zeros[: g.rng.randrange(3)]])


def _quantized_matmul(g: Growth) -> Draft:
    attributes("QLinearMatMul", g.opset)
    a = g.any(("uint8",), 2)
    columns = g.rng.choice((1, 3, 8, 17))
    b = _weights(g, "int8", (g.shape(a)[-1], columns))
    many = g.pick(((), (columns,)))
    inputs = [
        a,
        _scale(g),
        _number(g, "uint8"),
        b,
        _scale(g, many),
        g.known(np.zeros(many), "int8"),
    ]
    return Draft("QLinearMatMul", [*inputs, _scale(g), _number(g, "uint8")])


def _conv(g: Growth, op: str) -> tuple[Draft, str, int]:
    """With an image and weights alone; the type of the weights and how many results there are."""
    x = g.any(("uint8",), 3, 4)
    _, channels, *sizes = g.shape(x)
    attrs = window(g, tuple(sizes), op)
    groups = g.pick((1, 1, channels))
    results = groups * g.rng.choice((1, 2, 3))
    dtype = "int8" if op == "QLinearConv" else g.pick(("int8", "uint8"))
    weights = _weights(g, dtype, (results, channels // groups, *attrs["kernel_shape"]))
    if groups > 1:
        attrs["group"] = groups
    return Draft(op, [x, weights], attrs), dtype, results


def _conv_integer(g: Growth) -> Draft:
    made, dtype, _ = _conv(g, "ConvInteger")
    zeros = [_number(g, "uint8"), _number(g, dtype)]
    return Draft(made.op, [*made.inputs, *zeros[: g.rng.randrange(3)]], made.attrs)


def _quantized_conv(g: Growth) -> Draft:
    made, _, results = _conv(g, "QLinearConv")
    x, weights = made.inputs
    many = g.pick(((), (results,)))
    inputs = [x, _scale(g), _number(g, "uint8")]
    inputs += [weights, _scale(g, many), g.known(np.zeros(many), "int8")]
    inputs += [_scale(g), _number(g, "uint8")]
    bias = [g.known(g.numbers.integers(-999, 999, results), "int32")] if g.chance(0.5) else []
    return Draft(made.op, [*inputs, *bias], made.attrs)


RULES: dict[str, Rule] = {
    "ConvInteger": _conv_integer,
    "DynamicQuantizeLinear": _measured,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _quantized_conv,
    "QLinearMatMul": _quantized_matmul,
}
