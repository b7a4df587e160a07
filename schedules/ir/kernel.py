"""The kernel: what a schedule makes of a workload, ready for LLVM.

A kernel runs as one or more *phases*, one after the other. The work of a phase is cut into
``chunks`` that may run in any order on any worker. Every phase is a C function::

    void phase(void *const *buffers, void *scratch, int32_t begin, int32_t end);

that does the chunks ``begin <= i < end``. ``buffers`` holds the workload's inputs in order (packed
ones in their packed form), then the kernel's ``temps``, then the output. Weights and ``temps``
start at a multiple of 64 bytes; inputs and the output, which may be parts of larger tensors, at a
multiple of their element's size. Kernels of open workloads have one more buffer after the output:
the sizes, ``int64_t`` each, in the order of ``OpenKernel.names``. ``scratch`` is private to the
worker, aligned like the weights, and holds nothing from one call to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .open_workload import OpenWorkload
from .placement import DENSE, Placement
from .size import Condition, Sizes
from .space import Schedule
from .workload import Workload

Array = NDArray[Any]
ALIGNMENT = 64


@dataclass(frozen=True)
class Phase:
    """A TensorIR function with the C signature above, and into how many chunks its work is cut."""

    func: Any  # tvm.tirx.PrimFunc
    chunks: int  # a ``Size`` in kernels of open workloads


@dataclass(frozen=True)
class Packing:
    """The order a schedule wants a constant input in; ``apply`` makes it from the original.

    ``dtype`` is the type of its elements where that is another one than the original's.
    """

    shape: tuple[int, ...]
    apply: Callable[[Array], Array]
    dtype: str | None = None


@dataclass(frozen=True)
class Kernel:
    """A scheduled workload. ``temps`` and ``scratch`` are bytes; see the module's text."""

    workload: Workload
    schedule: Schedule
    phases: tuple[Phase, ...]
    packings: tuple[Packing | None, ...]  # one per workload input
    temps: tuple[int, ...] = ()
    scratch: int = 0
    placement: Placement = DENSE

    def pack(self, index: int, array: Array) -> Array:
        """Constant input ``index`` in the order this kernel reads it, C-contiguous."""
        packing = self.packings[index]
        packed = array if packing is None else packing.apply(array)
        return np.ascontiguousarray(packed)


@dataclass(frozen=True)
class Alternative:
    """A kernel of an open workload, for the sizes for which all conditions hold.

    Its ``workload`` is the one of the sizes that it was written for; ``temps`` and ``scratch`` are
    enough for all that it is for.
    """

    conditions: tuple[Condition, ...]
    kernel: Kernel

    def fits(self, sizes: Sizes) -> bool:
        """Whether it is for these sizes."""
        return all(condition.holds(sizes) for condition in self.conditions)


@dataclass(frozen=True)
class OpenKernel:
    """What computes an open workload: the first alternative that is for the sizes of the moment.

    There is one for all sizes that the workload may have. They read constants in the same order:
    ``pack`` of any of them is that of all.
    """

    workload: OpenWorkload
    names: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    placement: Placement = DENSE

    def at(self, sizes: Sizes) -> Kernel:
        """The kernel for these sizes."""
        return next(a.kernel for a in self.alternatives if a.fits(sizes))

    def pack(self, index: int, array: Array) -> Array:
        """As ``Kernel.pack``."""
        return self.alternatives[0].kernel.pack(index, array)
