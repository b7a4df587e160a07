"""Straight parts that are the same at several sizes of a model, imported once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import onnx

from ..graph import Array
from ..onnx.notes import PartNotes
from ..program import Program
from .parts import Straight

_Key: TypeAlias = tuple[Any, ...]
Noted: TypeAlias = Callable[[onnx.ModelProto, Mapping[str, Array]], tuple[Program, PartNotes]]


class Once:
    """What parts of a model became in the imports so far, each at other sizes.

    A part is told by its text, which has the sizes of what it reads and no others, and by where its
    large constants lie in memory, which is kept for as long.
    """

    def __init__(self) -> None:
        self._known: dict[_Key, tuple[Program, PartNotes, Mapping[str, Array]]] = {}

    def of(self, straight: Noted, notes: list[PartNotes]) -> Straight:
        """``straight`` for the parts of one more import, which adds to ``notes``.

        Equal parts of one import stay two, as no two values are one constant for that.
        """
        met = Counter[_Key]()

        def imported(part: onnx.ModelProto, given: Mapping[str, Array]) -> Program:
            text = hashlib.sha256(part.SerializeToString(deterministic=True)).digest()
            arrays = tuple((name, *_place(array)) for name, array in sorted(given.items()))
            met[text, arrays] += 1
            key = text, arrays, met[text, arrays]
            if key not in self._known:
                self._known[key] = *straight(part, given), given
            program, noted, _ = self._known[key]
            notes.append(noted)
            return program

        return imported


def _place(array: Array) -> tuple[Any, ...]:
    """Which elements an array has, while its memory is held."""
    return array.__array_interface__["data"][0], array.dtype.str, array.shape, array.strides
