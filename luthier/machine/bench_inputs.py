"""What timed runs are given: inputs at some sizes, and how much states hold before each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.deploy import Artifact, EntryNote
from luthier.schedules import Tensor
from luthier.schedules.ir.size import Sizes, value
from luthier.schedules.ir.size_text import parse_size

from ..correctness.compare import sample
from ..records.runs import At, combinations

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Given:
    """``sizes`` for people, ``inputs`` of a run, and what ``states`` hold before it.

    ``largest``: whether all sizes are as large as they may be.
    """

    sizes: str
    inputs: Inputs
    states: Inputs
    largest: bool

    def prepare(self, artifact: Artifact) -> None:
        """Let states hold what they are to hold before a run."""
        if self.states:
            artifact.state.write(self.states)


def given(artifact: Artifact, note: EntryNote, at: At) -> list[Given]:
    """What an entry point is timed on at each of some sizes.

    By default it is timed on its sample, or where an older Luthier kept none as large as it may be.
    Where sizes are others than the sample's, they are the sample's elements again and again. Raises
    ArtifactError for a sample that is missing and UsageError for sizes that it may not have.
    """
    found = sample(artifact, note)
    kept = dict(found.inputs) if found else {}
    names = [port.name for port in note.inputs]
    if found and not at:
        inputs = {name: kept[name] for name in names}
        states = {state.name: kept[state.name] for state in note.states}
        sizes = _sizes_of(note, inputs, states)
        text = _text({s.name: sizes[s.name] for s in _symbols(note) if s.name in sizes})
        largest = all(p.tensor.shape == inputs[p.name].shape for p in note.inputs) and all(
            sizes[length.name] == length.most for length in note.lengths
        )
        return [Given(text, inputs, states, largest)]
    return [_at(note, sizes, kept) for sizes in combinations(_symbols(note), at)]


def _at(note: EntryNote, sizes: Sizes, kept: Mapping[str, NDArray[Any]]) -> Given:
    symbols = {symbol.name: symbol for symbol in note.sizes}
    inputs = {}
    for port in note.inputs:
        shape = tuple(int(value(parse_size(d, symbols), sizes)) for d in port.shape_texts)
        inputs[port.name] = _array(kept.get(port.name), Tensor(shape, port.tensor.dtype))
    states = {}
    for state in note.states:
        dims = list(state.tensor.shape)
        if state.axis is not None:
            dims[state.axis] = sizes[state.length]
        tensor = Tensor(tuple(dims), state.tensor.dtype)
        states[state.name] = _array(kept.get(state.name), tensor)
    largest = all(sizes[symbol.name] == symbol.most for symbol in _symbols(note))
    return Given(_text(sizes), inputs, states, largest)


def _array(kept: NDArray[Any] | None, tensor: Tensor) -> NDArray[Any]:
    """Of this type: the kept elements again and again, or else random numbers, or zeros where they
    have to be whole."""
    dtype = tensor.element.numpy
    if kept is not None and kept.size and (kept.dtype, kept.ndim) == (dtype, len(tensor.shape)):
        return _resized(kept, tensor.shape)
    if tensor.element.is_float:
        return np.random.default_rng(0).standard_normal(tensor.shape).astype(dtype)
    return np.zeros(tensor.shape, dtype)


def _symbols(note: EntryNote) -> tuple[Any, ...]:
    return (*note.sizes, *note.lengths)


def _sizes_of(note: EntryNote, inputs: Inputs, states: Inputs) -> dict[str, int]:
    """The sizes that inputs name by a dimension of their own, and those that states have."""
    found: dict[str, int] = {}
    for port in note.inputs:
        found.update(zip(port.shape_texts, inputs[port.name].shape, strict=True))
    for state in note.states:
        if state.axis is not None:
            found[state.length] = states[state.name].shape[state.axis]
    return found


def _text(sizes: Sizes) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def _resized(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """An array of this shape, with the elements again and again."""
    for axis, size in enumerate(shape):
        array = np.take(array, np.arange(size) % array.shape[axis], axis)
    return np.ascontiguousarray(array)
