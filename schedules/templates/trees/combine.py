"""What makes one number of the trees' weights, in TensorIR."""

from __future__ import annotations

from typing import Any

from ...ops.trees import COMBINED
from ...tir.indices import Expr
from ...tir.literals import constant
from ...tvm_late import tirx
from .form import Trees


class Combine:
    """As a form's ensemble combines: it begins with ``start``."""

    def __init__(self, form: Trees) -> None:
        self._how = str(form.node.attr("combine"))
        self.start: Expr = constant(COMBINED[self._how][1], form.layout.dtype)

    def __call__(self, old: Any, new: Any) -> Expr:
        """With one weight more."""
        if self._how == "sum":
            return old + new
        return tirx.Select(new < old if self._how == "min" else new > old, new, old)
