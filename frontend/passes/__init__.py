"""Passes from graph to graph, in their order.

Each leaves the graph right, and says what must be true of it before and what is true after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from enum import Enum

from ..graph import Graph
from .attention import fuse_attention, fuse_open_attention
from .bfloat16 import mark_bfloat16
from .channels_last import channels_last
from .commute_resizes import commute_resizes
from .few_bits import keep_few_bits
from .fold_constants import fold_but_rows, fold_constants
from .fold_scales import fold_scales
from .group_norm import join_group_norms
from .legalize import legalize
from .narrow_products import narrow_products
from .needless_broadcasts import drop_broadcasts
from .normalizations import find_normalizations
from .pool_planes import pool_planes
from .quantized import stay_quantized
from .reciprocals import multiply_by_reciprocals
from .scales_as_products import scales_as_products
from .sink_enlargements import sink_enlargements
from .sink_reshapes import sink_reshapes
from .tie_weights import tie_weights
from .transposed_as_plain import transposed_as_plain


class Property(Enum):
    """What a pass may rely on."""

    FOLDED = "what is computed of constants is a constant"
    CHANNELS_LAST = "transposes are where nothing can take them"
    NORMS_JOINED = "each normalisation is one operator"
    ATTENTION_JOINED = "each attention is one operator"
    LEGAL = "each operator has a template, or Relax computes it"


_P = Property


@dataclass(frozen=True)
class Pass:
    """``rewrite`` gives another graph that computes the same.

    It ``requires`` properties that earlier passes have ensured; those that it ``ensures`` hold
    from then on. Where it names operators, a graph that has none ``of`` them stays as it is.
    """

    rewrite: Callable[[Graph], Graph]
    of: Set[str] = frozenset()
    requires: Set[Property] = frozenset()
    ensures: Set[Property] = frozenset()

    @property
    def name(self) -> str:
        """As its function is called."""
        return self.rewrite.__name__

    def __call__(self, graph: Graph) -> Graph:
        """The graph after it."""
        concerns = not self.of or any(op.node.op in self.of for op in graph.ops)
        return self.rewrite(graph) if concerns else graph


PASSES = (
    Pass(stay_quantized),
    Pass(keep_few_bits, {"matmul", "take"}),  # while numbers and scales are apart
    Pass(fold_constants, ensures={_P.FOLDED}),
    Pass(drop_broadcasts, {"broadcast_to"}, requires={_P.FOLDED}),
    Pass(join_group_norms, {"group_norm"}, requires={_P.FOLDED}),
    Pass(transposed_as_plain, {"conv2d_transpose"}, requires={_P.FOLDED}),
    Pass(scales_as_products, {"conv2d"}),
    Pass(channels_last, requires={_P.FOLDED}, ensures={_P.CHANNELS_LAST}),
    Pass(pool_planes, {"transpose"}, requires={_P.CHANNELS_LAST}),
    Pass(
        find_normalizations,
        {"add", "divide", "multiply"},
        requires={_P.CHANNELS_LAST},
        ensures={_P.NORMS_JOINED},
    ),
    Pass(sink_enlargements, {"transpose"}, requires={_P.CHANNELS_LAST}),
    Pass(sink_reshapes, requires={_P.CHANNELS_LAST, _P.NORMS_JOINED}),
    Pass(fold_scales, requires={_P.FOLDED, _P.CHANNELS_LAST}),
    Pass(multiply_by_reciprocals, {"divide"}, requires={_P.FOLDED}),
    Pass(commute_resizes, {"conv2d"}, requires={_P.CHANNELS_LAST}),
    Pass(fuse_attention, {"matmul"}, requires={_P.CHANNELS_LAST}, ensures={_P.ATTENTION_JOINED}),
    Pass(legalize, requires={_P.NORMS_JOINED, _P.ATTENTION_JOINED}, ensures={_P.LEGAL}),
    Pass(fold_constants, requires={_P.LEGAL}, ensures={_P.FOLDED}),  # of what the others made
    Pass(tie_weights, {"matmul"}, requires={_P.FOLDED}),
    Pass(narrow_products, requires={_P.FOLDED, _P.ATTENTION_JOINED, _P.LEGAL}),
    Pass(mark_bfloat16, requires={_P.FOLDED}),
)

_OPEN: Mapping[Callable[[Graph], Graph], Callable[[Graph], Graph]] = {
    fuse_attention: fuse_open_attention,
    fold_constants: fold_but_rows,
}
OPEN_PASSES = tuple(
    replace(each, rewrite=_OPEN.get(each.rewrite, each.rewrite))
    for each in PASSES
    if each.rewrite is not narrow_products  # a size may be open, and few where it is imported
)
"""For models of which some sizes are known only at run time: what they become must depend little on
the sizes that they are imported at."""
