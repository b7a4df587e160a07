"""Small models whose sizes are open, and what is compared of their programs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_models import TARGET, compute, expected, floats, follow, model, value_of

from luthier.frontend import Entry, Program, Shapes, import_entry, import_model
from luthier.frontend.passes import OPEN_PASSES
from luthier.frontend.program import Call, Find, Loop, at
from luthier.frontend.program.library import Library, verify_library
from luthier.frontend.program.verify import verify
from luthier.schedules.ir.size import Sizes
from luthier.schedules.ops.attention_form import STRIDES, strides_matter

N = helper.make_node
Shape = Sequence[int | str]


def opened(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[Shape, str]],
    outputs: Mapping[str, str],
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    """A model whose inputs have a shape of numbers and names, and a type."""
    made = model(nodes, {}, [], constants, opset)
    del made.graph.value_info[:]
    for name, (shape, dtype) in inputs.items():
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        made.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    for name, dtype in outputs.items():
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        made.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return made


def integers(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def mlp() -> onnx.ModelProto:
    nodes = [
        N("MatMul", ["x", "w"], ["p"]),
        N("Add", ["p", "b"], ["s"]),
        N("Relu", ["s"], ["r"]),
        N("MatMul", ["r", "v"], ["q"]),
        N("Softmax", ["q"], ["y"]),
    ]
    constants = {"w": floats(40, 48), "b": floats(48), "v": floats(48, 8)}
    return opened(nodes, {"x": (("batch", 40), "float32")}, {"y": "float32"}, constants)


def convolution() -> onnx.ModelProto:
    """Strides over sizes, an offset of two dimensions into one, and a mean over the rest."""
    nodes = [
        N("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        N("Relu", ["c"], ["r"]),
        N("MaxPool", ["r"], ["p"], kernel_shape=[3, 3], strides=[2, 2]),
        N("Reshape", ["p", "flat"], ["f"]),
        N("Transpose", ["f"], ["tokens"], perm=[0, 2, 1]),
        N("GlobalAveragePool", ["r"], ["mean"]),
    ]
    constants = {"w": floats(16, 3, 3, 3), "flat": integers(0, 16, -1)}
    shape = ("batch", 3, "height", "width")
    results = {"tokens": "float32", "mean": "float32"}
    return opened(nodes, {"x": (shape, "float32")}, results, constants)


def attention() -> onnx.ModelProto:
    """Two heads of 16, a causal mask of Range and Where, and rows of a position table."""
    nodes = [
        N("Shape", ["ids"], ["shape"]),
        N("Gather", ["shape", "one"], ["count"]),
        N("Unsqueeze", ["count", "zeros"], ["counts"]),
        N("Gather", ["table", "ids"], ["words"]),
        N("Slice", ["positions", "zeros", "counts", "zeros"], ["places"]),
        N("Add", ["words", "places"], ["x"]),
        N("Range", ["zero", "count", "one"], ["range"]),
        N("Unsqueeze", ["range", "zeros"], ["row"]),
        N("Unsqueeze", ["range", "ones"], ["column"]),
        N("LessOrEqual", ["row", "column"], ["visible"]),
        N("Where", ["visible", "nothing", "far"], ["mask"]),
        *(n for name in "qkv" for n in _head(name)),
        N("Transpose", ["k heads"], ["k columns"], perm=[0, 1, 3, 2]),
        N("MatMul", ["q heads", "k columns"], ["scores"]),
        N("Div", ["scores", "four"], ["scaled"]),
        N("Add", ["scaled", "mask"], ["masked"]),
        N("Softmax", ["masked"], ["shares"]),
        N("MatMul", ["shares", "v heads"], ["mixed"]),
        N("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]),
        N("Reshape", ["back", "joined"], ["y"]),
    ]
    constants = {
        "zero": np.array(0),
        "one": np.array(1),
        "zeros": integers(0),
        "ones": integers(1),
        "table": floats(50, 32),
        "positions": floats(64, 32, seed=1),
        "nothing": np.float32(0),
        "far": np.float32(-1e9),
        "four": np.float32(4),
        "split": integers(0, 0, 2, 16),
        "joined": integers(0, 0, 32),
        **{f"{name} w": floats(32, 32, seed=ord(name)) for name in "qkv"},
    }
    shape = ("batch", "tokens")
    return opened(nodes, {"ids": (shape, "int64")}, {"y": "float32"}, constants)


def _head(name: str) -> list[onnx.NodeProto]:
    return [
        N("MatMul", ["x", f"{name} w"], [f"{name} p"]),
        N("Reshape", [f"{name} p", "split"], [f"{name} split"]),
        N("Transpose", [f"{name} split"], [f"{name} heads"], perm=[0, 2, 1, 3]),
    ]


def cache() -> onnx.ModelProto:
    """The rows of the past and new ones after them, of each head; and what the new ones find."""
    nodes = [
        N("Mul", ["new", "two"], ["fresh"]),
        N("Concat", ["past", "fresh"], ["all"], axis=2),
        N("Transpose", ["all"], ["columns"], perm=[0, 1, 3, 2]),
        N("MatMul", ["new", "columns"], ["scores"]),
        N("Add", ["scores", "mask"], ["masked"]),
        N("Softmax", ["masked"], ["y"]),
    ]
    inputs = {
        "past": (("batch", 2, "past", 16), "float32"),
        "new": (("batch", 2, "tokens", 16), "float32"),
        "mask": (("batch", 1, 1, "past + tokens"), "float32"),
    }
    return opened(nodes, inputs, {"all": "float32", "y": "float32"}, {"two": np.float32(2)})


def decided() -> onnx.ModelProto:
    """Above eight tokens their sum, else their product with a number."""
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["shape", "zero"], ["count"]),
        N("Greater", ["count", "eight"], ["many"]),
        N("If", ["many"], ["y"], then_branch=_sum(), else_branch=_scaled()),
    ]
    constants = {"zero": np.array(0), "eight": np.array(8), "last": integers(1)}
    return opened(nodes, {"x": (("tokens", 12), "float32")}, {"y": "float32"}, constants)


def _sum() -> onnx.GraphProto:
    result = helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)
    return helper.make_graph([N("ReduceSum", ["x", "last"], ["sum"])], "then", [], [result])


def _scaled() -> onnx.GraphProto:
    result = helper.make_tensor_value_info("scaled", TensorProto.FLOAT, None)
    return helper.make_graph([N("Mul", ["x", "x"], ["scaled"])], "else", [], [result])


def broadcast() -> onnx.ModelProto:
    """Rows beside one another; one row is transposed by its name alone."""
    nodes = [
        N("Transpose", ["x"], ["t"], perm=[1, 0]),
        N("Exp", ["t"], ["e"]),
        N("ReduceMax", ["e", "last"], ["m"], keepdims=1),
        N("Sub", ["e", "m"], ["y"]),
    ]
    constants = {"last": integers(1)}
    return opened(nodes, {"x": (("tokens", 12), "float32")}, {"y": "float32"}, constants)


def product() -> onnx.ModelProto:
    """Two sizes become one by a Reshape, before a matrix product and after."""
    nodes = [
        N("Reshape", ["x", "rows"], ["r"]),
        N("MatMul", ["r", "w"], ["p"]),
        N("Shape", ["x"], ["shape"]),
        N("Slice", ["shape", "zeros", "twos", "zeros"], ["two sizes"]),
        N("Concat", ["two sizes", "columns"], ["back"], axis=0),
        N("Reshape", ["p", "back"], ["y"]),
    ]
    constants = {
        "rows": integers(-1, 24),
        "w": floats(24, 16),
        "zeros": integers(0),
        "twos": integers(2),
        "columns": integers(16),
    }
    shape = ("batch", "tokens", 24)
    return opened(nodes, {"x": (shape, "float32")}, {"y": "float32"}, constants)


def computed(
    program: Program,
    sizes: Mapping[str, int],
    inputs: Mapping[str, np.ndarray],
    numbers: list[int] | None = None,
) -> dict[str, np.ndarray]:
    """By NumPy, each size as the steps before find it; these go into ``numbers``.

    Sizes beyond their ranges are found, too, and then nothing is computed; nor is it for sizes
    that the program refuses.
    """
    ranges = {symbol.name: symbol for symbol in program.symbols}
    known = {**{s.name: s.most for s in program.symbols}, **sizes}
    for i, step in enumerate(program.steps):
        if isinstance(step, Loop) and step.grows:
            return _grown(program, known, inputs)
        if isinstance(step, Find):
            before = replace(program, steps=program.steps[:i], outputs=(("n", step.value),))
            number = compute(at(before.compact(), known), inputs)["n"]
            known[step.size] = int(number.reshape(()))
            if numbers is not None:
                numbers.append(known[step.size])
            if numbers is not None and known[step.size] not in ranges[step.size]:
                return {}
            if any(dict(refusal).items() <= known.items() for refusal in program.refuses):
                return {}
    return compute(at(program, known), inputs)


def _grown(
    program: Program, known: dict[str, int], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The outputs of a program of which a loop finds sizes."""
    fixed = at(program, known)
    values = {v: np.asarray(inputs[n]) for n, v in fixed.inputs} | dict(fixed.constants)
    before = 0
    for i, step in enumerate(program.steps):
        if isinstance(step, Find):
            known[step.size] = int(value_of(fixed, values, step.value).reshape(()))
            assert known[step.size] in {s.name: s for s in program.symbols}[step.size]
            fixed = at(program, known)
            values |= fixed.constants
            before += 1
        elif isinstance(step, Loop) and step.grows:
            _repeated(program, step, known, values)
        else:
            follow(fixed, [fixed.steps[i - before]], values, False)
    return {n: value_of(fixed, values, v) for n, v in fixed.outputs}


