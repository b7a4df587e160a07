"""A call of the function in C that reads images: see ``native/images/image.c``.

What is left of a file follows from what came before, so there is one chunk.
"""

from __future__ import annotations

from typing import Any

from ...emit.builder import PhaseBuilder, Slot
from ...ir.size import Size
from ...ir.workload import Tensor
from ...ops.images import ORDERS, work
from ...tir.indices import Expr
from ...tvm_late import tirx
from ..alone import NoKnobs
from ..form import Emitted
from ..slots import phase_builder
from .form import Images


def kernel(form: Images, knobs: NoKnobs) -> Emitted:
    """One phase; what the function works with is a temporary."""
    height, width, order = (form.node.attr(name) for name in ("height", "width", "order"))
    (size,), pitch = form.workload.inputs[0].shape, form.workload.output.shape[1]
    room = work(height, width)
    builder = phase_builder(form, {}, [Slot(1, "work", Tensor((room,), "uint8"))], temps=1)
    length: Any = size.expression if isinstance(size, Size) else size
    numbers = [tirx.const(n, "int32") for n in (height, width, pitch, ORDERS.index(order))]
    data, out, place = (_address(builder, name) for name in ("in0", "out", "work"))
    count = tirx.Cast("int32", length) if isinstance(size, Size) else tirx.const(length, "int32")
    with builder.chunk_loop():
        call = ("luthier_decode_image", data, count, out, *numbers, place)
        builder.emit(tirx.Evaluate(tirx.call_extern("int32", *call)))
    return Emitted((builder.finish(1),), temps=(room,))


def _address(builder: PhaseBuilder, name: str) -> Expr:
    return tirx.call_intrin("handle", "tirx.address_of", builder.load(builder[name], 0))
