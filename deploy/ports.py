"""What an entry point takes and gives, over its sizes, as far as its variants tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from luthier.frontend.program import Entry, OpenTensor, Program
from luthier.schedules import Tensor
from luthier.schedules.ir.size import Size, simplified
from luthier.schedules.ir.size_text import parse_size
from luthier.schedules.ir.symbol import NAME, Symbol

from .entries import UNRULED, Port


def input_ports(entry: Entry) -> tuple[Port, ...]:
    """Its inputs, in order."""
    ports = _ports(entry, [program.inputs for program in entry.variants])
    keys, processing = entry.keys, entry.processing
    return tuple(
        replace(port, keys=keys.get(port.name, ()), processing=processing.get(port.name, ""))
        for port in ports
    )


def output_ports(entry: Entry) -> tuple[Port, ...]:
    """Its outputs, in order."""
    ports = _ports(entry, [program.outputs for program in entry.variants])
    labels, processing = entry.labels, entry.processing
    return tuple(
        replace(port, labels=labels.get(port.name, ()), processing=processing.get(port.name, ""))
        for port in ports
    )


def _ports(entry: Entry, ports: Sequence[Sequence[tuple[str, int]]]) -> tuple[Port, ...]:
    found = []
    for each in zip(*ports, strict=True):
        values = [(program, v) for program, (_, v) in zip(entry.variants, each, strict=True)]
        largest = max((program.values[v] for program, v in values), key=lambda t: t.size)
        types = [(program, program.type(v)) for program, v in values]
        dims = tuple(_dim(entry, types, axis) for axis in range(len(largest.shape)))
        fixed = dims == tuple(map(str, largest.shape))
        name = each[0][0]
        found.append(Port(name, largest, () if fixed else dims, text=name in entry.texts))
    return tuple(found)


def _dim(entry: Entry, types: Sequence[tuple[Program, Tensor | OpenTensor]], axis: int) -> str:
    """A number of a shape as an open variant has it, or as those of fixed sizes suggest."""
    sizes = [tensor.shape[axis] for _, tensor in types]
    for size in sizes:
        if isinstance(size, Size):
            return str(size)
    if len(set(sizes)) == 1:
        return str(sizes[0])
    boxes = [{s.name: s.least for s in program.symbols} for program, _ in types]
    numbers = [size for size in sizes if not isinstance(size, Size)]
    fits = (_line(symbol.name, boxes, numbers) for symbol in entry.symbols)
    return next((str(size) for size in fits if size is not None), UNRULED)


def _line(name: str, boxes: Sequence[Mapping[str, int]], numbers: Sequence[int]) -> Size | None:
    """The multiple of a size, with a sum, that all numbers are; None where there is none."""
    points = sorted({(box[name], number) for box, number in zip(boxes, numbers, strict=True)})
    (x, y), (other_x, other_y) = points[0], points[-1]
    if x == other_x or (other_y - y) % (other_x - x):
        return None
    factor = (other_y - y) // (other_x - x)
    size = simplified("+", simplified("*", Size.named(name), factor), y - factor * x)
    fits = isinstance(size, Size) and all(size.at({name: px}) == py for px, py in points)
    return size if fits and isinstance(size, Size) else None


def is_found(dim: str, found: Sequence[Symbol]) -> bool:
    """Whether a number of a shape, as it is written, has a size that a run finds."""
    words = re.findall(NAME, dim)
    return any(symbol.name in words for symbol in found)


@dataclass(frozen=True)
class Form:
    """Number ``axis`` of input ``port``'s shape is ``terms[0]`` and so many times each size."""

    port: int
    axis: int
    terms: tuple[int, ...]


def forms(entry: Entry, inputs: Sequence[Port]) -> list[Form]:
    """How the inputs' shapes tell the sizes, wherever they do by multiples and sums."""
    names = [symbol.name for symbol in entry.symbols]
    known = dict.fromkeys(names)
    found = []
    for i, port in enumerate(inputs):
        for axis, dim in enumerate(port.dims):
            size = None if dim == UNRULED else parse_size(dim, known)
            terms = _linear(size) if isinstance(size, Size) else None
            if terms is not None and any(terms.get(name) for name in names):
                found.append(Form(i, axis, tuple(terms.get(key, 0) for key in ("", *names))))
    return found


def _linear(size: int | Size) -> dict[str, int] | None:
    """How often each name is in a sum, the number in it under ""; None where it is not a sum."""
    if isinstance(size, int):
        return {"": size}
    if not size.operands:
        return {size.operation: 1}
    if size.operation != "+":
        return None
    found = {}
    for factor, atoms in size.operands:
        if len(atoms) > 1 or any(atom.operands for atom in atoms):
            return None
        found["".join(atom.operation for atom in atoms)] = factor
    return found
