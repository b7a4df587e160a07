"""Shapes by onnx's inference: kept from what it never ends with, and right where it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..composites.window import Window
from ..graph.emitter import MOST_ELEMENTS
from .einsum import EquationError, parse
from .opset import attributes_of, is_onnx
from .resize import scaled_size

_Shape = Sequence[int]


# An operator that nobody knows, so that no inference is done.
_UNKNOWN = "luthier.unknown"
# Of these it does not know the shape, or not always; of those, not the type either.
UNTYPED = frozenset(["MeanVarianceNormalization"])
_UNSHAPED = UNTYPED | {"GroupNormalization", "Slice"}
_LONGEST = 1 << 16


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that onnx's inference finds, by numbers that it follows too.

    Numbers are not followed where inference counts through them one by one: of lists that are
    longer than any shape, and of a Slice whose steps are not known to be small.
    """
    known = {t.name: t for t in model.graph.initializer}
    other = with_stand_ins(model)
    plain = onnx.shape_inference.infer_shapes(other)
    long = _long_lists(plain)
    skipped = {
        output
        for node in model.graph.node
        if _hangs(node, known) or long.intersection((*node.input, *node.output))
        for output in node.output
    }
    if not skipped:
        return onnx.shape_inference.infer_shapes(other, data_prop=True)
    own = deepcopy(other)
    own.opset_import.add(domain=_UNKNOWN, version=1)
    found = {v.name: v for v in (*plain.graph.value_info, *plain.graph.output)}
    for output in own.graph.output:
        if output.name in skipped:
            output.CopyFrom(found[output.name])
    written = {v.name for v in (*own.graph.value_info, *own.graph.output)}
    own.graph.value_info.extend(found[o] for o in skipped & found.keys() - written)
    for node in own.graph.node:
        if skipped.intersection(node.output):
            node.domain = _UNKNOWN
    return onnx.shape_inference.infer_shapes(own, data_prop=True)


def with_stand_ins(
    model: onnx.ModelProto, operators: Collection[str] = _UNSHAPED
) -> onnx.ModelProto:
    """The model with other nodes of the same shapes, where inference does not know a node's."""
    nodes = enumerate(model.graph.node)
    others = {i: other for i, n in nodes if n.op_type in operators and (other := _of_same_shape(n))}
    if not others:
        return model
    own = deepcopy(model)
    for i, other in others.items():
        own.graph.node[i].CopyFrom(other)
    return own


def _of_same_shape(node: onnx.NodeProto) -> onnx.NodeProto | None:
    if not is_onnx(node.domain):
        return None
    if node.op_type != "Slice":
        return helper.make_node("Identity", node.input[:1], node.output[:1])
    attrs = attributes_of(node)
    if "axes" not in attrs:
        return None
    bounds = [attrs.get(name, ()) for name in ("axes", "starts", "ends")]
    if len({len(b) for b in bounds}) > 1 or min(bounds[0], default=-1) < 0:
        return None
    axes, starts, ends = zip(*sorted(zip(*bounds, strict=True)), strict=True)
    return helper.make_node("Slice", node.input, node.output, axes=axes, starts=starts, ends=ends)


def _long_lists(model: onnx.ModelProto) -> set[str]:
    """The tensors of one dimension that have more elements than any shape."""
    graph = model.graph
    infos = (*graph.input, *graph.value_info, *graph.output)
    shapes = [(v.name, [d.dim_value for d in v.type.tensor_type.shape.dim]) for v in infos]
    shapes += [(t.name, list(t.dims)) for t in graph.initializer]
    return {name for name, dims in shapes if len(dims) == 1 and dims[0] > _LONGEST}


def _hangs(node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto]) -> bool:
    if node.op_type != "Slice" or len(node.input) < 5 or not node.input[4]:
        return False
    tensor = known.get(node.input[4])
    if tensor is None:
        return True
    steps = numpy_helper.to_array(tensor)
    return bool(np.any((steps < -MOST_ELEMENTS) | (steps > MOST_ELEMENTS)))


def corrected(
    node: onnx.NodeProto, shapes: Mapping[str, _Shape], known: Mapping[str, onnx.TensorProto]
) -> list[int] | None:
    """The shape of a node's first result; None where onnx's inference is right about it.

    ``shapes`` are those of values, as far as they are known, and ``known`` the values that are.
    """
    if not is_onnx(node.domain) or not node.input or node.input[0] not in shapes:
        return None
    attrs = attributes_of(node)
    x = shapes[node.input[0]]
    if node.op_type in ("Resize", "Upsample"):
        return _resized(node, x, attrs, known)
    if node.op_type in _BY_ATTRIBUTES:
        return _BY_ATTRIBUTES[node.op_type](x, attrs)
    if node.op_type == "ConvTranspose" and len(node.input) > 1:
        return _enlarged(x, shapes.get(node.input[1], ()), attrs)
    if node.op_type == "Einsum":
        return _summed([shapes.get(name) for name in node.input], attrs.get("equation", b""))
    is_signal = node.op_type == "STFT" and len(x) in (2, 3)
    return _transformed(node, x, attrs, shapes, known) if is_signal else None


def _cut(x: _Shape, attrs: Mapping[str, Any]) -> list[int] | None:
    """It leaves open what ends before it begins, where attributes say so."""
    starts, ends = attrs.get("starts", ()), attrs.get("ends", ())
    axes, shape = attrs.get("axes", range(len(starts))), list(x)
    told = starts and len(starts) == len(ends) == len(axes)
    if not told or not all(0 <= axis < len(x) for axis in axes):
        return None
    for axis, start, end in zip(axes, starts, ends, strict=True):
        shape[axis] = len(range(*slice(start, end).indices(x[axis])))
    return shape


