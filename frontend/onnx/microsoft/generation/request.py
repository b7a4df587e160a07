"""What a node that generates sequences asks for: numbers that shapes follow from must be known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from luthier.schedules import ModelError

from ..spelling import Spelling

_LONGEST, _MOST_BEAMS = 4096, 128  # ONNX Runtime's bounds


@dataclass(frozen=True)
class Request:
    """``batch`` sequences of ``longest`` tokens at most, each searched by ``beams``.

    ``ends`` is the token that ends one, ``pad`` what follows it.
    """

    batch: int
    longest: int
    ends: int
    pad: int
    beams: int = 1

    @property
    def rows(self) -> int:
        """The sequences that are decoded at once."""
        return self.batch * self.beams

    @staticmethod
    def of(call: Spelling, beams: int = 1) -> Request:
        """Of a node whose first input has a row for each sequence; raises ModelError and
        UnsupportedOperator."""
        longest = known(call, 1, "max_length")
        if not 1 < longest <= _LONGEST:
            raise ModelError(f"{call.label}: its max_length is {longest}, not 2 to {_LONGEST}")
        if not 1 <= beams <= _MOST_BEAMS:
            raise ModelError(f"{call.label}: its num_beams is {beams}, not 1 to {_MOST_BEAMS}")
        ends, pad = (_token(call, name) for name in ("eos_token_id", "pad_token_id"))
        return Request(call.shape(call.x)[0], longest, ends, pad, beams)


def known(call: Spelling, index: int, name: str) -> int:
    """One number that is an input; raises UnsupportedOperator where it is not a constant."""
    value = call.given(index)
    array = call.array(value)
    if array is None:
        raise call.unsupported(
            f"its {name}, from which shapes follow, as a number of run time (make it a constant, "
            f"as by --value {value}=N)"
        )
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ModelError(f"{call.label}: its {name} is not one whole number")
    return int(array.reshape(()))


def number(call: Spelling, index: int, dtype: int, otherwise: float) -> str | None:
    """The name of one number that is an input, of rank 0; None for what changes nothing."""
    value = call.input(index)
    if not value:
        return None
    array = call.array(value)
    if array is not None and array.size == 1 and array.reshape(()) == otherwise:
        return None
    if int(np.prod(call.shape(value))) != 1:
        raise ModelError(f"{call.label}: its input {index} is not one number")
    return call.cast(call.emit("Reshape", value, call.sizes()), dtype)


def mask(call: Spelling, index: int, shape: tuple[int, ...], name: str) -> str:
    """The name of an input of this shape, "" where it is left out."""
    value = call.input(index)
    if value and call.shape(value) != shape:
        raise ModelError(
            f"{call.label}: its {name} is {list(call.shape(value))}, not {list(shape)}"
        )
    return call.cast(value, TensorProto.INT32) if value else ""


def _token(call: Spelling, name: str) -> int:
    token: int = call.attr(name, -1)
    if not 0 <= token < 2**31:
        raise ModelError(f"{call.label}: its {name} is {token}")
    return token
