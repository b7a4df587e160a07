"""Smaller cases that fail the same way: fewer nodes, smaller shapes, simpler numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from .case import Case, Port, Setting
from .judge import truths
from .noise import Value
from .reference import Engine
from .sizes import allowed, consistent, ends, smaller
from .trial import trimmed
from .values import DTYPES, Array

Fails = Callable[[Case], bool]
"""Whether a case fails as the first one did."""

Values = dict[str, Value]


def minimise(case: Case, fails: Fails, seconds: float = 60.0) -> Case:
    """The smallest case that was found in ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        smaller = _step(case, fails, end)
        if smaller is None:
            break
        case = smaller
    return case


def _step(case: Case, fails: Fails, end: float) -> Case | None:
    values = _values(case)
    if values is None:
        return None
    for candidate in _candidates(case, values):
        if time.monotonic() > end:
            return None
        declared = _declared(candidate)
        if declared is not None and _size(declared) < _size(case) and fails(declared):
            return declared
    return None


def _size(case: Case) -> tuple[int, ...]:
    """What is to become less, the most important first."""
    arrays = [*case.inputs.values(), *case.constants.values()]
    return (
        len(case.nodes),
        len(case.outputs),
        len(case.sizes),
        sum(len(n.attribute) for n in case.nodes) + sum(len(n.input) for n in case.nodes),
        sum(a.size for a in arrays),
        sum(len(allowed(said)) for said in case.sizes.values()),
        sum(a.ndim for a in arrays),
        sum(map(_plainness, arrays)),
        _setting_size(case.setting),
    )


def _plainness(array: Array) -> int:
    """How many bits its numbers need, about."""
    return sum(len(repr(v)) for v in array.reshape(-1)[:64].tolist())


def _setting_size(setting: Setting) -> int:
    plain = Setting()
    return sum(getattr(setting, n) != getattr(plain, n) for n in Setting.__dataclass_fields__)


def _values(case: Case) -> Values | None:
    try:
        return truths(case, Engine.ORT)
    except Exception:
        return None


def _declared(case: Case) -> Case | None:
    """The case with the types that its outputs now have; None where it is not valid."""
    if not consistent(case):
        return None
    values = _values(case)
    if values is None:
        return None
    arrays = {n: values[n].array for n in case.outputs}
    ports = {n: Port(str(a.dtype), a.shape) for n, a in arrays.items()}
    declared = replace(case, outputs=ports)
    try:
        onnx.checker.check_model(declared.model, full_check=True)
    except Exception:
        return None
    return declared


def _candidates(case: Case, values: Values) -> Iterator[Case]:
    yield from _with_other_outputs(case)
    yield from _cut(case, values)
    yield from _opened(case)
    yield from smaller(case)
    yield from _plainer_settings(case)
    yield from _without_attributes(case)
    yield from _smaller_sizes(case)
    yield from _plainer_numbers(case)


def _with_other_outputs(case: Case) -> Iterator[Case]:
    """One output, of those there are, or of what was inside: the first values first."""
    made = [name for node in case.nodes for name in node.output]
    for name in [*made, *(n for n in case.outputs if n not in made)]:
        if set(case.outputs) != {name}:
            yield trimmed(replace(case, outputs={name: Port("float32", ())}))


def _cut(case: Case, values: Values) -> Iterator[Case]:
    """Without a node: what it gives is an input, or a constant."""
    elsewhere = [_values(case.at(sizes)) for sizes in ends(case)] if case.sizes else []
    for i, node in enumerate(case.nodes):
        rest = (*case.nodes[:i], *case.nodes[i + 1 :])
        if set(node.output) & set(case.outputs) or not all(
            isinstance(values[o], Value) and str(values[o].array.dtype) in DTYPES
            for o in node.output
        ):
            continue
        arrays = {o: values[o].array for o in node.output}
        inputs = {**case.inputs, **arrays}
        dims = {**case.dims, **_dims(case, arrays, elsewhere)}
        yield trimmed(replace(case, nodes=rest, inputs=inputs, dims=dims))
        yield trimmed(replace(case, nodes=rest, constants={**case.constants, **arrays}))
    for i, node in enumerate(case.nodes):
        yield from _bypassed(case, i, node)


