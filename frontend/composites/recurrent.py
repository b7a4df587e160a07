"""Recurrent layers: the input's products of all steps, then one operator for the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from luthier.schedules import Tensor
from luthier.schedules.ops.recurrent_form import CELLS, RESULTS, Use

from ..graph.emitter import Emitter
from . import movement


@dataclass(frozen=True)
class Layer:
    """Values are ONNX's inputs, of layout 0: x [steps, batch, inputs], w [D, G * H, inputs],
    r [D, G * H, H], b [D, 2 * G * H], h and c [D, batch, H], p [D, 3 * H], lengths [batch].

    ``activations`` are those of each direction. For the rest see ``schedules.ops.recurrent_form``.
    """

    cell: str
    reverse: tuple[bool, ...]
    activations: tuple[tuple[Use, ...], ...]
    x: int
    w: int
    r: int
    b: int | None = None
    h: int | None = None
    c: int | None = None
    p: int | None = None
    lengths: int | None = None
    clip: float = 0.0
    before: bool = False
    coupled: bool = False


def results(t: Emitter, layer: Layer, wanted: Sequence[str]) -> dict[str, int]:
    """What is wanted of h of all steps, [steps, D, batch, H], and h and c at the end, by name."""
    if len(set(layer.activations)) == 1:
        return _results(t, layer, wanted)
    each = [_results(t, _direction(t, layer, d), wanted) for d in range(len(layer.reverse))]
    axes = {"sequence": 1, "hidden": 0, "cell": 0}
    return {n: movement.concat(t, [one[n] for one in each], axes[n]) for n in wanted}


def _direction(t: Emitter, layer: Layer, d: int) -> Layer:
    """One direction, as a layer of its own."""

    def own(value: int | None) -> int | None:
        return None if value is None else _part(t, value, 0, d, 1)

    w, r = _part(t, layer.w, 0, d, 1), _part(t, layer.r, 0, d, 1)
    return replace(
        layer,
        reverse=(layer.reverse[d],),
        activations=(layer.activations[d],),
        w=w,
        r=r,
        b=own(layer.b),
        h=own(layer.h),
        c=own(layer.c),
        p=own(layer.p),
    )


def _results(t: Emitter, layer: Layer, wanted: Sequence[str]) -> dict[str, int]:
    """With the same activations in all directions."""
    directions, columns, inputs = t.shape(layer.w)
    steps, last = t.shape(layer.x)[0], layer.lengths is None and "sequence" in wanted
    # h at the end is then a part of all steps' h, whose place is the model's output.
    gives = tuple(n for n in RESULTS if n in wanted and not (n == "hidden" and last))
    weights = t.reshape(layer.w, (directions * columns, inputs))
    gates = t.emit("matmul", layer.x, weights, transpose_b=True)
    bias = None
    if layer.b is not None:
        added, bias = _biases(t, layer, layer.b)
        gates = t.emit("add", gates, t.reshape(added, (directions * columns,)))
    given = {
        "gates": gates,
        "weights": t.transpose(layer.r, (0, 2, 1)),
        "bias": bias,
        "hidden": layer.h,
        "cell": layer.c,
        "peepholes": layer.p,
        "lengths": layer.lengths,
    }
    operands = {name: value for name, value in given.items() if value is not None}
    y = t.emit(
        "recurrent",
        *operands.values(),
        operands=tuple(operands),
        gives=gives,
        cell=layer.cell,
        reverse=layer.reverse,
        activations=tuple(map(tuple, layer.activations[0])),
        clip=layer.clip,
        before=layer.before,
        coupled=layer.coupled,
    )
    found, first = {}, 0
    for name in gives:
        count = steps if name == "sequence" else 1
        part = _part(t, y, 0, first, count)
        found[name] = part if name == "sequence" else t.reshape(part, t.shape(part)[1:])
        first += count
    if last and "hidden" in wanted:
        found["hidden"] = _last(t, found["sequence"], layer.reverse)
    return found


def _last(t: Emitter, sequence: int, reverse: tuple[bool, ...]) -> int:
    """h after the last step of each direction, [D, batch, H]."""
    steps, _, batch, hidden = t.shape(sequence)
    ends = [_part(t, sequence, 0, 0 if back else steps - 1, 1) for back in reverse]
    own = [_part(t, end, 1, d, 1) for d, end in enumerate(ends)]
    return movement.concat(t, [t.reshape(each, (1, batch, hidden)) for each in own], 0)


def _biases(t: Emitter, layer: Layer, b: int) -> tuple[int, int | None]:
    """What is added to the input's products, and what the GRU's r multiplies with those of h."""
    columns = t.shape(layer.w)[1]
    own, other = _part(t, b, 1, 0, columns), _part(t, b, 1, columns, columns)
    if not layer.before:
        return t.emit("add", own, other), None
    hidden = columns // CELLS[layer.cell].gates
    both = columns - hidden
    total = t.emit("add", _part(t, own, 1, 0, both), _part(t, other, 1, 0, both))
    added = movement.concat(t, [total, _part(t, own, 1, both, hidden)], 1)
    return added, _part(t, other, 1, both, hidden)


def _part(t: Emitter, x: int, axis: int, first: int, count: int) -> int:
    """Some neighbours along an axis."""
    shape = list(t.shape(x))
    shape[axis] = count
    begin = [first if i == axis else 0 for i in range(len(shape))]
    return t.slice(x, begin, shape, [1] * len(shape))


def type_of(t: Emitter, layer: Layer, name: str) -> Tensor:
    """Of a result by name."""
    (steps, batch, _), (directions, _, hidden) = t.shape(layer.x), t.shape(layer.r)
    shape = (directions, batch, hidden)
    return Tensor((steps, *shape) if name == "sequence" else shape, t.dtype(layer.x))
