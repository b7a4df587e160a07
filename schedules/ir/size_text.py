"""Sizes as texts: read back, and written in C."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import ModelError
from .size import Condition, Size, simplified
from .symbol import NAME, NUMBER

_TOKEN = re.compile(rf"\s*({NAME}|{NUMBER}|//|[-+*%(),])")
_LONGEST = 400  # characters of an expression that is read


def c_text(size: int | Size, names: Mapping[str, str]) -> str:
    """An expression of type ``int64_t`` in C, where names are called as said; divisions round
    down, as their operands are not negative. ``min`` and ``max`` are ``luthier_min`` and
    ``luthier_max``."""
    if isinstance(size, int):
        return f"INT64_C({size})"
    if not size.operands:
        return names[size.operation]

    def write(operand: int | Size) -> str:
        return c_text(operand, names)

    sign = f"luthier_{size.operation}" if size.is_call else size.operation
    return size.written(write, "/" if sign == "//" else sign)


def c_condition(condition: Condition, names: Mapping[str, str]) -> str:
    """A condition in C; see ``c_text``."""
    left, right = (c_text(size, names) for size in (condition.left, condition.right))
    return f"{left} {condition.relation} {right}"


def parse_size(text: str, names: Mapping[str, object]) -> int | Size:
    """Read what ``str`` wrote, over some names; raises ModelError."""
    tokens = _TOKEN.findall(text)
    if len(text) > _LONGEST or "".join(tokens) != "".join(text.split()):
        raise _not_a_size(text)
    reader = _Reader(text, tokens, names)
    size = reader.sum()
    if reader.tokens:
        raise _not_a_size(text)
    return size


def _not_a_size(text: str) -> ModelError:
    return ModelError(f"{text[:80]!r} is not a size such as '12' or '2*tokens+1'")


class _Reader:
    """A recursive descent over the tokens, which it takes from a list that begins with the last."""

    def __init__(self, text: str, tokens: list[str], names: Mapping[str, object]) -> None:
        self.text, self.names, self.tokens = text, names, tokens[::-1]

    def _take(self, *wanted: str) -> str | None:
        return self.tokens.pop() if self.tokens and self.tokens[-1] in wanted else None

    def sum(self) -> int | Size:
        size = self.product()
        while sign := self._take("+", "-"):
            size = simplified(sign, size, self.product())
        return size

    def product(self) -> int | Size:
        size = self.factor()
        while sign := self._take("*", "//", "%"):
            factor = self.factor()
            if sign != "*" and factor == 0:
                raise _not_a_size(self.text)
            size = simplified(sign, size, factor)
        return size

    def factor(self) -> int | Size:
        if self._take("("):
            size = self.sum()
            self._expect(")")
            return size
        token = self.tokens.pop() if self.tokens else ""
        if token.isdigit():
            return int(token)
        if token in ("min", "max") and self._take("("):
            left = self.sum()
            self._expect(",")
            right = self.sum()
            self._expect(")")
            return simplified(token, left, right)
        if not re.fullmatch(NAME, token):
            raise _not_a_size(self.text)
        if token not in self.names:
            raise ModelError(f"nobody says which sizes '{token}' may have")
        return Size.named(token)

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise _not_a_size(self.text)
