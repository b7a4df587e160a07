"""Numbers that declared shapes tell: the model is built for them, and a run asks."""

from __future__ import annotations

import numpy as np
import onnx
from decided_models import declared, ended, same
from onnx import helper
from onnx_models import floats
from sized_models import integers, opened

N = helper.make_node
ZERO, ONE = integers(0), integers(1)


def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
    info = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    return helper.make_graph([node], name, [], [info])


def grid(**shapes: object) -> onnx.ModelProto:
    """Rows and columns of a size that is given; another step where there is one row."""
    nodes = [
        N("Split", ["size"], ["h", "w", "unused"], num_outputs=3),
        N("Concat", ["h", "w"], ["both"], axis=0),
        N("ConstantOfShape", ["both"], ["zeros"]),
        N("Squeeze", ["h"], ["count"]),
        N("Range", ["first", "count", "step"], ["numbers"]),
        N("Cast", ["numbers"], ["places"], to=onnx.TensorProto.FLOAT),
        N("Equal", ["h", "one"], ["single"]),
        N(
            "If",
            ["single"],
            ["scale"],
            then_branch=branch("a", N("Identity", ["two"], ["a"])),
            else_branch=branch("b", N("Cast", ["h"], ["b"], to=onnx.TensorProto.FLOAT)),
        ),
        N("Mul", ["places", "scale"], ["scaled"]),
        N("Unsqueeze", ["scaled", "one"], ["column"]),
        N("Add", ["zeros", "column"], ["whole"]),
        N("Reshape", ["whole", "both"], ["again"]),
        N("Unsqueeze", ["again", "zero"], ["deep"]),
        N("Transpose", ["deep"], ["turned"], perm=[0, 2, 1]),
        N("Slice", ["turned", "zero", "most", "zero"], ["cut"]),
        N("Neg", ["cut"], ["y"]),
    ]
    constants = {"one": ONE, "zero": ZERO, "most": integers(9), "two": np.float32(2)}
    constants |= {"first": np.array(0), "step": np.array(1)}
    proto = opened(nodes, {"size": ((3,), "int64")}, {"y": "float32"}, constants)
    return declared(proto, **shapes)


def test_a_declared_shape_tells_ranges_and_branches() -> None:
    for height, width in ((1, 5), (4, 3)):
        proto = grid(y=(1, width, height))
        entry = same(proto, [{"size": integers(height, width, 7)}])
        assert not entry.variants[0].symbols
        said = ended(entry, {"size": integers(height, width + 1, 7)})
        assert said == (
            "input 'size': by the shapes that the model declares, its numbers at 0, 1 are "
            f"[{height}, {width + 1}], not [{height}, {width}]"
        )


def test_a_reshape_alone_may_be_told_what_is_left() -> None:
    nodes = [N("Reshape", ["x", "shape"], ["z"]), N("Transpose", ["z"], ["y"])]
    inputs = {"x": ((4, 6), "float32"), "shape": ((2,), "int64")}
    proto = declared(opened(nodes, inputs, {"y": "float32"}), y=(3, 8))
    x = floats(4, 6)
    same(proto, [{"x": x, "shape": integers(*each)} for each in ((8, 3), (-1, 3), (8, -1))])
