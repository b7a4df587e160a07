"""Rules of control flow: branches and loops whose graphs grow as the one around them does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .draft import Draft, Growth, Rule, Shape, UnfitError, attributes
from .noise import exactly
from .replicas import mapped

Table = Mapping[str, Rule]
"""The operators of a graph that grows, by name."""

_DEEPEST = 2
_TRIES = 8
_MOST_TIMES = 9
_CARRIED = ("float32", "float32", "int64", "int32", "bool")


def rules(straight: Table) -> dict[str, Rule]:
    """Those of nodes in whose graphs are these operators, and such nodes again."""
    inside = dict(straight)
    made: dict[str, Callable[[Table, Growth], Draft]] = {"If": _if, "Loop": _loop, "Scan": _scan}
    found: dict[str, Rule] = {name: partial(rule, inside) for name, rule in made.items()}
    inside.update(found)
    return found


def _grown(table: Table, g: Growth) -> None:
    """A few nodes in a graph inside of a node."""
    wanted, names = g.rng.choice((1, 1, 2, 3)), sorted(table)
    deep = g.prefix.count("_") >= _DEEPEST
    for _ in range(_TRIES * wanted):
        op = g.pick(names)
        if len(g.nodes) < wanted and not (deep and op in ("If", "Loop", "Scan")):
            try:
                g.add(table[op](g))
            except UnfitError:
                continue


def _made(g: Growth) -> list[str]:
    return [name for node in g.nodes for name in node.output]


def _identity(g: Growth, name: str) -> str:
    return g.add(Draft("Identity", [name]))[0]


def _matching(g: Growth, dtype: str, shape: Shape, used: Sequence[str] = ()) -> str:
    """A value that is made there, of a type: one that there is, if any, or else a copy."""

    def fits(name: str) -> bool:
        return g.dtype(name) == dtype and g.shape(name) == shape

    made = [name for name in _made(g) if fits(name) and name not in used]
    if made and g.chance(0.85):
        return str(g.pick(made))
    there = [name for name in g.values if name not in g.constants and fits(name)]
    return _identity(g, g.pick(there) if there and g.chance(0.6) else g.new(dtype, shape))


def _some(g: Growth, least: int, used: Sequence[str] = ()) -> list[str]:
    """Values that are made there, none of them twice."""
    made = [name for name in _made(g) if name not in used]
    if len(made) < least:
        raise UnfitError
    return g.rng.sample(made, min(len(made), g.rng.choice((least, least, least + 1))))


def _graph(g: Growth, given: Sequence[str], results: Sequence[str]) -> onnx.GraphProto:
    """What grew; nothing says which shapes it has."""

    def info(name: str) -> onnx.ValueInfoProto:
        element = helper.np_dtype_to_tensor_dtype(np.dtype(g.dtype(name)))
        shape = [] if g.shape(name) == () else None
        return helper.make_tensor_value_info(name, element, shape)

    inputs, outputs = list(map(info, given)), list(map(info, results))
    return helper.make_graph(list(g.nodes), f"{g.prefix}graph", inputs, outputs)


def _flag(g: Growth) -> str:
    """A truth: one that is there, that is computed, or that is new."""
    there = [n for n, v in g.values.items() if v.array.dtype == bool and v.array.shape == ()]
    if there and g.chance(0.4):
        return str(g.pick(there))
    if g.chance(0.4):
        x = g.any(("float32",))
        (most,) = g.add(Draft("ReduceMax", [x], {"keepdims": 0}))
        (found,) = g.add(Draft("Greater", [most, g.known(g.pick((-1.0, 0.0, 1.0)), "float32")]))
        return found
    return g.new("bool", (), constant=0.15)


def _if(table: Table, g: Growth) -> Draft:
    flag = _flag(g)
    with g.inside("t", {}) as then:
        _grown(table, then)
        results = _some(then, 1)
    with g.inside("e", {}) as other:
        _grown(table, other)
        others: list[str] = []
        for name in results:
            others.append(_matching(other, then.dtype(name), then.shape(name), others))
    attrs = {"then_branch": _graph(then, (), results), "else_branch": _graph(other, (), others)}
    return Draft("If", [flag], attrs, len(results))


def _left(b: Growth, carried: Sequence[str]) -> list[str]:
    """What becomes of carried values, of the same types."""
    found: list[str] = []
    for name in carried:
        found.append(_matching(b, b.dtype(name), b.shape(name), found))
    return found


def _loop(table: Table, g: Growth) -> Draft:
    attributes("Loop", g.opset)
    first = [g.any(_CARRIED, 0, 4) for _ in range(g.rng.choice((0, 1, 1, 2)))]
    given = {f"p{i}": g.values[name] for i, name in enumerate(first)}
    begin = {"i": exactly(np.array(0)), "c": exactly(np.array(True))}
    by_condition = g.opset >= 9 and g.chance(0.35)
    with g.inside("l", {**begin, **given}) as b:
        taken = [f"{b.prefix}{name}" for name in (*begin, *given)]
        _grown(table, b)
        left = _left(b, taken[2:])
        kept = _some(b, 0 if first else 1, left)
        if by_condition:
            last = b.known(g.rng.choice((0, 1, 2, 3)), "int64")
            (goes_on,) = b.add(Draft("Less", [taken[0], last]))
        else:
            goes_on = _identity(b, taken[1])
        body = _graph(b, taken, (goes_on, *left, *kept))
    count = g.rng.choice((1, 2, 3, 5))
    if by_condition and not kept and g.chance(0.4):
        times = ""
    else:  # what is kept of each iteration has a row for each of so many
        times = _computed(g) or (
            g.known(count, "int64") if kept or g.chance(0.4) else _given(g, count)
        )
    goes = g.known(True) if by_condition else g.pick(("", g.known(True)))
    return Draft("Loop", [times, goes, *first], {"body": body}, len(left) + len(kept))


def _computed(g: Growth) -> str:
    """A small number that is computed, as how many of something were found is; "" for none."""
    there = [
        name
        for name, value in g.values.items()
        if value.array.shape == () and value.array.dtype == np.int64 and value.exact
        and name not in g.constants and name not in g.inputs and 0 < value.array <= _MOST_TIMES
    ]  # fmt: skip
    return str(g.pick(there)) if there and g.chance(0.7) else ""


def _given(g: Growth, number: int) -> str:
    """An input of this number."""
    name = g.new("int64", (), constant=0.0)
    g.inputs[name][...] = number
    return name


def _scan(table: Table, g: Growth) -> Draft:
    if g.opset < 9:
        raise UnfitError
    states = [g.any(_CARRIED, 0, 4) for _ in range(g.rng.choice((0, 1, 1, 2)))]
    x = g.any(_CARRIED, 1)
    axis = g.rng.randrange(len(g.shape(x)))
    scanned, axes = [x], [axis]
    if g.chance(0.3):
        scanned.append(g.new("float32", (g.shape(x)[axis], *g.some_shape(0, 2))))
        axes.append(0)
    turned = [g.rng.choice((0, 0, 1)) for _ in scanned]
    given = {f"p{i}": g.values[name] for i, name in enumerate(states)}
    for i, (name, at, back) in enumerate(zip(scanned, axes, turned, strict=True)):
        step = g.shape(name)[at] - 1 if back else 0
        row = mapped(lambda a, n=step, d=at: np.take(a, n, d), [g.values[name]])
        given[f"r{i}"] = row
    with g.inside("s", given) as b:
        taken = [f"{b.prefix}{name}" for name in given]
        _grown(table, b)
        left = _left(b, taken[: len(states)])
        kept = _some(b, 0 if states else 1, left)
        body = _graph(b, taken, (*left, *kept))
        ranks = [len(b.shape(name)) for name in kept]
    attrs: dict[str, Any] = {"body": body, "num_scan_inputs": len(scanned)}
    if any(axes):
        attrs["scan_input_axes"] = axes
    if any(turned):
        attrs["scan_input_directions"] = turned
    if kept and g.chance(0.3):
        attrs["scan_output_axes"] = [g.rng.randint(0, rank) for rank in ranks]
    if kept and g.chance(0.3):
        attrs["scan_output_directions"] = [g.rng.choice((0, 1)) for _ in kept]
    return Draft("Scan", [*states, *scanned], attrs, len(left) + len(kept))
