"""How far apart two runs of one model may be that differ by roundings alone.

Where a model amplifies roundings, no library comes closer to another engine than that engine comes
to itself, once its inputs and weights are changed by a few units in their last places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from luthier.deploy import Tolerance
from luthier.frontend import Program
from luthier.frontend.onnx.scopes import every_node, inner_graphs

from .compare import OutputError, Outputs, difference_and_scale, share_beyond

Array = NDArray[Any]

RUNS = 3
_MARGIN = 4.0  # a library rounds more often than once per input and weight
# Relative changes. float16 layers compute in float32 and round once.
# By the accuracy that a build asks for, where that is more.
BY_ACCURACY = {"bf16": 2.0**-8}
_CHANGE = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-20, "float64": 2.0**-48}
_SMALL = 16  # weights of a model of no more elements may be scales of sizes, say
QUANTISATION = frozenset({"QuantizeLinear", "DequantizeLinear"})
_FLOATS = tuple(getattr(onnx.TensorProto, n) for n in ("BFLOAT16", "FLOAT16", "FLOAT", "DOUBLE"))


def loosened(
    found: Sequence[OutputError], runs: Iterable[tuple[Outputs, Outputs]], by: str
) -> dict[str, Tolerance]:
    """Tolerances that allow what ``runs`` show of each output: pairs that roundings alone part.

    A smooth output's absolute tolerance grows by what the runs are farther apart than it allows; of
    a discrete one (integers, quantised numbers) a share of the elements may be farther. ``by`` says
    whose runs they are.
    """
    pairs = list(runs)
    return {each.name: _loosened(each.name, each.tolerance, pairs, by) for each in found}


def _loosened(
    name: str, tolerance: Tolerance, pairs: Sequence[tuple[Outputs, Outputs]], by: str
) -> Tolerance:
    excess, share = 0.0, 0.0
    for one, other in pairs:
        if one[name].shape != other[name].shape:
            continue
        difference, scale = difference_and_scale(one[name], other[name])
        if tolerance.is_discrete:
            share = max(share, _MARGIN * share_beyond(difference, scale, tolerance))
        else:
            beyond = _MARGIN * difference - (tolerance.atol + tolerance.rtol * scale)
            excess = max(excess, float(beyond[np.isfinite(beyond)].max(initial=0.0)))
    if excess == 0.0 and share == 0.0:
        return tolerance
    why = f"{tolerance.why}, and {by} are as far apart"
    return Tolerance(tolerance.rtol, tolerance.atol + excess, why, min(1.0, share))


def shaken(array: Array, seed: int, least: float = 0.0) -> Array:
    """The array with each element changed by a few units in its last place, or by up to ``least``
    of itself where that is more.

    Arrays of whole numbers stay as they are: they may be indices, exponents, what is compared with.
    """
    if array.dtype.name not in _CHANGE:
        return array
    with np.errstate(all="ignore"):
        if np.array_equal(array, np.rint(array)):
            return array
        noise = np.random.default_rng(seed).uniform(-1.0, 1.0, array.shape)
        most = max(least, _CHANGE[array.dtype.name])
        changed = array.astype(np.float64) * (1.0 + most * noise)
        return changed.astype(array.dtype)


def shaken_inputs(inputs: Mapping[str, Array], seed: int, least: float = 0.0) -> dict[str, Array]:
    """All of a model's inputs, shaken."""
    return {name: shaken(array, seed + i, least) for i, (name, array) in enumerate(inputs.items())}


def shaken_model(model: onnx.ModelProto, seed: int, least: float = 0.0) -> onnx.ModelProto:
    """A copy of the model whose weights are shaken, scales of a quantisation too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = list(every_node(copy.graph.node))
    graphs = [copy.graph, *(graph for node in nodes for graph in inner_graphs(node))]
    named = [(tensor.name, tensor) for graph in graphs for tensor in graph.initializer]
    for node in nodes:
        named += [(node.output[0], a.t) for a in node.attribute if node.op_type == "Constant"]
    scales = {n.input[1] for n in nodes if n.op_type in QUANTISATION}
    for number, (name, tensor) in enumerate(named):
        large = np.prod(tensor.dims, dtype=np.float64) > _SMALL
        if tensor.data_type in _FLOATS and (large or name in scales):
            new = shaken(numpy_helper.to_array(tensor), seed + number, least)
            tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
    return copy


def shaken_program(program: Program, seed: int, least: float = 0.0) -> Program:
    """The program with its weights shaken; sizes and axes are none of them."""
    arrays = program.constants.items()
    constants = {value: shaken(array, seed + value, least) for value, array in arrays}
    return replace(program, constants=constants)
