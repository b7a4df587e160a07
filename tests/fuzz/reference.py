"""What a node computes, by ONNX Runtime without optimisations, or onnx's own evaluator.

Nodes are computed one by one, so that one engine's missing operator or known fault costs that node
alone; ``Engine.ONNX`` prefers the other one, for a second opinion. Functions such as sigmoid, which
ONNX Runtime approximates, are computed in float64, and LRN, whose sums it takes from each other.
"""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator

from .case import IR_VERSION, opsets_of, reads
from .defined import defined
from .values import DTYPES, NARROW, Array

_MOST_ELEMENTS = 1 << 20
# Before operator set 13, over all axes from the given one on, which onnx's evaluator does not know.
_FLATTENED_ONCE = frozenset("Hardmax LogSoftmax Softmax".split())
_POOLS = frozenset("AveragePool LpPool MaxPool".split())
_ROUNDED_BADLY = frozenset("DFT STFT".split())  # by ONNX Runtime
_SCALED = frozenset("Resize Upsample".split())

FUNCTIONS = frozenset(
    """
        Acos Acosh Asin Asinh Atan Atanh Celu Cos Cosh Elu Erf Exp Gelu HardSigmoid HardSwish Log
        Mish Pow Selu Sigmoid Sin Sinh Softplus Softsign Swish Tan Tanh
    """.split()
)


class Engine(enum.Enum):
    """Who is asked first."""

    ORT = "onnxruntime"
    ONNX = "onnx"


class NoReferenceError(Exception):
    """No engine computes this node, or what it gives is of no type that Luthier knows."""


@np.errstate(all="ignore")
def compute(
    node: onnx.NodeProto, args: Sequence[Array | None], opset: int, first: Engine = Engine.ORT
) -> list[Array]:
    """The node's outputs for its inputs, in order; raises NoReferenceError."""
    if not defined(node, args):
        raise NoReferenceError(f"{node.op_type} is not defined for these numbers")
    given = {n: a for n, a in zip(reads(node), args, strict=True) if n and a is not None}
    if closed := _closed_form(node):
        (x,) = given.values()
        return [_checked(closed(x.astype(np.float64)).astype(x.dtype))]
    if node.op_type in FUNCTIONS and first is Engine.ORT:
        narrow = next(a.dtype for a in given.values())
        if narrow in (np.float32, np.float16):
            with suppress(Exception):
                return [_checked(_in_float64(node, given, opset).astype(narrow))]
    model = _model(node, given, opset).SerializeToString()
    for run in _engines(node, args, opset, first):
        try:
            outputs = run(model, given)
        except Exception:
            continue
        return [_checked(output) for output in outputs]
    dtypes = ", ".join(str(a.dtype) for a in given.values())
    raise NoReferenceError(f"no engine computes {node.op_type} of {dtypes}")


def _engines(
    node: onnx.NodeProto, args: Sequence[Array | None], opset: int, first: Engine
) -> Sequence[Callable[..., list[Any]]]:
    """In the order that they are asked in; onnx's evaluator not where it is known to be wrong."""
    op = node.op_type
    flattened = opset < 13 and op in _FLATTENED_ONCE
    if op in _ROUNDED_BADLY or _is_narrow(node, args):
        return (_onnx,)
    # It begins in the middle where windows have no need of padding, which ONNX Runtime refuses.
    padded = any(a.name == "auto_pad" and a.s.startswith(b"SAME") for a in node.attribute)
    if flattened or (padded and op in _POOLS) or (op in _SCALED and _sizes_differ(args)):
        return (_onnxruntime,)
    return (_onnxruntime, _onnx) if first is Engine.ORT else (_onnx, _onnxruntime)


def _is_narrow(node: onnx.NodeProto, args: Sequence[Array | None]) -> bool:
    """Whether it takes or gives numbers of few bits, which ONNX Runtime hands out as bytes."""
    to = next((a.i for a in node.attribute if a.name == "to"), 0)
    given = any(a is not None and str(a.dtype) in NARROW for a in args)
    return given or (node.op_type == "Cast" and to in {number for number, _ in NARROW.values()})


def _sizes_differ(args: Sequence[Array | None]) -> bool:
    """Whether a size is another one where its scale is multiplied in float64 and not in float32."""
    shape = np.shape(args[0])
    scales = [a for a in args[1:] if a is not None and a.dtype == np.float32]
    return any(
        s.shape == (len(shape),)
        and bool((np.floor(s * np.float32(shape)) != np.floor(np.float64(s) * shape)).any())
        for s in scales
    )


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _closed_form(node: onnx.NodeProto) -> Callable[[Array], Array] | None:
    """What neither engine computes in float64, or right: error functions, windows of channels."""
    if node.op_type == "Erf":
        return _erf
    if node.op_type == "LRN":
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return lambda x: _lrn(x, **attrs)
    if node.op_type == "Gelu" and not any(a.s == b"tanh" for a in node.attribute):
        return lambda x: x / 2 * (1 + _erf(x / math.sqrt(2)))
    return None


def _lrn(x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Array:
    before = (size - 1) // 2
    squares = np.pad(x * x, [(0, 0), (before, size - 1 - before), (0, 0), (0, 0)])
    total = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return np.asarray(x / (bias + alpha / size * total) ** beta)


def _in_float64(node: onnx.NodeProto, given: dict[str, Array], opset: int) -> Array:
    wide = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in given.items()}
    (result,) = _onnx(_model(node, wide, opset).SerializeToString(), wide)
    with np.errstate(over="ignore"):
        return np.asarray(result)


def _checked(output: Any) -> Array:
    array = np.asarray(output)
    if str(array.dtype) not in (*DTYPES, *NARROW) or array.size > _MOST_ELEMENTS:
        raise NoReferenceError(f"the result is {array.dtype}{array.shape}")
    return array


def _model(node: onnx.NodeProto, given: dict[str, Array], opset: int) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in given.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(o) for o in node.output if o]
    graph = helper.make_graph([node], "node", inputs, outputs)
    opsets = opsets_of([node], opset)
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _onnxruntime(model: bytes, given: dict[str, Array]) -> list[Any]:
    return list(_session(model).run(None, given))


@lru_cache(maxsize=512)
def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _onnx(model: bytes, given: dict[str, Array]) -> list[Any]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return list(ReferenceEvaluator(onnx.load_from_string(model)).run(None, given))
