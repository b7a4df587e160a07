"""What a recurrent node computes, and what its operands are.

For each direction and row of the batch, step by step along a sequence, with h and c the state::

    LSTM  i, f, o = act(x + h R + p c), where o has the new c;  g = act(x + h R)
          c = f c + i g;  h = o act(c)
    GRU   z, r = act(x + h R);  n = act(x + (r h) R), or act(x + r (h R + b)) where ``before``
          h = (1 - z) n + z h
    RNN   h = act(x + h R)

(Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997; Cho et al., *Learning Phrase
Representations using RNN Encoder-Decoder*, 2014). ``x`` are the input's products with its weights,
of all steps, to which biases are added. A sequence may be shorter than the others: its state stays
as it is after its last step, and what a step gives there is 0. Reverse directions begin with the
last step of each sequence. The last state of a sequence that has no step is 0, as in ONNX Runtime.

Operands, by the names in ``operands``; D directions, G gates in ONNX's order, H hidden units:

gates      [steps, batch, D * G * H]  ``x``
weights    [D, H, G * H]              R
bias       [D, H]                     of the GRU's n, where ``before``
hidden     [D, batch, H]              h before the first step; without it, it has no part there
cell       [D, batch, H]              c before the first step
peepholes  [D, 3 * H]                 p of the gates i, o, f
lengths    [batch], int32             steps of each sequence

The result is [rows, D, batch, H]. Its rows are what it ``gives``, in this order: "sequence", h of
each step; "hidden", h after the last; "cell", c after the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..ir.dtype import INT32
from ..ir.workload import Tensor
from .activations import ACTIVATIONS

OPERANDS = ("gates", "weights", "bias", "hidden", "cell", "peepholes", "lengths")
RESULTS = ("sequence", "hidden", "cell")
DIRECTIONS = ((False,), (True,), (False, True))


class Cell(NamedTuple):
    """Gates, and how many activations: of a kind of cell."""

    gates: int
    activations: int


CELLS: Mapping[str, Cell] = {"lstm": Cell(4, 3), "gru": Cell(3, 2), "rnn": Cell(1, 1)}


class Use(NamedTuple):
    """An activation with its numbers."""

    name: str
    alpha: float
    beta: float


@dataclass(frozen=True)
class Recurrent:
    """Attributes and sizes of a node. ``reverse`` has a truth for each direction.

    ``clip`` bounds what gates' activations take, if it is not 0. ``before``: the GRU's r multiplies
    the product of h, not h. ``coupled``: the LSTM's f is 1 - i.
    """

    cell: str
    reverse: tuple[bool, ...]
    activations: tuple[Use, ...]
    clip: float
    before: bool
    coupled: bool
    operands: tuple[str, ...]
    gives: tuple[str, ...]
    steps: int
    batch: int
    hidden: int
    dtype: str

    @property
    def directions(self) -> int:
        """One or two."""
        return len(self.reverse)

    @property
    def gates(self) -> int:
        """Of a cell."""
        return CELLS[self.cell].gates

    @property
    def rows(self) -> int:
        """Of the result."""
        return sum(self.steps if name == "sequence" else 1 for name in self.gives)

    def row(self, name: str) -> int:
        """The first row of what it gives."""
        before = self.gives[: self.gives.index(name)]
        return sum(self.steps if each == "sequence" else 1 for each in before)

    @property
    def output(self) -> Tensor:
        """The result's type."""
        return Tensor((self.rows, self.directions, self.batch, self.hidden), self.dtype)

    @property
    def operations(self) -> int:
        """A multiply-add is two; activations are few beside them."""
        units = self.directions * self.steps * self.batch * self.hidden
        return units * self.gates * 2 * self.hidden


def parse(attrs: Mapping[str, Any], tensors: Sequence[Tensor]) -> Recurrent:
    """Raises ValueError, TypeError or KeyError where they make no layer."""
    cell, operands, gives = attrs["cell"], attrs["operands"], attrs["gives"]
    uses = tuple(Use(str(n), float(a), float(b)) for n, a, b in attrs["activations"])
    reverse = tuple(map(bool, attrs["reverse"]))
    before, coupled, clip = bool(attrs["before"]), bool(attrs["coupled"]), float(attrs["clip"])
    _require(cell in CELLS and reverse in DIRECTIONS, "the cell or its directions")
    _require(len(uses) == CELLS[cell].activations, "the number of activations")
    _require(all(use.name in ACTIVATIONS for use in uses), "the activations")
    _require(all(math.isfinite(n) for use in uses for n in use[1:]), "the activations' numbers")
    _require(math.isfinite(clip) and clip >= 0, "the bound of what activations take")
    _require(bool(gives) and tuple(n for n in RESULTS if n in gives) == gives, "what it gives")
    _require(tuple(n for n in OPERANDS if n in operands) == operands, "the operands' names")
    _require(len(operands) == len(tensors), "the number of operands")
    of_lstm = {"cell", "peepholes"} & {*operands, *gives}
    _require(cell == "lstm" or not (of_lstm or coupled), "what an LSTM alone has")
    _require((cell == "gru" and before) or "bias" not in operands, "a bias")
    _require(cell == "gru" or not before, "what a GRU alone has")
    given = dict(zip(operands, tensors, strict=True))
    steps, batch, width = given["gates"].shape
    directions, hidden, columns = given["weights"].shape
    layer = Recurrent(
        cell, reverse, uses, clip, before, coupled, operands, gives,
        steps, batch, hidden, given["gates"].dtype,
    )  # fmt: skip
    _require(given["gates"].element.is_float, "the type")
    state = (directions, batch, hidden)
    shapes = {
        "gates": (steps, batch, directions * columns),
        "weights": (layer.directions, hidden, layer.gates * hidden),
        "bias": (directions, hidden),
        "hidden": state,
        "cell": state,
        "peepholes": (directions, 3 * hidden),
        "lengths": (batch,),
    }
    for name, tensor in given.items():
        dtype = INT32.name if name == "lengths" else layer.dtype
        _require(tensor == Tensor(shapes[name], dtype), f"{name}, {tensor}")
    _require(width == directions * columns, "gates")
    return layer


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} of a recurrent layer")
