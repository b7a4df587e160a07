"""How many cycles each way to sort a row takes, where the order of its elements is random.

Measured on Zen 3 with vectors of 32 bytes: within a third for rows of 60 to 100,000 elements, of
which 5 to 300 are wanted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Up to how many wanted a list in order is in registers in lanes, and few elements come into one
# that is kept by itself.
FEW = 16
BLOCK = 64  # elements that are looked at together
_RANKED = 128  # up to how many are put in order by comparing all with all
_ROOM = 4  # times what is wanted is held


def capacity(wanted: int) -> int:
    """How many elements a row's reservoir holds at most."""
    return _ROOM * wanted + BLOCK


@dataclass(frozen=True)
class Cycles:
    """Of a row of ``length`` elements, whose keys have so many ``words`` of 4 bytes, of which some
    are ``wanted``; ``together`` are the rows in lanes, or 0."""

    length: int
    wanted: int
    words: float
    together: int

    def of_all(self) -> dict[str, float]:
        """By way, those that there are."""
        cycles = {"insert": self.insert(), "digits": self.digits()}
        if self.together:
            cycles["lanes"] = self.lanes()
        if capacity(self.wanted) < self.length:
            cycles["reservoir"] = self.reservoir()
        return cycles

    def insert(self) -> float:
        """Comparing all, and moving what comes before the last one so far; of many wanted all may
        come, where the row is in the wrong order."""
        few = self.wanted <= FEW
        moved = self.wanted * (1 + self._log(self.wanted)) if few else self.length
        return 0.45 * self.words * self.length + moved * (40 + self.words * self.wanted)

    def lanes(self) -> float:
        """An entry of all lists takes as long as one; of few each element goes through all."""
        wanted, together = self.wanted, self.together
        if wanted <= FEW:
            return self.length * (3.5 + 3 * wanted) / together
        entries = wanted * (wanted / 2 + self._entering)
        return (4 * self.words * entries + 6 * self.length) / together

    def digits(self) -> float:
        """All are chosen from."""
        chosen = self._choose(self.length) if self.length > self.wanted else 0.0
        return chosen + self._order

    def reservoir(self) -> float:
        """Comparing all, looking at blocks with one that comes before the last so far, choosing."""
        held, near = capacity(self.wanted), BLOCK * self.wanted
        looked = min(self.length - held, 1.25 * near * math.log(1 + self.length / near))
        chosen = self._choose(held) * (1.5 + self._log(held) / 3)
        return chosen + 2 * looked + 0.55 * self.words * self.length + self._order

    def _choose(self, count: int) -> float:
        """From so many."""
        return 250 + 6 * self.words * count

    @property
    def _order(self) -> float:
        """To put what is chosen in order."""
        if self.wanted <= _RANKED:
            return 0.3 * self.words * self.wanted**2
        return 1500 + 30 * self.words * self.wanted

    def _log(self, count: int) -> float:
        """Of the length over so many: sums of chances, one to as many as came before."""
        return math.log(self.length / count)

    @property
    def _entering(self) -> float:
        """Steps after the first ``wanted`` in which the element of any lane's row comes into its
        list."""
        sure = self.wanted * self.together  # until then nearly each step
        if self.length <= sure:
            return self.length - self.wanted
        return sure - self.wanted + sure * self._log(sure)
