"""Chains of operations that wait for one another less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from .builder import PhaseBuilder


def braid(builder: PhaseBuilder, writers: Sequence[Callable[[], None]]) -> None:
    """What several write that know nothing of each other, a statement of each in turns: where
    chains of operations are long, each waits while the others go on."""
    blocks = builder._blocks
    strands: list[list[Any]] = []
    for write in writers:
        blocks.append([])
        write()
        strands.append(blocks.pop())
    for turn in zip_longest(*strands):
        blocks[-1] += [statement for statement in turn if statement is not None]
