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

from ..graph import Array
from ..messages import one_line
from .operators import BUILD_TIME, SUPPORTED
from .opset import is_onnx, opset_of
from .shapes import corrected, inferred

_ARITHMETIC = frozenset(
    """
        Add Sub Mul Div Mod Neg Abs Min Max Floor Ceil Sqrt Pow Reciprocal Sign Cast CastLike Sum
        CumSum ReduceProd ReduceSum ReduceMax ReduceMin ReduceMean
    """.split()
)
FOLDABLE = _ARITHMETIC | frozenset(
    """
        Shape Size Constant Identity Gather GatherElements GatherND Concat Unsqueeze Squeeze Slice
        Split Reshape Flatten Equal Less LessOrEqual Greater GreaterOrEqual And Or Not Xor Where
        Expand ConstantOfShape Range Tile Transpose NonZero ScatterND ScatterElements Trilu OneHot
        EyeLike Compress TopK
    """.split()
)
_SHAPED_BY_VALUES = ("NonZero", "Compress")
# Nothing comes of these where a window has no place, which their converters report.
_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
# Arguments of which the type decides and not the elements.
_BY_TYPE = {"Shape": (0,), "Size": (0,), "EyeLike": (0,), "CastLike": (1,)}
# Elements of a result, of all arguments and of all results: more is left to the graph's own
# folding, or else a small file could take all memory. What has few elements is always folded.
_FOLDED, _LARGEST, _TOGETHER, _ALWAYS = 16384, 1 << 20, 1 << 24, 64


def fold_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shape arithmetic done; repeated, since each size found may make others known.

    The result holds all shapes that ONNX's inference knows.
    """
    corrections = len(model.graph.node)  # each may show that the next is needed
    while True:
        found = _inferred(model)
        types = _static_types(found)
        if corrections and _corrected(model, types):
            corrections -= 1
            continue
        before = len(model.graph.node)
        _fold_once(model, types)
        if len(model.graph.node) == before:
            del model.graph.value_info[:]
            model.graph.value_info.extend(found.graph.value_info)
            del model.graph.output[:]
            model.graph.output.extend(found.graph.output)
            return model


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return inferred(model)
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
        known = tensor.elem_type and tensor.HasField("shape")
        if known and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shape = tuple(d.dim_value for d in tensor.shape.dim)
            if min(shape, default=0) < 0:  # of a window that has no place
                continue
            types[info.name] = _Type(shape, tensor.elem_type)
    return types


def _corrected(model: onnx.ModelProto, types: Mapping[str, _Type]) -> bool:
    """Whether a shape was written down that ONNX infers wrongly; it keeps what is written."""
    known = {t.name: t for t in model.graph.initializer}
    types = {n: _Type(tuple(t.dims), t.data_type) for n, t in known.items()} | dict(types)
    shapes = {name: t.shape for name, t in types.items()}
    places = {v.name: v for v in (*model.graph.value_info, *model.graph.output)}
    changed = False
    for node in model.graph.node:
        shape = corrected(node, shapes, known)
        name = node.output[0] if node.output else ""
        if shape is not None and shapes.get(name) != tuple(shape):
            place = places.get(name) or model.graph.value_info.add()
            elem_type = types[node.input[0]].elem_type
            place.CopyFrom(helper.make_tensor_value_info(name, elem_type, shape))
            changed = True
    return changed


def _fold_once(model: onnx.ModelProto, types: Mapping[str, _Type]) -> None:
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kept: list[onnx.NodeProto] = []
    wanted = _needed_before(model)
    room = _TOGETHER
    for node in model.graph.node:
        left = not wanted.intersection(node.output) and _is_for_kernels(node, known)
        results = None if left else _fold_node(model, node, known, types, min(room, _FOLDED))
        if results is None:
            kept.append(node)
            known |= _drop_empty_parts(node, known, types, opset_of(model))
        else:
            known |= results
            room = max(room - sum(a.size for a in results.values()), _ALWAYS)
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
    room: int,
) -> dict[str, Array] | None:
    """The node's results by name, where they are known and small."""
    outputs = {o: types.get(o) for o in node.output if o}
    if not is_onnx(node.domain) or node.op_type in _WINDOWS:
        return None
    if all(t is not None and t.size == 0 for t in outputs.values()):
        return {o: _stand_in(types[o]) for o in outputs}
    inputs = {name for name in node.input if name}
    arrays = {name: known[name] for name in inputs if name in known}
    size = sum(array.size for array in arrays.values())
    by_type = _BY_TYPE.get(node.op_type, ())
    by_value = {name for i, name in enumerate(node.input) if i not in by_type}
    for index in by_type:
        name = node.input[index] if index < len(node.input) else ""
        if name in types and name not in by_value:
            arrays[name] = _stand_in(types[name])
    if len(arrays) < len(inputs) or size > _LARGEST:
        return None
    if node.op_type not in FOLDABLE and not any(a.size == 0 for a in arrays.values()):
        return None
    if node.op_type not in _SHAPED_BY_VALUES and not all(
        t is not None and t.size <= room for t in outputs.values()
    ):
        return None
    return _run_node(model, node, arrays)


