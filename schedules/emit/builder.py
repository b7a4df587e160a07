"""Writes a phase: TensorIR statements, in program order, with Python's ``with`` as the nesting.

The templates use this instead of constructing TensorIR nodes by hand::

    phase = PhaseBuilder(buffers)
    with phase.chunk_loop() as i, phase.loop(4) as j:
        phase.store(out, i * 4 + j, phase.load(a, i * 4 + j) * 2.0)
    return phase.finish(chunks=n)

All buffers are one-dimensional. Loops marked as vectors are scalar code here; TVM's VectorizeLoop
makes vector instructions of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from ..errors import ScheduleError
from ..ir.kernel import Phase
from ..ir.size import Size, assumed, fixed, size_variable
from ..late import late
from ..tir.indices import Expr, Index, ceildiv, divide, modulo, tail
from ..tir.literals import constant
from ..tir.statements import attributed, sequence
from ..tvm_late import ir, tirx
from .slot import Slot

__all__ = ["PhaseBuilder", "Slot"]
_sym, _analysis = late("tvm.sym"), late("tvm.tirx.analysis")
_MOST_ELEMENTS = 2**31 - 1


class PhaseBuilder:
    """Collects the statements of one phase."""

    def __init__(self, slots: Sequence[Slot], sizes_at: int | None = None) -> None:
        """``sizes_at`` is the place in ``buffers`` of sizes that are known only at run time: by
        default after the slots.
        """
        self.begin = tirx.Var("begin", "int32")
        self.end = tirx.Var("end", "int32")
        self._table = tirx.Var("buffers", ir.PointerType(ir.PrimType("uint64"), "global"))
        self._scratch = tirx.Var("scratch", ir.PointerType(ir.PrimType("uint8"), "global"))
        self._blocks: list[list[Any]] = [[]]
        self._names = 0
        self._lane: tuple[Index, int, int] = (0, 1, -1)  # index, lanes, where its loop is written
        self._after: list[Callable[[], None]] = []  # what is written after that
        self._scope: int | None = None  # the block that ``invariant`` writes to
        self._inner: set[str] = set()  # variables that are made inside of it
        self._sources: dict[str, None] = {}
        self._bounds = _sym.Analyzer()
        used = [s.position for s in slots if s.position is not None]
        after = max(used, default=0) + 1
        self._buffers = self._declare(slots, after, after if sizes_at is None else sizes_at)
        self._pitches = {slot.name: slot.pitch for slot in slots}

    def _declare(self, slots: Sequence[Slot], after: int, sizes_at: int) -> dict[str, Any]:
        assumption = assumed()
        extent = after if assumption is None else sizes_at + 1
        table = tirx.decl_buffer((extent,), "uint64", "table")
        self.emit(tirx.DeclBuffer(table, data=self._table))
        if assumption is not None:
            self._bind_sizes(assumption.names, tirx.BufferLoad(table, [sizes_at]))
        buffers = {}
        for slot in slots:
            if slot.span > _MOST_ELEMENTS:
                raise ScheduleError(f"{slot.tensor} has more elements than 32-bit indices reach")
            dtype = slot.tensor.element.storage
            pointer = tirx.Var(f"p_{slot.name}", ir.PointerType(ir.PrimType(dtype), "global"))
            if slot.position is None:
                base = tirx.call_intrin("uint64", "tirx.reinterpret", self._scratch)
                address = base + constant(slot.offset, "uint64")
            else:
                address = tirx.BufferLoad(table, [slot.position])
            self.emit(tirx.Bind(pointer, tirx.call_intrin(pointer.ty, "tirx.reinterpret", address)))
            span = slot.span.expression if isinstance(slot.span, Size) else max(1, slot.span)
            buffer = tirx.decl_buffer((span,), dtype, slot.name, data_alignment=64)
            self.emit(tirx.DeclBuffer(buffer, data=pointer))
            buffers[slot.name] = buffer
        return buffers

    def _bind_sizes(self, names: Sequence[str], address: Expr) -> None:
        """Give sizes that are known only at run time their numbers."""
        pointer = tirx.Var("p_sizes", ir.PointerType(ir.PrimType("int64"), "global"))
        self.emit(tirx.Bind(pointer, tirx.call_intrin(pointer.ty, "tirx.reinterpret", address)))
        sizes = tirx.decl_buffer((len(names),), "int64", "sizes")
        self.emit(tirx.DeclBuffer(sizes, data=pointer))
        for i, name in enumerate(names):
            number = tirx.Cast("int32", tirx.BufferLoad(sizes, [i]))
            self.emit(tirx.Bind(size_variable(name), number))

    def __getitem__(self, name: str) -> Any:
        return self._buffers[name]

    def pitch(self, name: str) -> int | None:
        """Elements from one row of a slot to the next; None where they follow one another."""
        return self._pitches[name]

    def emit(self, statement: Any) -> None:
        """Append a statement."""
        self._blocks[-1].append(statement)

    def alias(self, buffer: Any, original: Any) -> None:
        """Let ``buffer``, made elsewhere, stand for the memory of ``original``."""
        self.emit(tirx.DeclBuffer(buffer, data=original.data))

    def _fresh(self, name: str) -> str:
        self._names += 1
        return f"{name}{self._names}"

    def local(self, size: int, dtype: str = "float32") -> Any:
        """A small array of this worker, which LLVM keeps in registers where indices are known."""
        buffer = tirx.decl_buffer((size,), dtype, self._fresh("local"), scope="local")
        self._inner.add(buffer.name)
        self.emit(tirx.AllocBuffer(buffer))
        return buffer

    def beside(self, size: int, dtype: str) -> tuple[Any, Index]:
        """The same outside of the vector loop that is being written, and the index in that."""
        buffer = tirx.decl_buffer((size,), dtype, self._fresh("held"), scope="local")
        self._inner.add(buffer.name)
        self._blocks[self._lane[2]].append(tirx.AllocBuffer(buffer))
        return buffer, self._lane[0]

    def after(self, write: Callable[[Expr, int], None]) -> None:
        """Let ``write``, given lane and lanes of the vector loop, write after it; or here."""
        self._after.append(partial(write, *self._lane[:2]))
        if self._lane[1] == 1:
            self._after.pop()()

    def load(self, buffer: Any, index: Index) -> Expr:
        """One element."""
        return tirx.BufferLoad(buffer, [index])

    def store(self, buffer: Any, index: Index, value: Expr) -> None:
        """Write one element."""
        self.emit(tirx.BufferStore(buffer, value, [index]))

    def prefetch(self, buffer: Any, index: Index, level: int = 1) -> None:
        """Ask for the cache line of an element, which may lie after the buffer's end; into the
        caches from ``level`` on.
        """
        address = tirx.call_intrin("handle", "tirx.address_of", tirx.BufferLoad(buffer, [index]))
        ahead = [tirx.const(n, "int32") for n in (0, 4 - level, 1)]  # to read, how near, data
        self.emit(tirx.Evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch", address, *ahead)))

    def let(self, value: Expr, name: str = "v") -> Expr:
        """Name a value, so that it is computed once."""
        if isinstance(value, (int, float, Size, tirx.IntImm, tirx.FloatImm)):
            return value
        variable = tirx.Var(self._fresh(name), value.ty)
        self._inner.add(variable.name)
        self.emit(tirx.Bind(variable, value))
        return variable

    def keep(self, value: Expr) -> Expr:
        """``let`` for data. TVM's simplifier writes named values out again wherever they are used,
        so a chain of values that are used twice would double with each; memory it leaves alone, and
        LLVM makes registers of it.
        """
        if isinstance(value, (tirx.IntImm, tirx.FloatImm)):
            return value
        if self._is_invariant(value):
            return self.invariant(value)
        buffer, lane = self.beside(self._lane[1], value.ty.dtype)
        self.store(buffer, lane, value)
        return self.load(buffer, lane)

    @contextmanager
    def invariant_scope(self) -> Iterator[None]:
        """Loops that follow stand here: ``invariant`` computes before them what they leave alone.

        LLVM cannot move loads there itself: a store in the loop might change what they read.
        """
        before, inner = self._scope, self._inner
        self._scope, self._inner = len(self._blocks) - 1, set()
        yield
        self._scope, self._inner = before, inner | self._inner

    def invariant(self, value: Expr, otherwise: Callable[[Expr], Expr] | None = None) -> Expr:
        """The value, computed once before the loops in ``invariant_scope`` where none changes it.

        Else ``otherwise(value)``, or as it is. It goes through memory, for ``keep``'s reason.
        """
        if not self._is_invariant(value):
            return otherwise(value) if otherwise else value
        assert self._scope is not None
        buffer = tirx.decl_buffer((1,), value.ty.dtype, self._fresh("fixed"), scope="local")
        before = self._blocks[self._scope]
        before += [tirx.AllocBuffer(buffer), tirx.BufferStore(buffer, value, [0])]
        return self.load(buffer, 0)

    def _is_invariant(self, value: Expr) -> bool:
        """Whether there is a scope, and nothing made inside of it changes the value."""
        if self._scope is None or isinstance(value, (int, float, tirx.IntImm, tirx.FloatImm)):
            return False
        return not any(v.name in self._inner for v in _analysis.undefined_vars(value))

    def proves(self, condition: Expr) -> bool:
        """Whether the bounds of the loops that are being written make ``condition`` true."""
        return bool(self._bounds.can_prove(condition))

    @contextmanager
    def _apart(self, statement: Callable[[Any], Any]) -> Iterator[None]:
        """What is written is the body of a statement."""
        self._blocks.append([])
        yield
        self.emit(statement(sequence(self._blocks.pop())))

    @contextmanager
    def _loop(self, begin: Index, extent: Index, kind: Any, name: str) -> Iterator[Expr]:
        variable = tirx.Var(self._fresh(name), "int32")
        self._inner.add(variable.name)
        if isinstance(begin, int) and isinstance(extent, int | Size):
            self._bounds.bind(variable, ir.Range.from_min_extent(begin, extent))
        with self._apart(lambda body: tirx.For(variable, begin, extent, kind, body)):
            yield variable

    @contextmanager
    def loop(self, extent: Index, name: str = "i", begin: Index = 0) -> Iterator[Expr]:
        """A serial loop from ``begin``; a loop known to run once leaves no trace."""
        if isinstance(extent, int) and extent == 1:
            yield begin
            return
        with self._loop(begin, extent, tirx.ForKind.SERIAL, name) as variable:
            yield variable

    @contextmanager
    def unrolled(self, extent: int, name: str = "u") -> Iterator[Expr]:
        """A loop whose body is repeated ``extent`` times."""
        with self._loop(0, extent, tirx.ForKind.UNROLLED, name) as variable:
            yield variable

    @contextmanager
    def vector(self, lanes: int) -> Iterator[Expr]:
        """The lanes of one vector."""
        if lanes == 1:
            yield 0
            return
        outside = len(self._blocks) - 1
        with self._loop(0, lanes, tirx.ForKind.VECTORIZED, "lane") as variable:
            self._lane = (variable, lanes, outside)
            yield variable
            self._lane = (0, 1, -1)
        after, self._after = self._after, []
        for write in after:
            write()

    @contextmanager
    def chunk_loop(self) -> Iterator[Expr]:
        """The chunks that this call was given."""
        count = self.end - self.begin
        with self._loop(self.begin, count, tirx.ForKind.SERIAL, "chunk") as variable:
            yield variable

    @contextmanager
    def when(self, condition: Expr) -> Iterator[bool]:
        """Statements that run where ``condition`` holds, there."""
        with self._apart(lambda body: tirx.IfThenElse(condition, body, None)):
            yield True

    def repeated(self, condition: Expr) -> AbstractContextManager[None]:
        """Statements that run again and again while ``condition``, of what they store, holds."""
        return self._apart(lambda body: tirx.While(condition, body))

    def attributed(self, key: str, value: str) -> AbstractContextManager[None]:
        """Statements with an attribute of TVM's."""
        return self._apart(lambda body: attributed(key, value, body))

    def define(self, source: str) -> None:
        """Let the phase call the functions of ``source``, which is in LLVM's language."""
        self._sources[source] = None

    def strips(self, extent: int, lanes: int) -> Iterator[Expr]:
        """Passes over ``range(extent)`` in vectors: full ones, then a tail of halved ones; of an
        extent that is known only at run time one by one.
        """
        if not isinstance(extent, int):
            full, rest = divide(extent, lanes), modulo(extent, lanes)
            with self.loop(full, "strip") as i, self.vector(lanes) as lane:
                yield i * lanes + lane
            if rest != 0 or not isinstance(rest, int):
                with self.loop(rest, "rest") as i:
                    yield full * lanes + i
            return
        full = extent // lanes
        if full:
            with self.loop(full, "strip") as i, self.vector(lanes) as lane:
                yield i * lanes + lane
        for offset, width in tail(full * lanes, extent, lanes):
            with self.vector(width) as lane:
                yield offset + lane

    def pieces(self, extent: Index, size: int, name: str) -> Iterator[tuple[Index, int]]:
        """(begin, size) of the pieces of ``range(extent)``: full ones, then the rest.

        The rest of an extent that is known only at run time comes in powers of two.
        """
        full, rest = divide(extent, size), modulo(extent, size)
        if not isinstance(extent, int):
            with self.loop(full, name) as i:
                yield i * size, size
            if rest != 0 or not isinstance(rest, int):
                yield from self._halves(full * size, self.let(rest), size)
            return
        if full:
            with self.loop(full, name) as i:
                yield i * size, size
        if rest:
            yield full * size, rest

    def _halves(self, begin: Index, rest: Index, size: int) -> Iterator[tuple[Index, int]]:
        """``rest`` elements from ``begin`` on, fewer than ``size``, the larger pieces first."""
        for width in (2**i for i in reversed(range((size - 1).bit_length()))):
            with self.when(tirx.bitwise_and(rest, width) != 0):
                yield begin + tirx.bitwise_and(rest, -2 * width), width

    def block(self, index: Index, size: int, total: int) -> Iterator[tuple[Index, int]]:
        """(begin, extent) of block ``index`` of those of ``size`` that cover ``total``.

        Twice, each in a branch of its own, where the last block is narrower than the others. If
        the total is known only at run time and not less than one block, the last one reaches back
        into the one before instead.
        """
        if isinstance(total, Size):
            if total >= size:
                yield tirx.min(index * size, total - size), size
                return
            total = fixed(total)
        last = ceildiv(total, size) - 1
        rest = total - last * size
        if last == 0 or rest == size:
            yield index * size, rest
            return
        with self.when(index < last):
            yield index * size, size
        with self.when(index == last):
            yield index * size, rest

    def finish(self, chunks: int) -> Phase:
        """The phase; the builder is spent."""
        body = sequence(self._blocks.pop())
        for source in self._sources:
            body = attributed("pragma_import_llvm", source, body)
        func = tirx.PrimFunc([self._table, self._scratch, self.begin, self.end], body)
        return Phase(func.with_attr("tirx.noalias", True), chunks)
