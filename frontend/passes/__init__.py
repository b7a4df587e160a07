"""Passes from graph to graph, in their order.

Each leaves the graph right, and says what must be true of it before and what is true after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ..graph import Graph
from .attention import fuse_attention
from .channels_last import channels_last
from .commute_resizes import commute_resizes
from .fold_constants import fold_constants
from .fold_scales import fold_scales
from .group_norm import join_group_norms
from .legalize import legalize
from .normalizations import find_normalizations
from .sink_reshapes import sink_reshapes


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
    from then on.
    """

    rewrite: Callable[[Graph], Graph]
    requires: frozenset[Property] = frozenset()
    ensures: frozenset[Property] = frozenset()

    @property
    def name(self) -> str:
        """As its function is called."""
        return self.rewrite.__name__


def _pass(
    rewrite: Callable[[Graph], Graph], *, after: set[Property], ensures: set[Property]
) -> Pass:
    return Pass(rewrite, frozenset(after), frozenset(ensures))


PASSES = (
    _pass(fold_constants, after=set(), ensures={_P.FOLDED}),
    _pass(join_group_norms, after={_P.FOLDED}, ensures=set()),
    _pass(channels_last, after={_P.FOLDED}, ensures={_P.CHANNELS_LAST}),
    _pass(find_normalizations, after={_P.CHANNELS_LAST}, ensures={_P.NORMS_JOINED}),
    _pass(sink_reshapes, after={_P.CHANNELS_LAST, _P.NORMS_JOINED}, ensures=set()),
    _pass(fold_scales, after={_P.FOLDED, _P.CHANNELS_LAST}, ensures=set()),
    _pass(commute_resizes, after={_P.CHANNELS_LAST}, ensures=set()),
    _pass(fuse_attention, after={_P.CHANNELS_LAST}, ensures={_P.ATTENTION_JOINED}),
    _pass(legalize, after={_P.NORMS_JOINED, _P.ATTENTION_JOINED}, ensures={_P.LEGAL}),
    _pass(fold_constants, after={_P.LEGAL}, ensures={_P.FOLDED}),  # of what the others made
)
