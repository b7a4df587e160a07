"""Shape arithmetic of a model, done before import, so that the importer sees numbers.

What operators compute from known values and shapes becomes initializers; what has no elements is
known, too. Large results are left to
the graph's own folding, and so is arithmetic of floats that nothing needs to know before: there it
means what kernels compute, which NumPy's does not for every number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError

from ..graph import Array
from ..messages import one_line
from .fills import fill_of, padded
from .ml.shapes import result_shapes
from .notes import PartNotes
from .nothing import known_inputs, known_results, without_empty_parts
from .operators import BUILD_TIME, operator_of
from .opset import is_onnx
from .shapes import corrected, inferred
from .single import StaticType, run_node, stand_in
from .texts import domain as texts

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
# Nothing comes of something where weights have no place or a scale leaves none, which their
# converters report.
_SHRINKING = ("Conv", "ConvTranspose", "Resize", "Upsample")
# Arguments of which the type decides and not the elements.
_BY_TYPE = {"Shape": (0,), "Size": (0,), "EyeLike": (0,), "CastLike": (1,)}
# Elements of a result, of all arguments and of all results: more is left to the graph's own
# folding, or else a small file could take all memory. What has few elements is always folded.
_FOLDED, _LARGEST, _TOGETHER, _ALWAYS = 16384, 1 << 20, 1 << 24, 64
_MOST = 1 << 60  # elements, those of dimensions that are not 0, which NumPy can number


def fold_shapes(model: onnx.ModelProto, notes: PartNotes | None = None) -> onnx.ModelProto:
    """Shape arithmetic done; repeated, since each size found may make others known.

    The result holds all shapes that ONNX's inference knows; ``notes`` get what was known of them.
    """
    notes = PartNotes() if notes is None else notes
    notes.begin(model.graph.node)
    corrections = len(model.graph.node)  # each may show that the next is needed
    fills: dict[str, Array] = {}
    while True:
        found = _inferred(model)
        types = _static_types(found)
        if corrections and _corrected(model, types):
            corrections -= 1
            continue
        before = len(model.graph.node)
        notes.meet(types, _fold_once(model, types, fills))
        if len(model.graph.node) == before:
            del model.graph.value_info[:]
            model.graph.value_info.extend(found.graph.value_info)
            del model.graph.output[:]
            model.graph.output.extend(found.graph.output)
            notes.end(model.graph)
            return model


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return inferred(model)
    except Exception as error:
        raise ModelError(f"the model's shapes contradict each other ({one_line(error)})") from error


def _static_types(model: onnx.ModelProto) -> dict[str, StaticType]:
    types = {}
    for info in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = info.type.tensor_type
        known = tensor.elem_type and tensor.HasField("shape")
        if known and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shape = tuple(d.dim_value for d in tensor.shape.dim)
            if min(shape, default=0) < 0:  # of a window that has no place
                continue
            _check_size(info.name, shape)
            types[info.name] = StaticType(shape, tensor.elem_type)
    return types


def _check_size(name: str, shape: Sequence[int]) -> None:
    if math.prod(max(size, 1) for size in shape) > _MOST:
        raise ModelError(f"'{name}' has the shape {list(shape)}, which is too large")


def _corrected(model: onnx.ModelProto, types: Mapping[str, StaticType]) -> bool:
    """Whether a shape was written down that ONNX infers wrongly; it keeps what is written."""
    known = {t.name: t for t in model.graph.initializer}
    types = {n: StaticType(tuple(t.dims), t.data_type) for n, t in known.items()} | dict(types)
    shapes = {name: t.shape for name, t in types.items()}
    places = {v.name: v for v in (*model.graph.value_info, *model.graph.output)}
    changed = False
    for node in model.graph.node:
        for result, kind, dims in (
            *result_shapes(node, shapes),
            *texts.result_shapes(node, shapes),
        ):
            elem_type = kind or types[node.input[0]].elem_type
            if shapes.get(result) != tuple(dims) and result not in shapes:
                place = places.get(result) or model.graph.value_info.add()
                place.CopyFrom(helper.make_tensor_value_info(result, elem_type, dims))
                changed = True
        shape = corrected(node, shapes, known)
        if shape is None:
            continue
        # Places of maxima have the maxima's shape.
        elem_types = (types[node.input[0]].elem_type, onnx.TensorProto.INT64)
        for name, elem_type in zip(node.output, elem_types, strict=False):
            if name and shapes.get(name) != tuple(shape):
                _check_size(name, shape)
                place = places.get(name) or model.graph.value_info.add()
                place.CopyFrom(helper.make_tensor_value_info(name, elem_type, shape))
                changed = True
    return changed


def _fold_once(
    model: onnx.ModelProto, types: Mapping[str, StaticType], fills: dict[str, Array]
) -> dict[str, Array]:
    """The arrays that are known afterwards, by name; ``fills`` get the numbers that values are all
    over."""
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    known |= known_inputs(model, types)
    kept: list[onnx.NodeProto] = []
    wanted = _needed_before(model)
    room = _TOGETHER
    for node in model.graph.node:
        if (number := fill_of(node, known)) is not None:
            fills[node.output[0]] = number
        left = not wanted.intersection(node.output) and _is_for_kernels(node, known, types)
        results = None if left else _fold_node(model, node, known, types, min(room, _FOLDED))
        if results is None:
            kept.append(node)
            known |= padded(model, node, fills, types)
            made = without_empty_parts(model, node, known, types, room)
            known |= made
            spread = types.get(node.output[0]) if made and node.op_type == "Expand" else None
            room = room if spread is None else max(room - spread.size, _ALWAYS)
        else:
            known |= results
            room = max(room - sum(a.size for a in results.values()), _ALWAYS)
    for output in model.graph.output:
        if output.name in known:  # of which inference would not know it else
            array = known[output.name]
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            output.type.CopyFrom(helper.make_tensor_type_proto(kind, array.shape))
    needed = {name for node in kept for name in node.input}
    needed |= {output.name for output in model.graph.output}
    needed -= {info.name for info in model.graph.input}
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        for name, array in known.items()
        if name in needed
    )
    return known


def _needed_before(model: onnx.ModelProto) -> set[str]:
    """The values that decide shapes or loops, or that lead to an operator that has no kernel."""
    needed: set[str] = set()
    for node in reversed(model.graph.node):
        if operator_of(node) is None or needed.intersection(node.output):
            needed.update(node.input)
        else:
            places = BUILD_TIME.get(node.op_type, ())
            needed.update(node.input[i] for i in places if i < len(node.input))
    return needed - {""}


def _is_for_kernels(
    node: onnx.NodeProto, known: Mapping[str, Array], types: Mapping[str, StaticType]
) -> bool:
    """Whether NumPy and kernels may differ: in floats, and in powers, which are made of floats.

    Rows of a table of floats are left, too: which ones may follow from sizes that are open.
    """
    arrays = [known[name] for name in node.input if name in known]
    floats = node.op_type == "Pow" or any(array.dtype.kind not in "iub" for array in arrays)
    if node.op_type == "Slice" and floats and node.input[0] in known:
        rows = types.get(node.output[0])
        return known[node.input[0]].ndim > 1 and rows is not None and rows.size > 0
    return node.op_type in _ARITHMETIC and floats and all(array.size for array in arrays)


def _shrinks(node: onnx.NodeProto, known: Mapping[str, Array]) -> bool:
    """Whether it may give nothing of something."""
    first = known.get(node.input[0]) if node.input else None
    return node.op_type in _SHRINKING and (first is None or first.size > 0)


def _fold_node(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    types: Mapping[str, StaticType],
    room: int,
) -> dict[str, Array] | None:
    """The node's results by name, where they are known and small."""
    outputs = {o: types.get(o) for o in node.output if o}
    if _shrinks(node, known):
        return None
    if all(t is not None and t.size == 0 for t in outputs.values()):
        return {o: stand_in(types[o]) for o in outputs}
    inputs = {name for name in node.input if name}
    arrays = {name: known[name] for name in inputs if name in known}
    size = sum(array.size for array in arrays.values())
    by_type = _BY_TYPE.get(node.op_type, ())
    by_value = {name for i, name in enumerate(node.input) if i not in by_type}
    for index in by_type:
        name = node.input[index] if index < len(node.input) else ""
        if name in types and name not in by_value:
            arrays[name] = stand_in(types[name])
    if len(arrays) < len(inputs) or size > _LARGEST or not is_onnx(node.domain):
        return None
    if node.op_type not in FOLDABLE and not any(a.size == 0 for a in arrays.values()):
        return None
    if node.op_type not in _SHAPED_BY_VALUES and not all(
        t is not None and t.size <= room for t in outputs.values()
    ):
        return None
    return known_results(node, arrays, types) or run_node(model, node, arrays)
