"""The bytes of tensors, over the sizes that are known only at run time."""

from __future__ import annotations

from luthier.frontend.program import OpenTensor
from luthier.schedules import Tensor
from luthier.schedules.ir.dtype import DType
from luthier.schedules.ir.size import Size

Number = int | Size


def element_bytes(element: DType, count: Number) -> Number:
    """The bytes of some neighbouring elements."""
    return count * element.bytes


def nbytes(tensor: Tensor | OpenTensor) -> Number:
    """The bytes of a tensor, over its sizes."""
    if isinstance(tensor, Tensor):
        return tensor.nbytes
    count: Number = 1
    for size in tensor.shape:
        count = count * size
    return element_bytes(tensor.at(dict.fromkeys(tensor.names, 0)).element, count)