def _summed(given: Sequence[_Shape | None], equation: bytes) -> list[int] | None:
    """It does not know that dimensions of '...' may be stretched."""
    shapes = [shape for shape in given if shape is not None]
    if len(shapes) < len(given):
        return None
    with suppress(EquationError):
        letters = parse(equation.decode(), [len(s) for s in shapes])
        sizes = letters.sizes(shapes)
        return [sizes[letter] for letter in letters.result]
    return None


def _resized(
    node: onnx.NodeProto, x: _Shape, attrs: Mapping[str, object], known: Mapping[str, object]
) -> list[int] | None:
    """It multiplies a size with a scale in float64, where the operator does in float32."""
    place = 1 if node.op_type == "Upsample" or len(node.input) == 2 else 2
    tensor = known.get(node.input[place]) if len(node.input) > place else None
    given = numpy_helper.to_array(tensor) if isinstance(tensor, onnx.TensorProto) else ()
    scales = np.asarray(attrs.get("scales", given), np.float32).reshape(-1)
    axes = np.asarray(attrs.get("axes", np.arange(len(x))), np.int64)
    if (
        not scales.size
        or axes.size != scales.size
        or not np.all((-len(x) <= axes) & (axes < len(x)))
    ):
        return None
    shape = list(x)
    for axis, scale in zip(axes, scales, strict=True):
        shape[axis] = scaled_size(x[axis], scale)
    return shape if min(shape) >= 0 else None


def _transformed(
    node: onnx.NodeProto,
    x: _Shape,
    attrs: Mapping[str, Any],
    shapes: Mapping[str, _Shape],
    known: Mapping[str, onnx.TensorProto],
) -> list[int] | None:
    """It takes what is not said for all frequencies, though the default is half of them."""
    _, step, window, length = (*node.input, "", "", "")[:4]
    numbers = [numpy_helper.to_array(known[n]).reshape(-1) for n in (step, length) if n in known]
    if step not in known or any(n.size != 1 for n in numbers) or (length and length not in known):
        return None
    (apart,) = numbers[0]
    size = numbers[1].item() if length else (*shapes.get(window, ()), x[1])[0]
    if apart < 1 or not 1 <= size <= x[1]:
        return None
    bins = size // 2 + 1 if attrs.get("onesided", 1) else size
    return [x[0], int((x[1] - size) // apart + 1), int(bins), 2]


def _enlarged(x: _Shape, weights: _Shape, attrs: Mapping[str, Any]) -> list[int] | None:
    """It knows neither a size that is wanted nor, of padding that is not said, the rest."""
    count, size = len(x) - 2, attrs.get("output_shape")
    if len(weights) != len(x) or count < 1 or (size and len(size) < count):
        return None
    channels = weights[1] * attrs.get("group", 1)
    if size:
        return [x[0], channels, *size[-count:]]
    window = _window(count, attrs, weights[2:])
    extra = tuple(attrs.get("output_padding") or (0,) * count)
    if not _is_same(attrs) or window is None or len(extra) != count:
        return None
    return [x[0], channels, *window.same_enlarged(x[2:], extra)]


def _pooled(x: _Shape, attrs: Mapping[str, Any]) -> list[int] | None:
    """A last window that begins in the padding or beyond does not count. One that is larger than
    the padded input by less than two strides has no place, as in ONNX Runtime."""
    window, ceil = _window(len(x) - 2, attrs, ()), bool(attrs.get("ceil_mode"))
    if window is None or (not ceil and _is_same(attrs)):
        return None
    if _is_same(attrs):
        return [*x[:2], *(-(-d // s) for d, s in zip(x[2:], window.strides, strict=True))]
    inner = zip(x[2:], window.pads, window.pads[len(x) - 2 :], strict=False)
    beyond = [span - d - p - q for span, (d, p, q) in zip(window.spans, inner, strict=True)]
    least = window.strides if ceil else (1,) * len(beyond)
    nothing = [a <= b < 2 * s for a, b, s in zip(least, beyond, window.strides, strict=True)]
    places = window.places(x[2:], ceil=ceil)
    places = tuple(0 if n else d for n, d in zip(nothing, places, strict=True))
    return [*x[:2], *places] if min(places) >= (0 if any(nothing) else 1) else None


def _is_same(attrs: Mapping[str, Any]) -> bool:
    """Whether the padding follows from the input's size."""
    return attrs.get("auto_pad", b"") in (b"SAME_UPPER", b"SAME_LOWER")


def _window(count: int, attrs: Mapping[str, Any], kernel: _Shape) -> Window | None:
    """With the padding that the attributes say; None where they make no sense."""
    ones, zeros = (1,) * count, (0,) * 2 * count
    said = attrs.get("auto_pad", b"") in (b"", b"NOTSET")
    own = attrs if said else {**attrs, "pads": zeros}
    defaults = {"kernel_shape": kernel, "strides": ones, "dilations": ones, "pads": zeros}
    kernel, strides, dilations, pads = (tuple(own.get(n) or d) for n, d in defaults.items())
    fits = len(kernel) == len(strides) == len(dilations) == count and len(pads) == 2 * count
    if count < 1 or not fits or min(*kernel, *strides, *dilations) < 1:
        return None
    return Window(kernel, strides, dilations, pads)


_BY_ATTRIBUTES: Mapping[str, Callable[[_Shape, Mapping[str, Any]], list[int] | None]] = {
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pooled),
    "Slice": _cut,
}
