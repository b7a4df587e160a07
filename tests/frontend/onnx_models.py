"""Small ONNX models, what they compute by our program, and what they should compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from luthier.frontend import Program, import_model
from luthier.frontend.program import Branch, Call, Expect, Loop, Step
from luthier.schedules import Target, Tensor, Workload, ops
from luthier.schedules.execute import LoadedKernel
from luthier.schedules.ir.placement import span
from luthier.schedules.ops import evaluate
from luthier.schedules.templates.registry import default, instantiate

TARGET = Target("x86-64-v2", "x86-64-v2", 1)


class UnexpectedError(Exception):
    """A run ended, since what decides a shape was not what it is built for."""


Arrays = Mapping[str, np.ndarray]


def floats(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """Standard normal numbers."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def positive(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """Numbers from 0.25 to 1.75."""
    return np.random.default_rng([seed, *shape]).uniform(0.25, 1.75, shape).astype(dtype)


def integers(low: int, high: int, *shape: int, seed: int = 0, dtype: str = "int64") -> np.ndarray:
    """Integers from ``low`` up to but without ``high``."""
    return np.random.default_rng([seed, *shape]).integers(low, high, shape).astype(dtype)


def booleans(*shape: int, seed: int = 0) -> np.ndarray:
    return integers(0, 2, *shape, seed=seed).astype(bool)


def value_info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, dtype, array.shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Arrays,
    outputs: Sequence[str],
    constants: Arrays | None = None,
    opset: int = 18,
    name: str = "small",
) -> onnx.ModelProto:
    """A checked model; ``inputs`` say names, shapes and types."""
    graph = helper.make_graph(
        list(nodes),
        name,
        [value_info(n, a) for n, a in inputs.items()],
        [helper.make_empty_tensor_value_info(o) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    with suppress(onnx.shape_inference.InferenceError):  # some are broken on purpose
        made = onnx.shape_inference.infer_shapes(made, data_prop=True)
    first = {o: n.input[0] for n in nodes for o in n.output if n.input}
    for output in made.graph.output:
        if not output.type.tensor_type.elem_type:  # inference does not know all operators
            given = inputs.get(first.get(output.name, ""), np.zeros((), "float32"))
            output.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(given.dtype)
    return made


@dataclass(frozen=True)
class Case:
    """One operator's node on given arguments; those in ``constants`` are initializers."""

    op: str
    arguments: tuple[np.ndarray | None, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[int, ...] = ()
    outputs: int = 1
    opset: int = 18
    note: str = ""

    def __str__(self) -> str:
        given = ",".join(f"{k}={_short(v)}" for k, v in self.attrs.items())
        shapes = "x".join("-" if a is None else str(a.shape) for a in self.arguments[:1])
        return f"{self.op}{self.opset}-{self.note or given}-{shapes}".replace(" ", "")

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        return {
            f"in{i}": a
            for i, a in enumerate(self.arguments)
            if a is not None and i not in self.constants
        }

    @property
    def model(self) -> onnx.ModelProto:
        names = ["" if a is None else f"in{i}" for i, a in enumerate(self.arguments)]
        outputs = [f"out{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, names, outputs, **self.attrs)
        constants = {f"in{i}": self.arguments[i] for i in self.constants}
        return model([node], self.inputs, outputs, constants, self.opset)


def _short(value: Any) -> str:
    return str(value) if not isinstance(value, onnx.TensorProto) else "tensor"


def case(op: str, *arguments: Any, **options: Any) -> Case:
    """A case; options that are not fields of ``Case`` are the node's attributes."""
    fields = {k: options.pop(k) for k in ("constants", "outputs", "opset", "note") if k in options}
    arrays = tuple(None if a is None else np.asarray(a) for a in arguments)
    return Case(op, arrays, options, **fields)


def expected(proto: onnx.ModelProto, inputs: Arrays) -> dict[str, np.ndarray]:
    """By ONNX Runtime, or onnx's own evaluator for what that lacks or rounds badly."""
    names = [o.name for o in proto.graph.output]
    if {node.op_type for node in proto.graph.node} & {"DFT", "STFT"}:
        results = ReferenceEvaluator(proto).run(names, dict(inputs))
        return {n: np.asarray(r) for n, r in zip(names, results, strict=True)}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(names, dict(inputs))
    except Exception:
        results = ReferenceEvaluator(proto).run(names, dict(inputs))
    return {n: np.asarray(r) for n, r in zip(names, results, strict=True)}


def compute(program: Program, inputs: Arrays, kernels: bool = False) -> dict[str, np.ndarray]:
    """The program's outputs, by NumPy where it can and unless ``kernels`` are asked for."""
    values = {v: np.asarray(inputs[n]) for n, v in program.inputs} | dict(program.constants)
    follow(program, program.steps, values, kernels)
    return {n: value_of(program, values, v) for n, v in program.outputs}


def follow(
    program: Program, steps: Sequence[Step], values: dict[int, np.ndarray], kernels: bool
) -> None:
    for step in steps:
        if isinstance(step, Call):
            args = [np.array(value_of(program, values, a), order="C") for a in step.args]
            _keep(program, values, step.result, _run(step.workload, args, kernels))
        elif isinstance(step, Branch):
            region = step.then if value_of(program, values, step.condition) else step.otherwise
            follow(program, region.statements, values, kernels)
            for result, value in zip(step.results, region.results, strict=True):
                values[result] = value_of(program, values, value).copy()
        elif isinstance(step, Loop):
            _repeat(program, step, values, kernels)
        elif isinstance(step, Expect):
            ours, wanted = (value_of(program, values, v).tolist() for v in step.reads)
            if ours != wanted:
                raise UnexpectedError(f"{step.text} {ours}, not {wanted}")


def _repeat(program: Program, loop: Loop, values: dict[int, np.ndarray], kernels: bool) -> None:
    def number(value: int) -> int:
        return int(value_of(program, values, value).reshape(()))

    trips = 1000 if loop.trips is None else number(loop.trips)
    carried = [value_of(program, values, v) for v in loop.carried]
    kept: list[list[np.ndarray]] = [[] for _ in loop.results[len(carried) :]]
    goes_on, iteration = loop.condition is None or number(loop.condition), 0
    while goes_on and iteration < trips:
        begin, *parameters = loop.body.parameters
        values[begin] = np.array(iteration)
        values.update(zip(parameters, carried, strict=True))
        follow(program, loop.body.statements, values, kernels)
        left = list(loop.body.results)
        goes_on = loop.condition is None or number(left.pop(0))
        carried = [value_of(program, values, v).copy() for v in left[: len(carried)]]
        for rows, value in zip(kept, left[len(carried) :], strict=True):
            rows.append(value_of(program, values, value).copy())
        iteration += 1
    assert iteration < 1000 or loop.trips is not None
    stacks = (
        _stack(program.values[v], rows)
        for v, rows in zip(loop.results[-len(kept) :], kept, strict=False)
    )
    values.update(zip(loop.results, [*carried, *stacks], strict=True))


def _stack(tensor: Tensor, rows: Sequence[np.ndarray]) -> np.ndarray:
    """What was kept, in room that may be for more."""
    whole = np.full(tensor.shape, 77, tensor.element.numpy)
    for i, row in enumerate(rows):
        whole[i] = row
    return whole


def _keep(program: Program, values: dict[int, np.ndarray], number: int, result: np.ndarray) -> None:
    """Remember a call's result where it lies, which may be in a larger value."""
    place = program.place(number)
    if place.whole == number:
        values[number] = result
        return
    whole = program.values[place.whole]
    memory = values.setdefault(place.whole, np.full(whole.shape, 77, whole.dtype))
    elements = _elements(memory, program.values[number], place.first, program.pitch(number))
    elements[...] = result


def value_of(program: Program, values: Mapping[int, np.ndarray], number: int) -> np.ndarray:
    place, tensor = program.place(number), program.values[number]
    array = values[place.whole]
    assert array.dtype == tensor.dtype
    pitch = program.pitch(number)
    if pitch is None and array.size == tensor.size:
        return array.reshape(tensor.shape)
    return _elements(array, tensor, place.first, pitch).copy()


def _elements(memory: np.ndarray, tensor: Tensor, first: int, pitch: int | None) -> np.ndarray:
    """The elements of a tensor that begins at element ``first``, in place."""
    assert memory.flags.c_contiguous
    size = span(tensor.shape, pitch)
    flat = memory.reshape(-1)[first : first + size]
    assert flat.size == size
    steps = [flat.itemsize * (pitch or math.prod(tensor.shape[-1:])), flat.itemsize]
    for extent in reversed(tensor.shape[1:-1]):
        steps.insert(0, steps[0] * extent)
    shape = tensor.shape
    return np.lib.stride_tricks.as_strided(flat, shape, steps[-len(shape) :] if shape else ())


def _run(workload: Workload, args: Sequence[np.ndarray], kernels: bool) -> np.ndarray:
    for array, tensor in zip(args, workload.inputs, strict=True):
        assert (array.shape, str(array.dtype)) == (tensor.shape, tensor.dtype)
    if not kernels and all(n.op in ops.OPERATORS for n in workload.nodes):
        return evaluate.run(workload, args)
    return _loaded(workload).run(args)


@lru_cache(maxsize=256)
def _loaded(workload: Workload) -> LoadedKernel:
    """Loops run a kernel again and again, and so do programs for several inputs."""
    return LoadedKernel(instantiate(workload, TARGET, default(workload, TARGET)), TARGET)


def agree(
    proto: onnx.ModelProto,
    inputs: Arrays,
    kernels: bool = False,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> Program:
    """Check that the program of a model computes what the model does; returns the program."""
    program = import_model(proto, TARGET)
    ours, theirs = compute(program, inputs, kernels), expected(proto, inputs)
    assert list(ours) == list(theirs)
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
        np.testing.assert_allclose(ours[name], array, rtol, atol, err_msg=name)
    return program
