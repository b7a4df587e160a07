"""Shape arithmetic of a model, done before import, so that the importer sees numbers.

What operators compute from known values and shapes becomes initializers. Large results are left to
the graph's own folding, and so is arithmetic of floats that nothing needs to know before: there it
means what kernels compute, which NumPy's does not for every number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from luthier.schedules import ModelError

from .graph import Array
from .messages import one_line
from .onnx_node import is_onnx
from .onnx_ops import BUILD_TIME, SUPPORTED
from .onnx_resize import scaled_size

FOLDABLE = frozenset(
    """
        Shape Size Constant Identity Gather GatherElements GatherND Concat Cast CastLike
        Unsqueeze Squeeze Slice Split Add Sub Mul Div Mod Neg Abs Min Max Floor Ceil Sqrt Pow
        Reciprocal Reshape Flatten Equal Less LessOrEqual Greater GreaterOrEqual And Or Not
        Xor Where Expand ConstantOfShape Range Tile Transpose ReduceProd ReduceSum ReduceMax
        ReduceMin ReduceMean Sign NonZero ScatterND ScatterElements Trilu CumSum OneHot
        EyeLike Sum Compress Unique TopK
    """.split()
)
_ARITHMETIC = frozenset(
    """
        Add Sub Mul Div Mod Neg Abs Min Max Floor Ceil Sqrt Pow Reciprocal Sign Cast CastLike Sum
        CumSum ReduceProd ReduceSum ReduceMax ReduceMin ReduceMean
    """.split()
)
_SHAPED_BY_VALUES = ("NonZero", "Compress", "Unique")
# Elements of a result and of all arguments: more is left to the graph's own folding.
_FOLDED, _LARGEST = 16384, 1 << 20


def fold_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shape arithmetic done; repeated, since each size found may make others known.

    The result tells all shapes that ONNX's inference knows.
    """
    while True:
        inferred = _inferred(model)
        types = _static_types(inferred)
        if _corrected(model, types):
            continue
        before = len(model.graph.node)
        _fold_once(model, types)
        if len(model.graph.node) == before:
            del model.graph.value_info[:]
            model.graph.value_info.extend(inferred.graph.value_info)
            del model.graph.output[:]
            model.graph.output.extend(inferred.graph.output)
            return model


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise ModelError(f"the model's shapes contradict each other ({one_line(error)})") from error


@dataclass(frozen=True)
class _Type:
    shape: tuple[int, ...]
    elem_type: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def _static_types(model: onnx.ModelProto) -> dict[str, _Type]:
    types = {}
    for info in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = info.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shape = tuple(d.dim_value for d in tensor.shape.dim)
            types[info.name] = _Type(shape, tensor.elem_type)
    return types


def _corrected(model: onnx.ModelProto, types: Mapping[str, _Type]) -> bool:
    """Whether a shape was written down that ONNX's inference gets wrong; it keeps what is written.

    It multiplies a size with a scale in float64, where the operator does in float32.
    """
    known = {t.name: t for t in model.graph.initializer}
    outputs = {o.name: o for o in model.graph.output}
    changed = False
    for node in model.graph.node:
        x = types.get(node.input[0]) if node.input else None
        scales = _scales(node, known) if x is not None else {}
        if x is None or not scales or not all(0 <= a < len(x.shape) for a in scales):
            continue
        shape = [scaled_size(d, scales[a]) if a in scales else d for a, d in enumerate(x.shape)]
        found = types.get(node.output[0])
        if found is not None and min(shape) >= 0 and found.shape != tuple(shape):
            right = helper.make_tensor_value_info(node.output[0], x.elem_type, shape)
            place = outputs.get(node.output[0]) or model.graph.value_info.add()
            place.CopyFrom(right)
            changed = True
    return changed


