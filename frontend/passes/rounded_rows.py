"""Rows that are rounded to 8 bits by blocks, however they are spelled: whole multiples of a step,
which is a 127th of the largest absolute value of a block (``schedules/ops/few_bits``)."""

from __future__ import annotations

from luthier.schedules import Node
from luthier.schedules.ops.few_bits import LARGEST, LEAST

from ..graph import Graph, known_number, made_by


def rounded_rows(graph: Graph, value: int) -> tuple[int, int] | None:
    """What a value has the rounded elements of, in some shape, and the elements of a block."""
    kept = made_by(graph, value, "slice")  # of rows that were filled up to whole blocks
    whole = made_by(graph, kept.args[0] if kept else value, "reshape")
    product = whole and made_by(graph, whole.args[0], "multiply")
    for numbers, step in _both_ways(product):
        steps, parts = made_by(graph, step, "divide"), _rounded(graph, numbers, step)
        if steps is None or parts is None or known_number(graph, steps.args[1]) != LARGEST:
            continue
        split = made_by(graph, parts, "reshape")
        if split is None:
            continue
        rows = _filled(graph, split.args[0]) if kept else split.args[0]
        if rows is not None and graph.values[rows].size == graph.values[value].size:
            return rows, split.out.shape[-1]
    return None


def _filled(graph: Graph, value: int) -> int | None:
    """What zeros follow in each row."""
    node = made_by(graph, value, "pad")
    if node is None or node.attr("mode", "constant") != "constant" or node.attr("value", 0) != 0:
        return None
    after = node.out.shape[:-1] == graph.values[node.args[0]].shape[:-1]
    return node.args[0] if after and not any(node.attr("before")) else None


def _rounded(graph: Graph, value: int, step: int) -> int | None:
    """What is divided by steps, and rounded: a block in each row."""
    rounded = made_by(graph, value, "round")
    for parts, inverse in _both_ways(rounded and made_by(graph, rounded.args[0], "multiply")):
        quotient, steps = made_by(graph, inverse, "divide"), made_by(graph, step, "divide")
        if quotient is None or steps is None or quotient.args[1] != steps.args[0]:
            continue
        is_largest = _is_largest(graph, quotient.args[1], parts)
        if known_number(graph, quotient.args[0]) == LARGEST and is_largest:
            return parts
    return None


def _is_largest(graph: Graph, value: int, parts: int) -> bool:
    """Whether it is the largest absolute value of each row, and no less than the least."""
    for largest, least in _both_ways(made_by(graph, value, "maximum")):
        found = made_by(graph, largest, "max")
        sizes = found and made_by(graph, found.args[0], "abs")
        if found is None or sizes is None or sizes.args[0] != parts:
            continue
        last = (len(graph.values[parts].shape) - 1,)
        if found.attr("axes") == last and found.attr("keepdims"):
            return known_number(graph, least) == LEAST
    return False


def _both_ways(node: Node | None) -> list[tuple[int, int]]:
    """The arguments of a node that has two, in either order."""
    return [] if node is None else [(node.args[0], node.args[1]), (node.args[1], node.args[0])]
