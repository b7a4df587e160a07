"""Models of control flow that is decided while they run, and inputs of each that differ in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Arrays, floats, model

N = helper.make_node
X, W = floats(2, 3), floats(3, 3, seed=1)
TRUE, FALSE = np.array(True), np.array(False)

Runs = Sequence[Arrays]


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    **weights: np.ndarray,
) -> onnx.GraphProto:
    """A graph inside of a node; what begins with i is a number, what begins with c or go a truth.

    Nothing says what shapes the others have.
    """
    infos = [[_info(name) for name in names] for names in (inputs, outputs)]
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    return helper.make_graph(list(nodes), "inner", *infos, tensors)


def _info(name: str) -> onnx.ValueInfoProto:
    if name.startswith(("c", "go")):
        return helper.make_tensor_value_info(name, TensorProto.BOOL, [])
    if name.startswith("i"):
        return helper.make_tensor_value_info(name, TensorProto.INT64, [])
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def number(value: int) -> np.ndarray:
    return np.array(value, np.int64)


def branch(then: onnx.GraphProto, otherwise: onnx.GraphProto, *outputs: str) -> onnx.NodeProto:
    return N("If", ["flag"], list(outputs or ["y"]), then_branch=then, else_branch=otherwise)


# What the iterations of the loops have in common: h is h @ w or less, and the sum of it is kept.
STEP = [N("MatMul", ["h", "w"], ["p"]), N("Tanh", ["p"], ["t"]), N("Add", ["t", "x"], ["next"])]
BODY = graph([*STEP, N("Identity", ["c"], ["go"])], ["i", "c", "h"], ["go", "next"])


def loop(body: onnx.GraphProto, *inputs: str, outputs: Sequence[str] = ("y",)) -> onnx.NodeProto:
    return N("Loop", list(inputs), list(outputs), name=f"to {outputs[0]}", body=body)


def looping(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str] = ("y",), **more: object):
    inputs = {"x": X, "n": number(3), "flag": TRUE}
    constants = {"w": W, "three": number(3), "true": TRUE, "half": np.float32(0.5)}
    constants |= {"one": number(1), "minus": number(-1)}
    return model(list(nodes), inputs, list(outputs), constants, **more)


def filling(empty: str, name: str) -> onnx.NodeProto:
    """A loop that appends to a sequence in each iteration."""
    body = graph(
        [
            N("Mul", ["h", "half"], ["m"]),
            N("SequenceInsert", ["s", "m"], ["t"]),
            N("Identity", ["c"], ["go"]),
        ],
        ["i", "c", "h", "s"],
        ["go", "m", "t"],
    )
    kind = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    body.input[3].CopyFrom(kind)
    body.output[2].type.CopyFrom(kind.type)
    return N("Loop", ["three", "", "x", empty], ["last", "all"], name=name, body=body)


def runs(*numbers: int, flag: bool = True) -> Runs:
    return [{"x": X * 3, "n": number(n), "flag": np.array(flag)} for n in numbers]


WHILE = graph(
    [
        N("Mul", ["h", "growth"], ["next"]),
        N("Abs", ["next"], ["positive"]),
        N("ReduceSum", ["positive"], ["sum"], keepdims=0),
        N("Less", ["sum", "limit"], ["go"]),
    ],
    ["i", "c", "h"],
    ["go", "next"],
    growth=np.float32(1.5),
    limit=np.float32(50),
)
KEEPING = graph(
    [
        *STEP,
        N("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        N("Add", ["next", "f"], ["kept"]),
        N("ReduceMax", ["kept"], ["most"], keepdims=0),
        N("Identity", ["c"], ["go"]),
    ],
    ["i", "c", "h"],
    ["go", "next", "kept", "most", "next"],
)
SWAPPING = graph(
    [
        N("Add", ["a", "k"], ["s"]),
        N("Identity", ["k"], ["same"]),
        N("Identity", ["c"], ["go"]),
        N("Identity", ["b"], ["first"]),
        N("Identity", ["b"], ["other"]),
    ],
    ["i", "c", "a", "b", "k"],
    ["go", "first", "s", "same", "other"],
)
INNER = graph(
    [N("Mul", ["g", "half"], ["m"]), N("Add", ["m", "h"], ["q"]), N("Identity", ["c2"], ["go2"])],
    ["i2", "c2", "g"],
    ["go2", "q", "m"],
)
NESTED = graph(
    [
        N("Loop", ["three", "", "h"], ["u", "all"], name="inner", body=INNER),
        N("ReduceMean", ["all"], ["mean"], keepdims=0),
        N("Add", ["u", "mean"], ["next"]),
        N("Identity", ["c"], ["go"]),
    ],
    ["i", "c", "h"],
    ["go", "next", "all"],
)
DOUBLED = graph([N("Mul", ["x", "w2"], ["m"]), N("Relu", ["m"], ["o"])], [], ["o"], w2=W[:1])
SAME = graph([N("Identity", ["x"], ["o"])], [], ["o"])
NEGATED = graph([N("Neg", ["x"], ["o"])], [], ["o"])
CHOOSING = graph(
    [
        N("Equal", ["i", "one"], ["second"]),
        N(
            "If",
            ["second"],
            ["next"],
            then_branch=graph([N("MatMul", ["h", "w"], ["o"])], [], ["o"]),
            else_branch=graph([N("Sub", ["h", "x"], ["o"])], [], ["o"]),
        ),
        N("Identity", ["c"], ["go"]),
    ],
    ["i", "c", "h"],
    ["go", "next"],
    one=number(1),
)
SCANNED = graph(
    [N("Add", ["s", "e"], ["s2"]), N("Mul", ["s2", "f"], ["o"]), N("Neg", ["e"], ["ne"])],
    ["s", "e", "f"],
    ["s2", "o", "ne"],
)


def scan(**attrs: object) -> onnx.ModelProto:
    """Of 4 steps, along the first dimension of ``a`` and of ``b``, unless axes are given."""
    axes = attrs.get("scan_input_axes", (0, 0))
    inputs = {
        name: np.moveaxis(floats(4, 2, 3, seed=seed), 0, axis)
        for seed, (name, axis) in enumerate(zip("ab", axes, strict=True))
    }
    node = N("Scan", ["x", "a", "b"], ["y", "o", "n"], num_scan_inputs=2, body=SCANNED, **attrs)
    return model([node], {"x": X, **inputs}, ["y", "o", "n"])


def given(made: onnx.ModelProto) -> Runs:
    """Random numbers for each input."""
    shapes = {
        i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in made.graph.input
    }
    return [{name: floats(*shape, seed=7) for name, shape in shapes.items()}]


def opened(made: onnx.ModelProto) -> onnx.ModelProto:
    """The model for any number of ``rows`` and ``steps``, where it has 2 and 4."""
    names = {2: "rows", 4: "steps"}
    proto = onnx.ModelProto()
    proto.CopyFrom(made)
    bodies = _inner(proto.graph)
    for graph in (proto.graph, *bodies):
        del graph.value_info[:]
    inner = [info for body in bodies for info in (*body.input, *body.output)]
    for info in (*proto.graph.output, *inner):
        if info.type.tensor_type.shape.dim:
            info.type.tensor_type.ClearField("shape")
    for info in proto.graph.input:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_value in names:
                dim.dim_param = names[dim.dim_value]
    return proto


def _inner(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    found = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return [each for own in found for each in (own, *_inner(own))]


_BRANCHES = looping([branch(DOUBLED, NEGATED)])
_FLAGS = [{**run, "flag": np.array(flag)} for run in runs(1) for flag in (True, False)]
_SCANS = {
    "a scan": scan(),
    "a scan both ways": scan(scan_input_directions=[0, 1], scan_output_directions=[1, 0]),
    "a scan of other axes": scan(scan_input_axes=[1, 2], scan_output_axes=[1, -1]),
}

MODELS: dict[str, tuple[onnx.ModelProto, Runs]] = {
    "a branch": (_BRANCHES, _FLAGS),
    "a branch that gives what is around it": (
        looping(
            [branch(graph([N("Identity", ["x"], ["o"])], [], ["o"]), graph([], [], ["k"], k=X))]
        ),
        _FLAGS,
    ),
    "a branch and more": (
        looping(
            [
                N("MatMul", ["x", "w"], ["z"]),
                branch(DOUBLED, graph([N("Add", ["z", "x"], ["o"])], [], ["o"]), "p"),
                N("Mul", ["p", "z"], ["y"]),
            ]
        ),
        _FLAGS,
    ),
    "a loop of a number": (looping([loop(BODY, "n", "", "x")]), runs(0, 1, 2, 5, -3)),
    "a loop of a known number": (looping([loop(BODY, "three", "true", "x")]), runs(1)),
    "a loop that may not begin": (
        looping([loop(BODY, "three", "flag", "x")]),
        [*runs(1), *runs(1, flag=False)],
    ),
    "a loop while": (looping([loop(WHILE, "", "true", "x")]), runs(1)),
    "a loop while and at most": (looping([loop(WHILE, "n", "flag", "x")]), runs(0, 1, 2, 9)),
    "what is kept of a loop": (
        looping([loop(KEEPING, "three", "", "x", outputs=["y", "k", "m", "all"])], "ykm"),
        runs(1),
    ),
    "only what is kept of a loop": (
        looping([loop(KEEPING, "three", "", "x", outputs=["h1", "k1", "m1", "y"])]),
        runs(1),
    ),
    "values that change places": (
        looping(
            [
                N("Neg", ["x"], ["b"]),
                loop(SWAPPING, "three", "", "x", "b", "half", outputs=["y", "z", "s", "k"]),
            ],
            ["y", "z", "s", "k"],
        ),
        runs(1),
    ),
    "a loop in a loop": (
        looping([loop(NESTED, "three", "", "x", outputs=["y", "all"])], ["y", "all"]),
        runs(1),
    ),
    "a branch in a loop": (looping([loop(CHOOSING, "n", "", "x")]), runs(0, 1, 2, 4)),
    "a loop in a branch": (
        looping([branch(graph([loop(BODY, "n", "", "x", outputs=["o"])], [], ["o"]), NEGATED)]),
        [*runs(0, 3), *runs(2, flag=False)],
    ),
    "two loops": (
        looping(
            [
                loop(BODY, "n", "", "x", outputs=["u1"]),
                N("Mul", ["u1", "half"], ["u2"]),
                loop(BODY, "three", "", "u2"),
                N("Add", ["u1", "y"], ["z"]),
            ],
            ["z", "y"],
        ),
        runs(0, 2),
    ),
    "a loop that fills a sequence": (
        looping(
            [
                N("SequenceEmpty", [], ["e"]),
                filling("e", "again"),
                N("ConcatFromSequence", ["all"], ["y"], axis=1),
                N("ConcatFromSequence", ["all"], ["z"], axis=-1, new_axis=1),
            ],
            ["y", "z", "last"],
        ),
        runs(1),
    ),
    "a sequence of what is split": (
        looping(
            [
                N("SplitToSequence", ["x", "one"], ["parts"], axis=1),
                N("SequenceAt", ["parts", "minus"], ["third"]),
                N("SequenceInsert", ["parts", "third", "one"], ["more"]),
                N("SequenceErase", ["more"], ["less"]),
                N("ConcatFromSequence", ["less"], ["y"], axis=1),
                N("SequenceConstruct", ["x", "y"], ["both"]),
                N("ConcatFromSequence", ["both"], ["z"], axis=1, new_axis=1),
                N("SequenceLength", ["both"], ["count"]),
                N("SplitToSequence", ["x"], ["rows"], axis=0, keepdims=0),
                N("SequenceAt", ["rows", "one"], ["row"]),
            ],
            ["y", "z", "count", "row"],
        ),
        runs(1),
    ),
    **{name: (made, given(made)) for name, made in _SCANS.items()},
}

# Of these, how many rows there are is known only at run time, and of scans how many steps.
_FIXED = ("a branch that gives what is around it", "a sequence of what is split")
OPEN_MODELS = {name: opened(made) for name, (made, _) in MODELS.items() if name not in _FIXED}
