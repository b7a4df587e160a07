"""The states of a loaded model, as NumPy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from ctypes import byref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import InputError, LuthierError, UsageError

from . import binding
from .arrays import typed
from .states import StateNote

if TYPE_CHECKING:
    from .artifact import Artifact

Array = NDArray[Any]
Instance = ctypes.c_void_p
Held = Callable[[], Any]  # gives, for as long as a with statement, the instance


class Memory:
    """What an instance keeps from run to run: arrays by the names of the inputs that they are.

    Entry points of one artifact (``Artifact.entry``) have the states of one name together.
    """

    def __init__(self, model: binding.CModel, notes: Sequence[StateNote], held: Held) -> None:
        """Use ``Artifact.state``."""
        self._model, self._held = model, held
        self._notes = {note.name: (i, note) for i, note in enumerate(notes)}

    @property
    def notes(self) -> tuple[StateNote, ...]:
        """Names and types of the states, in order."""
        return tuple(note for _, note in self._notes.values())

    @property
    def lengths(self) -> dict[str, int]:
        """How much each state that grows holds along its axis."""
        with self._held() as instance:
            grows = ((i, note) for i, note in self._notes.values() if note.axis is not None)
            return {note.name: self._length(instance, i) for i, note in grows}

    def reset(self) -> None:
        """Let all states be as in the beginning: zero, and those that grow empty."""
        error = binding.CError()
        with self._held() as instance:
            _check(self._model.reset(instance, byref(error)), error)

    def read(self) -> dict[str, Array]:
        """What the states hold."""
        with self._held() as instance:
            return {note.name: self._read(instance, i, note) for i, note in self._notes.values()}

    def write(self, arrays: Mapping[str, Any]) -> None:
        """Let some states hold these arrays; raises InputError for what they cannot hold."""
        checked = [self._checked(name, value) for name, value in arrays.items()]
        error = binding.CError()
        with self._held() as instance:
            for i, note, array in checked:
                length = 0 if note.axis is None else array.shape[note.axis]
                data = array.ctypes.data if array.size else None
                status = self._model.write_state(
                    instance, i, data, array.nbytes, length, byref(error)
                )
                _check(status, error)

    def copy_from(self, other: Artifact) -> None:
        """Let all states hold what those of another loaded artifact do.

        Raises InputError where they have not the same names and types.
        """
        if other.state.notes != self.notes:
            raise InputError("its states are others than these")
        self.write(other.state.read())

    def _length(self, instance: Instance, index: int) -> int:
        length, error = ctypes.c_int64(), binding.CError()
        _check(self._model.state_length(instance, index, byref(length), byref(error)), error)
        return length.value

    def _read(self, instance: Instance, index: int, note: StateNote) -> Array:
        shape = list(note.tensor.shape)
        if note.axis is not None:
            shape[note.axis] = self._length(instance, index)
        array, error = np.empty(shape, note.tensor.element.numpy), binding.CError()
        data = array.ctypes.data if array.size else None
        status = self._model.read_state(instance, index, data, array.nbytes, byref(error))
        _check(status, error)
        return array

    def _checked(self, name: str, value: Any) -> tuple[int, StateNote, Array]:
        if name not in self._notes:
            raise UsageError(f"no state is called {name!r}; there are {list(self._notes)}")
        index, note = self._notes[name]
        if not isinstance(value, np.ndarray):
            raise InputError(f"state {name!r} is a {type(value).__name__}, not a NumPy array")
        wanted, axis = note.tensor, note.axis
        value = typed(value, wanted.element.numpy)
        if value.dtype != wanted.element.numpy:
            raise InputError(f"state {name!r} is {value.dtype}, not {wanted.dtype}")
        fits = value.ndim == len(wanted.shape) and all(
            size <= most if i == axis else size == most
            for i, (size, most) in enumerate(zip(value.shape, wanted.shape, strict=True))
        )
        if not fits:
            most = "" if axis is None else f", or less along axis {axis}"
            raise InputError(f"state {name!r} is {value.shape}, not {wanted.shape}{most}")
        return index, note, np.ascontiguousarray(value).reshape(value.shape)


def _check(status: int, error: binding.CError) -> None:
    if status != binding.OK:
        raise LuthierError(binding.text(error))
