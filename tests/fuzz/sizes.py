"""Dimensions of a case's inputs become names, where its nodes work at other sizes, too."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from .case import FINDERS, Case, Sizes, every, reads
from .noise import exactly
from .reference import NoReferenceError, compute
from .replicas import Many, of_sequences

SHARE = 0.25  # of all graphs
_LEAST, _MOST = (0, 1, 1, 1, 2, 2, 3), (9, 17, 33, 40)
# Sizes of kernels' tiles, and those beside them.
_EDGES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33)
_RUNS, _RANDOM = 7, 2
_MOST_ELEMENTS = 1 << 15
_NAMES = ("rows", "columns")


def with_names(case: Case) -> Case:
    """The case with one or two named sizes; as it is where it only works at those that it has."""
    rng = random.Random(f"{case.seed} sizes")
    for name in _NAMES[: rng.choice((1, 1, 2))]:
        for dims in _choices(case, name, rng):
            named = replace(
                case, dims=dims, sizes={**case.sizes, name: _some(case, dims, name, rng)}
            )
            if _is_valid(named) and all(works(named.at(sizes)) for sizes in ends(named)):
                case = named
                break
    return case


def _choices(case: Case, name: str, rng: random.Random) -> Iterator[dict[str, tuple[str, ...]]]:
    """All dimensions of one size together, or a single one."""
    free = [
        (n, axis, size)
        for n, array in case.inputs.items()
        for axis, size in enumerate(array.shape)
        if size > 1 and not (n in case.dims and case.dims[n][axis])
    ]
    sizes = sorted({size for *_, size in free})
    rng.shuffle(sizes)
    for size in sizes[:2]:
        same = [(n, axis) for n, axis, other in free if other == size]
        yield _named(case, same, name)
        if len(same) > 1:
            yield _named(case, [rng.choice(same)], name)


def _named(case: Case, places: Sequence[tuple[str, int]], name: str) -> dict[str, tuple[str, ...]]:
    dims = {n: list(case.dims.get(n, ("",) * a.ndim)) for n, a in case.inputs.items()}
    for n, axis in places:
        dims[n][axis] = name
    return {n: tuple(each) for n, each in dims.items() if any(each)}


def _some(case: Case, dims: Mapping[str, Sequence[str]], name: str, rng: random.Random) -> str:
    """A range, or a few sizes, among which is the one that the case has."""
    own = next(
        case.inputs[n].shape[axis]
        for n, each in dims.items()
        for axis, other in enumerate(each)
        if other == name
    )
    if rng.random() < 0.25:
        others = {own, rng.choice(_LEAST), rng.choice(_MOST)}
        return ",".join(map(str, sorted(others)))
    return f"{min(own, rng.choice(_LEAST))}..{max(own, rng.choice(_MOST))}"


def _is_valid(case: Case) -> bool:
    try:
        onnx.checker.check_model(case.model, full_check=True)
    except Exception:
        return False
    return True


def works(case: Case) -> bool:
    """Whether it is a model with these inputs, of which a reference computes what ONNX infers, and
    what it gives is not large."""
    values: dict[str, Any] = {**case.inputs, **case.constants}
    may_be_none = any(array.size == 0 for array in values.values())
    for node in case.nodes:
        may_be_none |= not FINDERS.isdisjoint(each.op_type for each in every([node]))
        try:
            results = _results(node, [values[n] if n else None for n in reads(node)], case.opset)
        except NoReferenceError:
            return False
        arrays = [each for each in results if not isinstance(each, Many)]
        if any(a.size > _MOST_ELEMENTS or (a.size == 0 and not may_be_none) for a in arrays):
            return False
        values.update(zip(node.output, results, strict=True))
    shapes = {n: a.shape for n, a in values.items() if not isinstance(a, Many)}
    return _is_inferred(case, shapes)


def _results(node: onnx.NodeProto, args: Sequence[Any], opset: int) -> list[Any]:
    """Arrays, or a sequence."""
    lifted = [exactly(a) if isinstance(a, np.ndarray) else a for a in args]
    found = of_sequences(node, lifted)
    if found is None:
        return list(compute(node, args, opset))
    return [each if isinstance(each, Many) else each.array for each in found]


def _is_inferred(case: Case, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the results have the shapes that ONNX infers, and the ranks that they had before."""
    model = case.model
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            dim.Clear()
    try:
        graph = onnx.shape_inference.infer_shapes(model, True, True).graph
    except Exception:
        return False
    for value in (*graph.value_info, *graph.output):
        inferred = value.type.tensor_type
        if value.name in shapes and inferred.HasField("shape"):
            dims = inferred.shape.dim
            pairs = zip(dims, shapes[value.name], strict=False)
            if len(dims) != len(shapes[value.name]) or any(
                dim.HasField("dim_value") and dim.dim_value != size for dim, size in pairs
            ):
                return False
    return True


