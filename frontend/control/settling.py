"""Shapes that values have which a loop or branch finds the sizes of, as what reads them asks.

What an iteration finds is known in it alone, and what leaves it has a size that is known outside:
the model declares it, or joins it with what has it. A run ends that finds another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import onnx
from onnx.helper import make_tensor_value_info

from ..graph import Array
from .decision import Decision
from .declared import Dims
from .varying import is_cut_short, varying_axes


def settled(
    model: onnx.ModelProto,
    sized: Collection[str],
    declared: Mapping[str, Dims],
    known: Callable[[str], Array | None],
) -> tuple[set[str], dict[str, Dims]]:
    """Of the nodes of a model, in order, which are cut short of what is found, by their first
    results; and of other values the sizes that they are declared to have where a run finds them.

    ``sized`` are the values whose sizes runs find, as far as they are not declared; ``known`` gives
    the numbers of a value, where they are.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    infos, asked = whole.graph.value_info, dict[str, Dims]()
    while True:
        varying = varying_axes(whole, sized)
        made = (name for node in whole.graph.node for name in node.output)
        pairs = ((n, _asked(varying[n].axes, declared.get(n, ()))) for n in made if n in varying)
        name, dims = next(((n, d) for n, d in pairs if any(d) and n not in asked), ("", ()))
        if not name:
            short = {n.output[0] for n in whole.graph.node if is_cut_short(n, varying, known)}
            return short, {n: d for n, d in asked.items() if n not in {*short, *sized}}
        asked[name] = dims
        infos.append(make_tensor_value_info(name, varying[name].kind, declared[name]))


def _asked(varies: Sequence[bool], dims: Dims) -> Dims:
    """The sizes that are declared of dimensions that vary, None for all others."""
    if len(varies) != len(dims):
        return ()
    return tuple(size if each else None for each, size in zip(varies, dims, strict=True))


def settle(d: Decision, dims: Dims) -> None:
    """Give the input with these sizes, None for what stays; a run ends that finds others."""
    e, old = d.spelled, d.type(0).shape
    axes = [axis for axis, size in enumerate(dims) if size is not None]
    wanted = [dims[axis] or 0 for axis in axes]
    d.expect(e("Gather", d.sizes(old), axes, axis=0), wanted, "its result has the sizes")
    # There are as many at least, whatever the sizes are that an import takes.
    more = [size or 0 for size in dims]
    (longer,) = d.apart(e("Pad", "input 0", [*[0] * len(old), *more]))
    d.give(e("Slice", longer, [0] * len(axes), wanted, axes))
