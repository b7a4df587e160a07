"""What a cell makes of the sums of its gates, for one hidden unit of one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...ops.recurrent_form import Recurrent
from ...tir.indices import Expr
from ...tvm_late import tirx
from .activations import Quotient, activation

Keep = Callable[[Expr], Expr]


@dataclass(frozen=True)
class Unit:
    """A unit in one step. ``product`` is what h, or r h, makes with the weights of a gate, and
    ``given`` what the input makes; ``load`` reads other vectors of the state, ``operand`` a
    constant of the unit, by name and number. ``store`` keeps one.
    """

    layer: Recurrent
    keep: Keep
    product: Callable[[int], Expr]
    given: Callable[[int], Expr]
    load: Callable[[str], Expr]
    store: Callable[[str, Expr], None]
    operand: Callable[[str, int], Expr]

    def compute(self, number: int) -> None:
        """Pass ``number`` of those of the form."""
        {"lstm": self._lstm, "gru": self._gru, "rnn": self._rnn}[self.layer.cell](number)

    def _total(self, gate: int) -> Expr:
        return self.product(gate) + self.given(gate)

    def _activated(self, which: int, x: Expr, *, clips: bool = True) -> Quotient:
        layer, x = self.layer, self.keep(x)
        if clips and layer.clip:
            low, high = (tirx.const(sign * layer.clip, layer.dtype) for sign in (-1, 1))
            x = self.keep(tirx.Select(x < low, low, x))
            x = self.keep(tirx.Select(x > high, high, x))
        return activation(layer.activations[which], x, layer.dtype, self.keep)

    def _lstm(self, _: int) -> None:
        c = self.keep(self.load("cell"))

        def gate(number: int, peephole: int, c: Expr) -> Quotient:
            x = self._total(number)
            if "peepholes" in self.layer.operands:
                x = x + self.operand("peepholes", peephole) * c
            return self._activated(0, x)

        i = gate(0, 0, c)
        if self.layer.coupled:
            i = Quotient(self.keep(i.value))
            f = Quotient(self._rest(i.above))
        else:
            f = gate(2, 2, c)
        g = self._activated(1, self._total(3))
        c = self.keep(f.times(c) + i.times(g))
        o = gate(1, 1, c)
        h = o.times(self._activated(2, c, clips=False))
        self.store("cell", c)
        self.store("hidden", h)

    def _gru(self, number: int) -> None:
        layer, keep = self.layer, self.keep
        if number == 1:  # the others are known
            z, new = keep(self.load("update")), self._activated(1, self._total(2))
            self._store_mixed(z, new)
            return
        z, r = (self._activated(0, self._total(gate)) for gate in (0, 1))
        if not layer.before:
            self.store("update", z.value)
            self.store("reset", r.times(self.load("hidden")))
            return
        product = self.product(2)
        if "bias" in layer.operands:
            product = product + self.operand("bias", 0)
        new = self._activated(1, self.given(2) + r.times(product))
        self._store_mixed(keep(z.value), new)

    def _store_mixed(self, z: Expr, new: Quotient) -> None:
        self.store("hidden", new.times(self._rest(z)) + z * self.load("hidden"))

    def _rnn(self, _: int) -> None:
        self.store("hidden", self._activated(0, self._total(0)).value)

    def _rest(self, x: Expr) -> Expr:
        return tirx.const(1.0, self.layer.dtype) + -x
