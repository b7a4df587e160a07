"""What the run finds by an operator of the graph: images in files, the alignment of sequences."""

from __future__ import annotations

from luthier.schedules import Tensor
from luthier.schedules.ops.images import HEAD, ORDERS, channels

from .decision import Count, Decision

_KIND = "its image is of an unsupported kind (1 JPEG 2000, 2 WebP, 3 a rare one):"


def decoded(d: Decision) -> None:
    """``ImageDecoder``: an image that cannot be read is one without pixels, as the standard says.

    All of it is read before it is known how large it is: what comes late may be broken.
    """
    order, data = str(d.attr("pixel_format", "RGB")), d.type(0)
    if order not in ORDERS:
        raise d.unsupported(f"the pixel format '{order}'")
    if data.dtype != "uint8" or len(data.shape) != 1:
        raise d.unsupported(f"an image in {data}, and not in uint8[bytes],")
    declared = d.declared(3)
    height, width = (
        d.reserved(i, None) if size is None else Count(size, size)
        for i, size in enumerate(declared[:2])
    )
    deep = channels(order)
    room = Tensor((1 + height.most, max(width.most * deep, HEAD)), "uint8")
    sides = {"height": height.most, "width": width.most}
    rows, e = d.operator("decode_image", ["input 0"], room, order=order, **sides), d.spelled
    head = e(
        "Reshape", e.cast(e("Slice", rows, [0, 0], [1, HEAD], [0, 1]), "int64"), [3, HEAD // 3]
    )
    numbers = e.total(e("Mul", head, [1 << 8 * i for i in range(HEAD // 3)]), 1)
    d.expect(e.element(numbers, 2), [0], _KIND)
    for i, count in enumerate((height, width)):
        if count.found:
            d.find(count, e.element(numbers, i))
        else:
            says = f"its image has so many {'columns' if i else 'rows'}:"
            d.expect(e.element(numbers, i), [count.number], says)
    pixels = e("Slice", rows, [1, 0], [1 + height.number, width.number * deep], [0, 1])
    d.give(e("Reshape", pixels, [height.number, width.number, deep], allowzero=1))


def warped(d: Decision) -> None:
    """``DynamicTimeWarping`` of ONNX Runtime's domain: the cheapest way through a matrix."""
    given = d.type(0)
    shape = given.shape[1:] if len(given.shape) == 3 and given.shape[0] == 1 else given.shape
    if len(shape) != 2 or given.dtype != "float32" or not given.size:
        raise d.unsupported(f"a way through {given}")
    most, e = sum(shape) - 1, d.spelled
    matrix = e("Reshape", "input 0", list(shape))
    path = d.operator("warp", [matrix], Tensor((2, most + 1), "int32"))
    there = e("GreaterOrEqual", e.cast(e("Slice", path, [0], [1], [0]), "int64"), 0)
    count = e("ReduceSum", e.cast(there, "int64"), [1], keepdims=0)
    (steps,) = d.settle(count, [d.declared(2)[1]], [most], "its way has so many steps:")
    d.give(e("Slice", path, [0], [steps.number], [1]))
