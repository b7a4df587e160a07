"""A model without its weights, checked, inlined, shapes computed: what the importer works on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from luthier.schedules import ModelError, UnsupportedOperator

from .graph import Array
from .messages import one_line
from .onnx_ops import SUPPORTED
from .read import dtype_name

# Larger initializers become inputs of the outline; smaller ones may be shapes, axes, ...
_WEIGHT = 1024
# Shape arithmetic, done here so that the importer sees numbers.
_FOLDABLE = frozenset(
    """
        Shape Size Constant Identity Gather GatherElements GatherND Concat Cast CastLike
        Unsqueeze Squeeze Slice Split Add Sub Mul Div Mod Neg Abs Min Max Floor Ceil Sqrt Pow
        Reciprocal Reshape Flatten Equal Less LessOrEqual Greater GreaterOrEqual And Or Not
        Xor Where Expand ConstantOfShape Range Tile Transpose ReduceProd ReduceSum ReduceMax
        ReduceMin ReduceMean Sign NonZero ScatterND ScatterElements Trilu CumSum OneHot
        EyeLike Sum Compress Unique TopK
    """.split()
)
_FOLDED = 16384  # elements


def outline(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A copy of a read model whose large initializers are inputs, and their arrays by name.

    Its nodes are named for people, its local functions inlined, its shape arithmetic done. Raises
    ModelError or UnsupportedOperator.
    """
    light, weights = _without_weights(model)
    light = _inlined(light)
    _check_operators(light)
    _check(light)
    _name_nodes(light)
    light = _folded(light)
    return light, weights


def _without_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Array]]:
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name or "model"
    graph.node.extend(n for n in model.graph.node if _constant_tensor(n) is None)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    weights: dict[str, Array] = {}
    names = {i.name for i in model.graph.input}
    named = [(t.name, t) for t in model.graph.initializer]
    named += [(n.output[0], t) for n in model.graph.node if (t := _constant_tensor(n)) is not None]
    for name, tensor in named:
        if not name or name in names:
            raise ModelError(f"two values of the model have the same name '{name}'")
        names.add(name)
        what = f"initializer '{name}'"
        dtype = dtype_name(tensor.data_type, what)
        array = _array(tensor, what)
        if array.size > _WEIGHT and np.dtype(dtype).kind == "f":
            weights[name] = array
            graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
        else:
            graph.initializer.append(tensor)
            graph.initializer[-1].name = name
    return light, weights


def _constant_tensor(node: onnx.NodeProto) -> TensorProto | None:
    """The tensor in a Constant node."""
    if node.op_type != "Constant" or not _is_onnx(node.domain) or len(node.output) != 1:
        return None
    return next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)


def _array(tensor: TensorProto, what: str) -> Array:
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:
        raise ModelError(f"{what} has data that does not fit its shape") from error
    return array


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Local functions replaced by what they stand for, and operators that are functions too."""
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        opset = _opset(model)
        spelled = sorted(
            {
                node.op_type
                for node in model.graph.node
                if _is_onnx(node.domain)
                and node.op_type not in SUPPORTED
                and _has_body(node.op_type, opset)
            }
        )
        if spelled:
            pairs = [("", name) for name in spelled]
            model = onnx.inliner.inline_selected_functions(
                model, pairs, exclude=False, inline_schema_functions=True
            )
    except Exception as error:
        raise ModelError(f"the model's functions cannot be expanded ({one_line(error)})") from error
    return model


def _opset(model: onnx.ModelProto) -> int:
    return next(int(o.version) for o in model.opset_import if _is_onnx(o.domain))


def _is_onnx(domain: str) -> bool:
    return domain in ("", "ai.onnx")


def _has_body(name: str, opset: int) -> bool:
    try:
        schema = onnx.defs.get_schema(name, opset, "")
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)  # type: ignore[attr-defined]


def _check_operators(model: onnx.ModelProto) -> None:
    missing = []
    for node in model.graph.node:
        if not (_is_onnx(node.domain) and node.op_type in SUPPORTED):
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            named = node.name or (node.output[0] if node.output else "")
            missing.append(f"{operator} (node '{named}')")
    if missing:
        plural = "operators are" if len(missing) > 1 else "operator is"
        raise UnsupportedOperator(
            f"{len(missing)} {plural} not supported: {', '.join(missing)}".replace("\n", " ")
        )


def _check(model: onnx.ModelProto) -> None:
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    for output in checked.graph.output:
        if output.type.HasField("tensor_type"):  # the checker insists on a shape, others do not
            output.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(checked)
    except Exception as error:
        raise ModelError(f"the model is not valid ONNX ({one_line(error)})") from error


def _name_nodes(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        named = node.name or next((o for o in node.output if o), "")
        node.name = f"{node.op_type} '{named}'".replace("\n", " ")


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shape arithmetic done; repeated, since each size found may make others known."""
    while True:
        inferred = _inferred(model)
        before = len(model.graph.node)
        _fold_once(model, _static_shapes(inferred))
        if len(model.graph.node) == before:
            return model


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise ModelError(f"the model's shapes contradict each other ({one_line(error)})") from error


def _static_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for info in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = info.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[info.name] = tuple(d.dim_value for d in tensor.shape.dim)
    return shapes


def _fold_once(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        results = _fold_node(model, node, known, shapes)
        if results is None:
            kept.append(node)
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


def _fold_node(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Array] | None:
    """The node's results by name, where they are known and small."""
    if node.op_type not in _FOLDABLE or not _is_onnx(node.domain):
        return None
    inputs = [name for name in node.input if name]
    if any(np.prod(shapes.get(o, (0,)), dtype=float) > _FOLDED for o in node.output if o):
        return None
    arrays = {name: known[name] for name in inputs if name in known}
    if node.op_type in ("Shape", "Size") and inputs[0] in shapes:
        arrays[inputs[0]] = np.broadcast_to(np.float32(0), shapes[inputs[0]])
    if len(arrays) < len(set(inputs)) or not all(o in shapes for o in node.output if o):
        return None
    return _run_node(model, node, arrays)


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
    if any(not isinstance(r, np.ndarray | np.generic) or r.size == 0 for r in results):
        return None
    return {name: np.asarray(r) for name, r in zip(outputs, results, strict=True)}