def _repeated(
    program: Program, loop: Loop, known: dict[str, int], values: dict[int, np.ndarray]
) -> None:
    """Each iteration at the sizes that it finds."""
    fixed = at(program, known)
    trips = 10**6 if loop.trips is None else int(value_of(fixed, values, loop.trips).reshape(()))
    carried = [value_of(fixed, values, v) for v in loop.carried]
    kept: list[list[np.ndarray]] = [[] for _ in loop.results[len(carried) :]]
    goes_on = loop.condition is None or bool(value_of(fixed, values, loop.condition))
    iteration, around = 0, values
    while goes_on and iteration < trips:
        values = dict(around)  # what is in the body has another shape each time
        values[loop.body.parameters[0]] = np.array(iteration)
        values.update(zip(loop.body.parameters[1:], carried, strict=True))
        for i, step in enumerate(loop.body.statements):
            if isinstance(step, Find):
                known[step.size] = int(value_of(fixed, values, step.value).reshape(()))
                fixed = at(program, known)
            else:
                place = i - sum(isinstance(s, Find) for s in loop.body.statements[:i])
                body = next(s for s in fixed.steps if s.defines == loop.defines).regions[0]
                follow(fixed, [body.statements[place]], values, False)
        left = list(loop.body.results)
        goes_on = loop.condition is None or bool(value_of(fixed, values, left.pop(0)))
        carried = [value_of(fixed, values, v).copy() for v in left[: len(carried)]]
        for rows, value in zip(kept, left[len(carried) :], strict=True):
            rows.append(value_of(fixed, values, value).copy())
        iteration += 1
    around.update(zip(loop.results, [*carried, *map(np.array, kept)], strict=True))


