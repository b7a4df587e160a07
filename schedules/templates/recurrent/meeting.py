"""How chunks that may run in any order, on any thread, share the work of each step of a sequence.

A step is cut into parts, and each part is somebody's turn: a chunk claims it, by a counter in
memory, and tells when it is done. Chunks begin with parts of their own, so that each thread keeps
its weights in its cache, and then claim what nobody has: a chunk that runs alone does all of it. A
chunk waits only for what was claimed, which another thread is then computing; so none waits for
ever, wherever and in whichever order chunks run.

TensorIR has no atomic operations; LLVM's are imported as functions, and inlined. The system call
is Linux's sched_yield on x86-64, for where there are more threads than cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...emit.builder import PhaseBuilder
from ...emit.tile import LINE
from ...tir.indices import Expr, Index, divide, modulo
from ...tvm_late import ir, tirx

_ATOMIC = """
define i32 @luthier_claim(ptr %place, i32 %turn) {
entry:
  %now = load atomic i32, ptr %place monotonic, align 4
  %free = icmp eq i32 %now, %turn
  br i1 %free, label %claim, label %taken
claim:
  %next = add i32 %turn, 1
  %pair = cmpxchg ptr %place, i32 %turn, i32 %next acquire monotonic, align 4
  %won = extractvalue { i32, i1 } %pair, 1
  %truth = zext i1 %won to i32
  ret i32 %truth
taken:
  ret i32 0
}
define i32 @luthier_done(ptr %place) {
  %before = atomicrmw add ptr %place, i32 1 release, align 4
  ret i32 %before
}
define i32 @luthier_count(ptr %place) {
  %now = load atomic i32, ptr %place acquire, align 4
  ret i32 %now
}
define i32 @luthier_wait(ptr %place, i32 %least) {
entry:
  br label %look
look:
  %looks = phi i32 [ 0, %entry ], [ %more, %pause ], [ %more, %yield ]
  %now = load atomic i32, ptr %place acquire, align 4
  %there = icmp sge i32 %now, %least
  br i1 %there, label %out, label %pause
pause:
  call void asm sideeffect "pause", "~{memory}"()
  %more = add i32 %looks, 1
  %long = icmp ugt i32 %more, 1000
  br i1 %long, label %yield, label %look
yield:
  %none = call i64 asm sideeffect "syscall",
    "={rax},{rax},~{rcx},~{r11},~{memory}"(i64 24)
  br label %look
out:
  ret i32 %now
}
"""


def counters(parts: int) -> int:
    """Numbers (int32) of one meeting, each in a cache line of its own; zeros at first."""
    return (parts + 1) * LINE


@dataclass(frozen=True)
class Meeting:
    """Of the chunks that share steps: ``part`` of ``parts``, with ``counters`` at ``first``."""

    builder: PhaseBuilder
    buffer: Expr
    first: Index
    part: Index
    parts: int

    def begin(self) -> None:
        """Before any other."""
        code, nothing = ir.StringImm(_ATOMIC), tirx.Evaluate(tirx.const(0, "int32"))
        self.builder.emit(tirx.AttrStmt(ir.StringImm(""), "pragma_import_llvm", code, nothing))

    def rounds_done(self) -> Index:
        """How many rounds are over, at least."""
        return self.builder.let(divide(self._call("count", self.parts), self.parts))

    @contextmanager
    def round(self, number: Index) -> Iterator[Index]:
        """What is written in here is done for each part once, by whichever chunk; and all parts are
        done after it. Round ``number`` comes after those before it."""
        builder = self.builder
        with builder.loop(self.parts, "turn") as turn:
            part = builder.let(modulo(self.part + turn, self.parts))
            with builder.when(self._call("claim", part, number) != 0):
                yield part
                builder.emit(tirx.Evaluate(self._call("done", self.parts)))
        builder.emit(tirx.Evaluate(self._call("wait", self.parts, (number + 1) * self.parts)))

    def _call(self, name: str, which: Index, *numbers: Index) -> Expr:
        """One of the functions on a part's counter; the last one counts parts that are done."""
        element = self.builder.load(self.buffer, self.first + which * LINE)
        place = tirx.call_intrin("handle", "tirx.address_of", element)
        return tirx.call_extern("int32", f"luthier_{name}", place, *numbers)