def allowed(text: str) -> list[int]:
    """The sizes that ``1..8`` or ``1,4,8`` stands for, in order."""
    if ".." not in text:
        return sorted(map(int, text.split(",")))
    least, most = map(int, text.split(".."))
    return list(range(least, most + 1))


def ends(case: Case) -> list[Sizes]:
    """All sizes at their least, at their most, and between."""
    every = {name: allowed(text) for name, text in case.sizes.items()}
    places = (0, -1, None)
    return [
        {name: some[len(some) // 2 if place is None else place] for name, some in every.items()}
        for place in places
    ]


def tried(case: Case) -> list[Sizes]:
    """At which sizes a library runs: the ends, edges of tiles and random ones, where the reference
    computes the case."""
    rng = random.Random(f"{case.seed} runs")
    every = {name: allowed(text) for name, text in case.sizes.items()}
    edges = {name: [n for n in some if n in _EDGES] or some for name, some in every.items()}
    corners = [
        dict(zip(every, each, strict=True))
        for each in itertools.product(*((some[0], some[-1]) for some in every.values()))
    ]
    drawn = [{n: rng.choice(some) for n, some in edges.items()} for _ in range(_RUNS)]
    drawn[:_RANDOM] = [{n: rng.choice(some) for n, some in every.items()} for _ in range(_RANDOM)]
    found = {tuple(sizes.items()): sizes for sizes in (*corners, *drawn)}
    return [sizes for sizes in list(found.values())[:_RUNS] if works(case.at(sizes))]


def text(sizes: Sizes) -> str:
    """For people."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def sizes_of(case: Case, fit: Case) -> dict[str, int]:
    """Those that ``fit``, which is the case at some sizes, has."""
    return {
        each: fit.inputs[name].shape[axis]
        for name, dims in case.dims.items()
        for axis, each in enumerate(dims)
        if each
    }


def consistent(case: Case) -> bool:
    """Whether each name stands for one of its sizes, wherever it is."""
    found: dict[str, set[int]] = {name: set() for name in case.sizes}
    for name, dims in case.dims.items():
        if name not in case.inputs or len(dims) != case.inputs[name].ndim:
            return False
        for each, size in zip(dims, case.inputs[name].shape, strict=True):
            if each:
                found[each].add(size)
    return all(len(s) == 1 and s <= set(allowed(case.sizes[name])) for name, s in found.items())


def without_name(case: Case, name: str) -> Case:
    """The case in which that size is what it is in the inputs."""
    dims = {n: tuple("" if d == name else d for d in each) for n, each in case.dims.items()}
    return replace(
        case,
        sizes={n: some for n, some in case.sizes.items() if n != name},
        dims={n: each for n, each in dims.items() if any(each)},
    )


def fixed(case: Case) -> Case:
    """The case without named sizes."""
    return replace(case, sizes={}, dims={})


def smaller(case: Case) -> Iterator[Case]:
    """With fewer names, and with fewer sizes each."""
    if len(case.sizes) > 1:
        yield fixed(case)
    for name, said in case.sizes.items():
        yield without_name(case, name)
        some = allowed(said)
        own = {
            case.inputs[n].shape[axis]
            for n, dims in case.dims.items()
            for axis, each in enumerate(dims)
            if each == name
        }
        cuts = [sorted({some[0], *own}), sorted({some[-1], *own})]
        for few in (each for each in cuts if len(each) < len(some)):
            yield replace(case, sizes={**case.sizes, name: ",".join(map(str, few))})
        if ".." in said:
            (size,) = own
            for least, most in (
                (some[0], size),
                (size, some[-1]),
                (some[0], (size + some[-1]) // 2),
            ):
                if (least, most) != (some[0], some[-1]) and least < most:
                    yield replace(case, sizes={**case.sizes, name: f"{least}..{most}"})