def sizes_of(entry: Entry, count: int, seed: int) -> list[dict[str, int]]:
    """The ends of the ranges, and some between."""
    rng = np.random.default_rng(seed)
    ends = [s.exact or sorted({s.least, s.most}) for s in entry.symbols]
    chosen = [*itertools.product(*ends)]
    for _ in range(count):
        between = [s.exact or range(s.least, s.most + 1) for s in entry.symbols]
        chosen.append(tuple(int(rng.choice(np.array(each))) for each in between))
    return [dict(zip((s.name for s in entry.symbols), each, strict=True)) for each in chosen]


def inputs_at(program: Program, sizes: Sizes) -> dict[str, np.ndarray]:
    """Numbers from 0 to 1, indices from 0 to 9, and truths."""
    rng = np.random.default_rng(sorted(sizes.values()))
    fixed = at(program, sizes)
    types = {name: fixed.values[value] for name, value in fixed.inputs}
    return {
        name: rng.integers(0, 10, t.shape).astype(t.dtype)
        if t.dtype.startswith(("int", "uint", "bool"))
        else rng.random(t.shape, t.dtype)
        for name, t in types.items()
    }


def same_at_all_sizes(
    proto: onnx.ModelProto, shapes: Shapes, count: int = 6, *, dense: bool = False
) -> Entry:
    """The entry; its programs are those that the model has where its sizes are fixed, and compute
    what the model does. ``dense``: but for concatenations, which are copied."""
    entry = import_entry(proto, TARGET, shapes)
    verify_library(Library("small", {"run": entry}))
    for sizes in sizes_of(entry, count, seed=len(shapes)):
        program = entry.variant(sizes)
        assert program is not None, sizes
        ours = at(program, sizes)
        verify(ours)
        if not dense:
            _is_as_fixed(ours, import_model(proto, TARGET, {**shapes, **sizes}, OPEN_PASSES))
        inputs = inputs_at(program, sizes)
        found, wanted = compute(ours, inputs), expected(proto, inputs)
        assert list(found) == list(wanted)
        for name, array in wanted.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            # Sums of large terms may come out small: no closer than the terms are.
            near = 1e-5 * max(1.0, np.abs(array).max(initial=0)) if array.dtype.kind == "f" else 0
            np.testing.assert_allclose(found[name], array, 1e-4, near, err_msg=f"{name} {sizes}")
    return entry


def _is_as_fixed(ours: Program, fixed: Program) -> None:
    """The same workloads, up to what is known of constants whose size varies; or the same nodes,
    grouped as for the largest sizes."""
    calls = [call for call in ours.calls if call.source not in ("a constant", "sizes")]
    if sorted(map(_text, calls)) != sorted(map(_text, fixed.calls)):
        assert _nodes(calls) == _nodes(fixed.calls)
    for name, value in (*ours.inputs, *ours.outputs):
        assert ours.values[value] == fixed.values[dict((*fixed.inputs, *fixed.outputs))[name]]


def _nodes(calls: Iterable[Call]) -> list[str]:
    nodes = [node for call in calls for node in call.workload.nodes]
    return sorted(f"{node.op} {node.out} {node.attrs}" for node in nodes)


def _text(call: Call) -> str:
    """Without strides along dimensions of one element, which may be any."""
    nodes = []
    for node in call.workload.nodes:
        attrs = dict(node.attrs)
        for name in STRIDES if node.op == "attention" else ():
            pairs = zip(attrs[name], strides_matter(node, name), strict=True)
            attrs[name] = tuple(stride for stride, matters in pairs if matters)
        nodes.append((node.op, node.args, str(node.out), attrs))
    return f"{call.source}: {list(map(str, call.workload.inputs))} {nodes}"
