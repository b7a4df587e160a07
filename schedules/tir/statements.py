"""Statements of TensorIR, put together."""

from __future__ import annotations

from typing import Any

from ..tvm_late import ir, tirx


def attributed(key: str, value: str, body: Any) -> Any:
    """A statement with an attribute that TVM's code generation reads."""
    return tirx.AttrStmt(tirx.const(0, "int32"), key, ir.StringImm(value), body)


def sequence(statements: list[Any]) -> Any:
    """One after another; none does nothing."""
    if not statements:
        return tirx.Evaluate(tirx.const(0, "int32"))
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(statements)
