"""Vector registers that LLVM must not fill with constants.

Constants of one loop nest stay in registers while the next one runs, whose sums are then in memory
instead, at a third of the speed. What inline assembly overwrites is kept in no register; there is
no instruction in it.
"""

from __future__ import annotations

from ..target.target import Target
from ..tvm_late import tirx
from .builder import PhaseBuilder

_NAME = "luthier_free_registers"


def free_registers(builder: PhaseBuilder, target: Target) -> None:
    """Nothing that was computed before stays in a vector register from here on."""
    names = ",".join(f"~{{xmm{number}}}" for number in range(target.vector_registers))
    builder.define(
        f'define i32 @{_NAME}() alwaysinline {{\n  call void asm sideeffect "", "{names}"()\n'
        "  ret i32 0\n}\n"
    )
    builder.emit(tirx.Evaluate(tirx.call_extern("int32", _NAME)))
