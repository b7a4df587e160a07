"""How close outputs must be to what is right: by their type, and by the types they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from luthier.deploy import Tolerance
from luthier.frontend.onnx.scopes import every_node, reads
from luthier.schedules import Tensor
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.target import DEFAULT_ACCURACY

EXACT = Tolerance(0.0, 0.0, "exact")
# A unit in the last place is 1.2e-7, 9.8e-4 and 2.2e-16 of a number; sums in another order, and
# the transforms of Winograd's convolution, cost some hundreds of them in float32. float16 rounds
# each layer's result.
BY_TYPE = {
    "float64": Tolerance(1e-6, 1e-7, "float64"),
    "float32": Tolerance(1e-3, 1e-4, "float32"),
    "float16": Tolerance(1e-2, 2e-3, "float16"),
    # Of fewer bits, a few of their own steps.
    "bfloat16": Tolerance(3e-2, 1e-2, "bfloat16"),
    "float8_e4m3fn": Tolerance(0.25, 2.0**-6, "float8_e4m3fn"),
    "float8_e4m3fnuz": Tolerance(0.25, 2.0**-6, "float8_e4m3fnuz"),
    "float8_e5m2": Tolerance(0.5, 2.0**-6, "float8_e5m2"),
    "float8_e5m2fnuz": Tolerance(0.5, 2.0**-6, "float8_e5m2fnuz"),
    "float4_e2m1fn": Tolerance(0.5, 0.5, "float4_e2m1fn"),
    "float8_e8m0fnu": Tolerance(1.0, 0.0, "float8_e8m0fnu"),
}
_FLOATS = {int(helper.np_dtype_to_tensor_dtype(DTYPES[name].numpy)): name for name in BY_TYPE}
_QUANTIZERS = frozenset(
    """
        DynamicQuantizeLinear QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv
        QLinearGlobalAveragePool QLinearLeakyRelu QLinearMatMul QLinearMul QLinearReduceMean
        QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear
    """.split()
)
# By how much more than its first argument a result may change, at most.
_LIKE_IT = (
    "AveragePool Clip DepthToSpace Expand Flatten Gather GlobalAveragePool GlobalMaxPool Identity "
    "MaxPool Neg Pad ReduceMax ReduceMean ReduceMin Relu Reshape Slice SpaceToDepth Split Squeeze "
    "Tanh Tile Transpose Unsqueeze"
)
_GROWTH = {**dict.fromkeys(_LIKE_IT.split(), 1.0), "Softmax": 0.5, "Sigmoid": 0.25}
_SUMS = frozenset({"Add", "Sub"})


def tolerances(
    model: onnx.ModelProto, outputs: Mapping[str, Tensor], accuracy: str = DEFAULT_ACCURACY
) -> dict[str, Tolerance]:
    """Of each output of a model that is built for an accuracy, by name.

    Floats follow the least exact float type that any value has on the way to them; for ``bf16``
    that is bfloat16 at best. What was
    quantised may be one step of the quantisation off, since a value near the middle of two steps
    goes either way. Other integers and booleans are exact.
    """
    origins = _origins(model)
    lists = [o.name for o in model.graph.output if not o.type.HasField("tensor_type")]
    for name in outputs.keys() - origins.keys():  # the tensors of sequences
        whole = name.rpartition("_")[0]
        origins |= {name: origins[whole]} if whole in lists and whole in origins else {}
    if accuracy == "bf16":
        origins = {name: _rounded(origins.get(name, Origin())) for name in outputs}
    return {name: of_type(t.dtype, origins.get(name)) for name, t in outputs.items()}


def _rounded(origin: Origin) -> Origin:
    return replace(origin, coarsest=_coarser("bfloat16", origin.coarsest))


@dataclass(frozen=True)
class Origin:
    """What a value comes from: the ``coarsest`` float type on its way, "" for none.

    ``step`` is how much an element changes where each quantised number that it is computed from is
    the next one, as far as that is known; 0 where it is computed from none, or in other ways.
    """

    coarsest: str = ""
    step: float = 0.0

    @property
    def is_quantised(self) -> bool:
        """Whether its elements follow the steps of quantised numbers."""
        return self.step > 0


def of_type(dtype: str, origin: Origin | None = None) -> Tolerance:
    """The tolerance of an output of a type, of which nothing else is known without ``origin``."""
    origin = origin or Origin()
    if dtype not in BY_TYPE:
        if origin.is_quantised and dtype != "bool":
            return Tolerance(0.0, 1.0, "one step of the quantisation")
        return replace(EXACT, why=f"{dtype}, exact")
    base = BY_TYPE[_coarser(dtype, origin.coarsest)]
    if origin.is_quantised:
        return Tolerance(0.0, origin.step * (1 + base.rtol), "one step of the quantisation")
    return base


def _coarser(first: str, second: str) -> str:
    return max(first, second, key=("", *BY_TYPE).index)


def _origins(model: onnx.ModelProto) -> dict[str, Origin]:
    """Of each value of the main graph, in one walk along its nodes."""
    origins: dict[str, Origin] = {}
    constants: dict[str, NDArray[Any]] = {}
    for value in model.graph.input:
        origins[value.name] = Origin(_FLOATS.get(value.type.tensor_type.elem_type, ""))
    for tensor in model.graph.initializer:
        origins[tensor.name] = Origin(_FLOATS.get(tensor.data_type, ""))
        if tensor.data_type in _FLOATS and max(tensor.dims, default=1) < 1 << 16:
            constants[tensor.name] = _array(tensor)
    inside = {(f.domain, f.name): f.node for f in model.functions}
    for node in model.graph.node:
        body = (*every_node([node]), *every_node(inside.get((node.domain, node.op_type), ())))
        origin = _of_node(node, origins, constants, body)
        for name in node.output:
            origins[name] = origin
    return origins


def _of_node(
    node: onnx.NodeProto,
    origins: Mapping[str, Origin],
    constants: dict[str, NDArray[Any]],
    body: Iterable[onnx.NodeProto],
) -> Origin:
    arguments = [origins.get(name, Origin()) for name in node.input if name]
    coarsest = ""
    for name in reads(node):
        coarsest = _coarser(coarsest, origins.get(name, Origin()).coarsest)
    for each in body:
        coarsest = _coarser(coarsest, _named_type(each))
    if node.op_type == "Constant":
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type in _FLOATS:
                constants[node.output[0]] = _array(attribute.t)
    return Origin(coarsest, _step(node, arguments, constants))


def _step(
    node: onnx.NodeProto, arguments: list[Origin], constants: Mapping[str, NDArray[Any]]
) -> float:
    if node.op_type in _QUANTIZERS:
        return 1.0
    first = arguments[0].step if arguments else 0.0
    if node.op_type == "DequantizeLinear" and len(node.input) > 1:
        scale = constants.get(node.input[1])
        return first * float(np.abs(scale).max(initial=0.0)) if scale is not None else 0.0
    steps = [each.step for each in arguments]
    if node.op_type == "Concat":
        return max(steps, default=0.0)
    if node.op_type in _SUMS:
        return sum(steps)
    return _GROWTH.get(node.op_type, 0.0) * first


def _named_type(node: onnx.NodeProto) -> str:
    """The coarsest float type that a node's attributes name: a Cast's, or a constant's."""
    found = ""
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype"):
            found = _coarser(found, _FLOATS.get(attribute.i, ""))
        if attribute.HasField("t"):
            found = _coarser(found, _FLOATS.get(attribute.t.data_type, ""))
        if attribute.name.startswith("value_float"):
            found = _coarser(found, "float32")
    return found


def _array(tensor: TensorProto) -> NDArray[Any]:
    return np.asarray(numpy_helper.to_array(tensor), np.float64)