def _stand_in(tensor: _Type) -> Array:
    """An array of a type, which takes no memory."""
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return np.broadcast_to(np.zeros((), dtype), tensor.shape)


def _drop_empty_parts(
    node: onnx.NodeProto, known: Mapping[str, Array], types: Mapping[str, _Type], opset: int
) -> dict[str, Array]:
    """Leave out arguments and results without elements; the arrays by name that this made known."""
    empty = {o for o in node.output if o in types and types[o].size == 0}
    if node.op_type == "Concat":
        parts = [name for name in node.input if name not in known or known[name].size]
        if parts:
            del node.input[:]
            node.input.extend(parts)
    elif node.op_type in ("ScatterND", "ScatterElements") and any(
        name in known and not known[name].size for name in node.input[1:]
    ):
        node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output, node.name))
    elif node.op_type == "Split" and empty and all(o in types for o in node.output):
        return _split_without(node, empty, types, opset)
    return {}


def _split_without(
    node: onnx.NodeProto, empty: set[str], types: Mapping[str, _Type], opset: int
) -> dict[str, Array]:
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis = attrs.get("axis", 0)
    parts = [o for o in node.output if o not in empty]
    sizes = np.asarray([types[o].shape[axis] for o in parts], np.int64)
    made = {name: _stand_in(types[name]) for name in empty}
    if len(parts) == 1:
        node.CopyFrom(helper.make_node("Identity", node.input[:1], parts, node.name))
    elif opset < 13:
        named = {"axis": axis, "split": sizes.tolist()}
        node.CopyFrom(helper.make_node("Split", node.input[:1], parts, node.name, **named))
    else:
        name = f"{node.output[0]}/sizes of parts"
        made[name] = sizes
        inputs = [node.input[0], name]
        node.CopyFrom(helper.make_node("Split", inputs, parts, node.name, axis=axis))
    return made


def _run_node(
    model: onnx.ModelProto, node: onnx.NodeProto, arrays: Mapping[str, Array]
) -> dict[str, Array] | None:
    outputs = [o for o in node.output if o]
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in arrays.items()
    ]
    ends = [helper.make_empty_tensor_value_info(o) for o in outputs]
    graph = helper.make_graph([node], "fold", inputs, ends)
    single = helper.make_model(graph, opset_imports=model.opset_import)
    try:
        results = ReferenceEvaluator(single).run(None, dict(arrays))
    except Exception:
        return None  # the importer may still know the node, and says so if not
    if not all(isinstance(r, np.ndarray | np.generic) for r in results):
        return None
    return {name: np.asarray(r) for name, r in zip(outputs, results, strict=True)}
