"""ONNX's convolutions and pooling, whose padding is made explicit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from luthier.schedules import ModelError

from ..composites import indexing, movement, patches
from ..composites import windows as composite
from ..composites.window import Window
from ..graph.emitter import MOST_ELEMENTS
from .node import OnnxNode, Operator, Values

_SAME = ("SAME_UPPER", "SAME_LOWER")


def _conv(node: OnnxNode) -> int:
    w = node.given(1)
    window = checked_window(node, w)
    check_bias(node, node.t.shape(w)[0])
    return _biased(node, composite.conv(node.t, node.x, w, window, node.attr("group", 1)))


def checked_window(node: OnnxNode, w: int) -> Window:
    """How the weights ``w`` of a convolution move over the input, which they fit."""
    mode, groups = _mode(node), node.attr("group", 1)
    results, channels, *kernel = weights = _weights(node, w)
    _check_weights(node, weights, channels * groups, results)
    return _padded(node, _window(node, tuple(kernel)), mode, ceil=False)


def _conv_transpose(node: OnnxNode) -> int:
    mode, groups = _mode(node), node.attr("group", 1)
    channels, results, *kernel = weights = _weights(node, node.given(1))
    _check_weights(node, weights, channels, results * groups)
    check_bias(node, results * groups)
    window, more = _transposed_padding(node, _window(node, tuple(kernel)), mode)
    y = composite.conv_transpose(node.t, node.x, node.given(1), window, groups, more)
    return _biased(node, y)


def _biased(node: OnnxNode, y: int) -> int:
    bias = node.input(2)
    if bias is None:
        return y
    size = node.t.type(bias).size
    return node.t.emit("add", y, node.t.reshape(bias, (1, size, *[1] * (node.rank - 2))))


def _max_pool(node: OnnxNode) -> Values:
    """And where the maxima are."""
    window, ceil = pool_window(node)
    if any(p >= k for p, k in zip(window.pads, window.spans * 2, strict=True)):
        raise node.unsupported(f"padding by {list(window.pads)}, a window's size and more,")
    y = composite.max_pool(node.t, node.x, window, ceil=ceil)
    if node.outputs < 2:
        return y
    by_columns = bool(node.attr("storage_order", 0))
    return y, patches.largest_at(node.t, node.x, y, window, by_columns=by_columns)


def _max_unpool(node: OnnxNode) -> int:
    """Elements at their places in what was pooled, which may have been larger at its ends."""
    t, count, shape = node.t, math.prod(node.shape), node.shape
    window = _padded(node, _window(node, None), "NOTSET", ceil=False, fits=False)
    if t.shape(node.given(1)) != shape:
        raise ModelError(f"{node.label}: its indices are {list(t.shape(node.given(1)))} of {shape}")
    before, after = window.pads[: node.rank - 2], window.pads[node.rank - 2 :]
    steps = zip(shape[2:], window.strides, window.kernel, before, after, strict=True)
    inner = (*shape[:2], *((d - 1) * s + k - a - b for d, s, k, a, b in steps))
    if min(inner) < 1:
        raise ModelError(f"{node.label}: padding leaves nothing: {list(inner)}")
    whole = t.broadcast(node.number(0), (math.prod(inner),))
    index = t.reshape(node.given(1), (count, 1))
    flat = indexing.scatter_nd(t, whole, index, t.reshape(node.x, (count,)), "update")
    y = t.reshape(flat, inner)
    wanted = node.constant(2, "an output shape")
    if wanted is None:
        return y
    outer = [int(d) for d in wanted.reshape(-1)]
    if len(outer) != node.rank or any(d < i for d, i in zip(outer, inner, strict=True)):
        raise ModelError(f"{node.label}: {list(inner)} does not lie in its output shape {outer}")
    return movement.pad(t, y, [(0, d - i) for d, i in zip(outer, inner, strict=True)])


def _average_pool(node: OnnxNode) -> int:
    window, ceil = pool_window(node)
    include = bool(node.attr("count_include_pad", 0))
    return composite.avg_pool(node.t, node.x, window, ceil=ceil, include=include)


def pool_window(node: OnnxNode) -> tuple[Window, bool]:
    """With its padding, and whether the last place may be cut off."""
    mode = _mode(node)
    ceil = bool(node.attr("ceil_mode", 0)) and mode not in _SAME
    return _padded(node, _window(node, None), mode, ceil=ceil), ceil


def _mode(node: OnnxNode) -> str:
    """How the image is padded."""
    mode = str(node.attr("auto_pad", "NOTSET") or "NOTSET")
    if node.rank < 3:
        raise node.unsupported(f"an input of {node.rank} dimensions")
    if node.rank > 5:
        raise node.unsupported(f"a window of {node.rank - 2} dimensions")
    if mode not in ("NOTSET", "VALID", *_SAME):
        raise node.unsupported(f"the padding '{mode}'")
    return mode


def _window(node: OnnxNode, weights: tuple[int, ...] | None) -> Window:
    """Without padding; raises for numbers that are out of range, too few or too many.

    ``weights`` are the sizes of a convolution's kernel.
    """
    count = node.rank - 2
    given = node.attrs.get("kernel_shape")
    kernel = tuple(given) if given is not None else weights or ()
    strides = tuple(node.attrs.get("strides") or (1,) * count)
    dilations = tuple(node.attrs.get("dilations") or (1,) * count)
    for name, numbers in (("kernel", kernel), ("strides", strides), ("dilations", dilations)):
        if len(numbers) != count or not all(1 <= n <= MOST_ELEMENTS for n in numbers):
            raise node.unsupported(f"{name} {list(numbers)} for {count} dimensions")
    if weights is not None and kernel != weights:
        raise node.unsupported(f"a kernel of {list(kernel)} with weights of {list(weights)}")
    return Window(kernel, strides, dilations, ())


def _weights(node: OnnxNode, w: int) -> tuple[int, ...]:
    """Their shape."""
    shape = node.t.shape(w)
    if len(shape) != node.rank:
        raise node.unsupported(f"weights {list(shape)} for an input of {node.rank} dimensions")
    return shape


def _check_weights(node: OnnxNode, weights: tuple[int, ...], channels: int, results: int) -> None:
    """That they are for the input's ``channels`` and give so many ``results``."""
    groups, given = node.attr("group", 1), node.shape[1]
    if groups < 1 or given != channels or given % groups or results % groups:
        raise node.unsupported(f"{groups} groups of {given} channels with weights {list(weights)}")