def _scales(node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto]) -> dict[int, np.float32]:
    """By axis, those of a node that resizes by scales which are known."""
    if node.op_type not in ("Resize", "Upsample") or not is_onnx(node.domain):
        return {}
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    place = 1 if node.op_type == "Upsample" or len(node.input) == 2 else 2
    name = node.input[place] if len(node.input) > place else ""
    numbers = numpy_helper.to_array(known[name]).reshape(-1) if name in known else ()
    numbers = attrs.get("scales", numbers)
    return dict(zip(attrs.get("axes", range(len(numbers))), map(np.float32, numbers), strict=False))


def _fold_once(model: onnx.ModelProto, types: Mapping[str, _Type]) -> None:
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kept = []
    wanted = _needed_before(model)
    for node in model.graph.node:
        left = not wanted.intersection(node.output) and _is_for_kernels(node, known)
        results = None if left else _fold_node(model, node, known, types)
        if results is None:
            kept.append(node)
            _drop_empty_parts(node, known)
        known |= results or {}
    needed = {name for node in kept for name in node.input}
    needed |= {output.name for output in model.graph.output}
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        for name, array in known.items()
        if name in needed
    )


def _needed_before(model: onnx.ModelProto) -> set[str]:
    """The values that decide shapes or loops, or that lead to an operator that has no kernel."""
    needed: set[str] = set()
    for node in reversed(model.graph.node):
        if node.op_type not in SUPPORTED or needed.intersection(node.output):
            needed.update(node.input)
        else:
            places = BUILD_TIME.get(node.op_type, ())
            needed.update(node.input[i] for i in places if i < len(node.input))
    return needed - {""}


def _is_for_kernels(node: onnx.NodeProto, known: Mapping[str, Array]) -> bool:
    """Whether NumPy and kernels may differ: in floats, and in powers, which are made of floats."""
    arrays = [known[name] for name in node.input if name in known]
    floats = node.op_type == "Pow" or any(array.dtype.kind not in "iub" for array in arrays)
    return node.op_type in _ARITHMETIC and floats and all(array.size for array in arrays)


def _fold_node(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    types: Mapping[str, _Type],
) -> dict[str, Array] | None:
    """The node's results by name, where they are known and small."""
    outputs = {o: types.get(o) for o in node.output if o}
    if all(t is not None and t.size == 0 for t in outputs.values()):
        return {o: _empty(types[o]) for o in outputs}
    if node.op_type not in FOLDABLE or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type not in _SHAPED_BY_VALUES and not all(
        t is not None and t.size <= _FOLDED for t in outputs.values()
    ):
        return None
    inputs = {name for name in node.input if name}
    arrays = {name: known[name] for name in inputs if name in known}
    if node.op_type in ("Shape", "Size") and node.input[0] in types:
        arrays[node.input[0]] = np.broadcast_to(np.float32(0), types[node.input[0]].shape)
    if len(arrays) < len(inputs) or sum(a.size for a in arrays.values()) > _LARGEST:
        return None
    return _run_node(model, node, arrays)


def _empty(tensor: _Type) -> Array:
    return np.zeros(tensor.shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _drop_empty_parts(node: onnx.NodeProto, known: Mapping[str, Array]) -> None:
    """Parts of a concatenation that have no elements."""
    if node.op_type == "Concat":
        parts = [name for name in node.input if name not in known or known[name].size]
        if parts:
            del node.input[:]
            node.input.extend(parts)


def _run_node(
    model: onnx.ModelProto, node: onnx.NodeProto, arrays: Mapping[str, Array]
) -> dict[str, Array] | None:
    outputs = [o for o in node.output if o]
    graph = helper.make_graph(
        [node],
        "fold",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in arrays.items()
        ],
        [helper.make_empty_tensor_value_info(o) for o in outputs],
    )
    single = helper.make_model(graph, opset_imports=model.opset_import)
    try:
        results = ReferenceEvaluator(single).run(None, dict(arrays))
    except Exception:
        return None  # the importer may still know the node, and says so if not
    if not all(isinstance(r, np.ndarray | np.generic) for r in results):
        return None
    return {name: np.asarray(r) for name, r in zip(outputs, results, strict=True)}