def _opened(case: Case) -> Iterator[Case]:
    """What is inside of a branch, or of a loop once, in the place of the node."""
    for i, node in enumerate(case.nodes):
        attrs = {a.name: a.g for a in node.attribute if a.type == a.GRAPH}
        for graph in attrs.values():
            given: dict[str, str] = {}
            constants = dict(case.constants)
            results = [output.name for output in graph.output]
            if node.op_type == "Loop":
                number, goes_on, *taken = (each.name for each in graph.input)
                constants |= {number: np.array(0), goes_on: np.array(True)}
                given, results = dict(zip(taken, node.input[2:], strict=True)), results[1:]
            elif node.op_type != "If":
                continue
            before = [helper.make_node("Identity", [n], [own]) for own, n in given.items()]
            after = [
                helper.make_node("Identity", [inner], [outer])
                for inner, outer in zip(results, node.output, strict=True)
            ]
            made = (*before, *graph.node, *after)
            nodes = (*case.nodes[:i], *made, *case.nodes[i + 1 :])
            yield trimmed(replace(case, nodes=nodes, constants=constants))


def _dims(
    case: Case, arrays: dict[str, Array], elsewhere: list[Values | None]
) -> dict[str, tuple[str, ...]]:
    """The named sizes that values have, by what they are at others."""
    own = {
        name: case.inputs[n].shape[axis]
        for n, dims in case.dims.items()
        for axis, name in enumerate(dims)
        if name
    }
    rows = [(own, arrays)]
    for sizes, values in zip(ends(case) if elsewhere else [], elsewhere, strict=True):
        if values is not None:
            rows.append((dict(sizes), {n: values[n].array for n in arrays}))
    return {
        n: names
        for n, array in arrays.items()
        if any(
            names := tuple(
                _name(own, [(s, a[n].shape[x]) for s, a in rows]) for x in range(array.ndim)
            )
        )
    }


def _name(names: Mapping[str, int], seen: list[tuple[dict[str, int], int]]) -> str:
    """The one that stands for a size wherever it was seen; none where it is always the same."""
    varies = len({size for _, size in seen}) > 1
    fits = (name for name in names if all(sizes[name] == size for sizes, size in seen))
    return next(fits, "") if varies else ""


def _bypassed(case: Case, i: int, node: onnx.NodeProto) -> Iterator[Case]:
    """What a node gives is one of its inputs."""
    if len(node.output) != 1 or node.output[0] in case.outputs:
        return
    for name in dict.fromkeys(n for n in node.input if n):
        rest = []
        for other in (*case.nodes[:i], *case.nodes[i + 1 :]):
            copy = onnx.NodeProto()
            copy.CopyFrom(other)
            inputs = [name if n == node.output[0] else n for n in other.input]
            del copy.input[:]
            copy.input.extend(inputs)
            rest.append(copy)
        yield trimmed(replace(case, nodes=tuple(rest)))


def _plainer_settings(case: Case) -> Iterator[Case]:
    plain = Setting()
    for name in Setting.__dataclass_fields__:
        value = getattr(plain, name)
        if getattr(case.setting, name) != value:
            yield replace(case, setting=replace(case.setting, **{name: value}))


def _without_attributes(case: Case) -> Iterator[Case]:
    for i, node in enumerate(case.nodes):
        for attribute in node.attribute:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.attribute.remove(attribute)
            yield replace(case, nodes=(*case.nodes[:i], copy, *case.nodes[i + 1 :]))


def _smaller_sizes(case: Case) -> Iterator[Case]:
    """Every dimension of a size made smaller, also where constants spell it; or one array's."""
    arrays = {**case.inputs, **case.constants}
    for size in sorted({n for a in arrays.values() for n in a.shape if n > 1}, reverse=True):
        for less in sorted({1, 2, size // 2, size - 1}):
            if 0 < less < size:
                yield _with_arrays(case, {n: _resized(a, size, less) for n, a in arrays.items()})
    for name, array in arrays.items():
        for axis, size in enumerate(array.shape):
            if size > 1:
                for less in sorted({1, size // 2, size - 1}):
                    yield _with_arrays(case, {name: np.take(array, range(less), axis)})
        if array.ndim and array.shape[0] == 1:
            yield _with_arrays(case, {name: array[0]})


def _resized(array: Array, size: int, less: int) -> Array:
    index = tuple(slice(0, less) if n == size else slice(None) for n in array.shape)
    cut = array[index]
    if array.dtype == np.int64 and array.ndim <= 1:
        cut = np.where(cut == size, less, cut)
    return np.asarray(cut, array.dtype)


def _plainer_numbers(case: Case) -> Iterator[Case]:
    arrays = {**case.inputs, **case.constants}
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        with np.errstate(all="ignore"):
            for plain in (np.ones_like(array), np.round(array), np.round(array * 4) / 4):
                yield _with_arrays(case, {name: plain.astype(array.dtype)})
            finite = np.where(np.isfinite(array), array, 1)
            yield _with_arrays(case, {name: finite.astype(array.dtype)})


def _with_arrays(case: Case, arrays: dict[str, Array]) -> Case:
    return replace(
        case,
        inputs={n: arrays.get(n, a) for n, a in case.inputs.items()},
        constants={n: arrays.get(n, a) for n, a in case.constants.items()},
    )
