"""Whole numbers that LLVM leaves out of vectors.

It would make vectors of the places of several walks, and gather what they read: one chain of slow
instructions, where scalar loads of all walks overlap. What comes out of inline assembly is a number
by itself; there is no instruction in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...emit.builder import PhaseBuilder
from ...tir.indices import Expr
from ...tvm_late import tirx

_NAME = "luthier_alone"
_SOURCE = f"""
define i32 @{_NAME}(i32 %x) alwaysinline {{
  %y = call i32 asm "", "=r,0"(i32 %x)
  ret i32 %y
}}
"""


@contextmanager
def scalar_scope(builder: PhaseBuilder) -> Iterator[None]:
    """Statements in which ``alone`` may be used."""
    with builder.attributed("pragma_import_llvm", _SOURCE):
        yield


def alone(x: Expr) -> Expr:
    """The same int32."""
    return tirx.call_pure_extern("int32", _NAME, x)