def check_bias(node: OnnxNode, results: int, place: int = 2) -> None:
    """That it has a number for each of so many results."""
    bias = node.input(place)
    if bias is not None and node.t.shape(bias) != (results,):
        shape = list(node.t.shape(bias))
        raise node.unsupported(f"a bias of the shape {shape} for {results} channels")


def _padded(node: OnnxNode, window: Window, mode: str, *, ceil: bool, fits: bool = True) -> Window:
    """With its padding; raises ModelError where it ``fits`` nowhere in the padded image.

    With ``ceil`` it may reach beyond the end by less than a stride.
    """
    spatial, spans = node.shape[2:], window.spans
    count = len(spatial)
    pads = (0,) * (2 * count)
    if mode in _SAME:
        total = [
            max((math.ceil(size / stride) - 1) * stride + span - size, 0)
            for size, stride, span in zip(spatial, window.strides, spans, strict=True)
        ]
        pads = _halves(total, mode == "SAME_UPPER")
    elif mode == "NOTSET":
        pads = tuple(node.attrs.get("pads") or pads)
    if len(pads) != 2 * count or not all(0 <= p <= MOST_ELEMENTS for p in pads):
        raise node.unsupported(f"padding by {list(pads)}")
    sizes = [d + a + b for d, a, b in zip(spatial, pads, pads[count:], strict=False)]
    beyond = [stride - 1 if ceil else 0 for stride in window.strides]
    if fits and any(span > s + more for span, s, more in zip(spans, sizes, beyond, strict=True)):
        raise ModelError(
            f"{node.label}: its window of {list(spans)} is larger than the padded input of {sizes}"
        )
    return replace(window, pads=pads)


def _transposed_padding(
    node: OnnxNode, window: Window, mode: str
) -> tuple[Window, tuple[int, ...]]:
    """``output_shape``, or ``auto_pad``'s input times stride, decide how much is cut off: the
    latter adds nothing where windows do not reach so far, as in ONNX Runtime.

    Also gives how many elements there are at the end that no window of the input reaches.
    """
    spatial, count = node.shape[2:], node.rank - 2
    extra = tuple(node.attrs.get("output_padding") or (0,) * count)
    _check_extra(node, window, extra)
    wanted = node.attrs.get("output_shape")
    if wanted:
        wanted = wanted[-count:]
    elif mode in _SAME:
        wanted = window.same_enlarged(spatial, extra)
    steps = zip(spatial, window.strides, window.spans, strict=True)
    full = [(d - 1) * s + k for d, s, k in steps]
    if not wanted:
        pads = tuple(node.attrs.get("pads") or ()) if mode == "NOTSET" else ()
        pads = pads or (0,) * (2 * count)
        cut = [a + b - e for a, b, e in zip(pads, pads[count:], extra, strict=False)]
        if len(cut) != count or not all(0 <= p <= MOST_ELEMENTS for p in pads):
            raise node.unsupported(f"padding by {list(pads)}")
        if any(f - c < 1 for f, c in zip(full, cut, strict=True)):
            raise ModelError(f"{node.label}: padding by {list(pads)} leaves nothing of {full}")
        return replace(window, pads=pads), extra
    if len(wanted) != count or not all(1 <= w <= MOST_ELEMENTS for w in wanted):
        raise node.unsupported(f"output_shape {list(wanted)}")
    cut = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
    more = tuple(e + max(-c, 0) for e, c in zip(extra, cut, strict=True))
    _check_extra(node, window, more)
    pads = _halves([max(c, 0) for c in cut], mode == "SAME_UPPER")
    return replace(window, pads=pads), more


def _check_extra(node: OnnxNode, window: Window, extra: Sequence[int]) -> None:
    """Fewer elements than the next place of the window would be."""
    if len(extra) != len(window.strides) or not all(
        0 <= e < stride for e, stride in zip(extra, window.strides, strict=True)
    ):
        raise node.unsupported(f"output_padding {list(extra)}")


def _halves(total: list[int], upper: bool) -> tuple[int, ...]:
    """Pads before and after; the larger half comes last for ``upper``."""
    before = [t // 2 if upper else t - t // 2 for t in total]
    return (*before, *(t - b for t, b in zip(total, before, strict=True)))


OPERATORS: dict[str, Operator] = {
    "AveragePool": Operator(_average_pool, in_steps=True),
    "Conv": Operator(_conv, in_steps=True),
    "ConvTranspose": Operator(_conv_transpose, in_steps=True),
    "MaxPool": Operator(_max_pool),
    "MaxUnpool": Operator(_max_unpool, build_time=(2,)),
}
