"""A graph that is rewritten with the images of its values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from luthier.schedules import Node, Tensor
from luthier.schedules.ir.workload import Attr
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.ops.quantization import is_step

from ...graph import Array, Graph, Rewriter, made_by
from .image import Image, Known, along_one, number


class Canvas(Rewriter):
    """``images`` are of new values."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.images: dict[int, Image] = {}

    def known(self, value: int) -> Array | None:
        """The array of what is known."""
        if value in self.constants:
            return self.constants[value]
        const = made_by(self, value, "const")
        return evaluate(const, []) if const else None

    def known_along(self, value: int, like: int) -> Known | None:
        """What is known, finite and not larger than ``like``, as numbers of an image of that."""
        array, shape = self.known(value), self.values[like].shape
        if array is None or np.broadcast_shapes(array.shape, shape) != shape:
            return None
        if not np.isfinite(array).all():
            return None
        whole = array.dtype.kind in "iu"
        return along_one(array.astype(np.int64 if whole else np.float64), len(shape))

    def is_single(self, value: int) -> bool:
        """Whether it is one number of a run."""
        return self.values[value].size == 1 and self.known(value) is None

    def steps(self, value: int) -> Image | None:
        """The image of a value, where what is stored has 8 bits, as the value itself may have."""
        image = self.images.get(value)
        tensor = self.values[value]
        if image is None and is_step(tensor.dtype):
            rank = len(tensor.shape)
            image = Image(value, tensor.dtype, number(0, rank), number(1.0, rank))
        if image is None or self.values[image.stored].element.bits != 8:
            return None
        return image

    def sums(self, value: int) -> Image | None:
        """The image of a value, where what is stored are sums."""
        image = self.images.get(value)
        return image if image and self.values[image.stored].element.bits == 32 else None

    def keep(self, node: Node, image: Image) -> int:
        """The node as it is, whose image is this."""
        value = self.add(node)
        self.images[value] = image
        return value

    def shown(self, image: Image) -> int:
        """What an image stands for."""
        if image.dtype != "float32":
            value = self._whole(image)
        elif is_step(self.values[image.stored].dtype):
            value = self._steps(image)
        else:
            value = self._sums(image)
        self.images[value] = image
        return value

    def _whole(self, image: Image) -> int:
        value = self._cast(image.stored, image.dtype)
        if image.run_zero is not None:
            zero = self._cast(self.at_most(image.run_zero, value), image.dtype)
            value = self.emit("subtract", value, zero)
        if image.zero.any():
            value = self.emit("add", value, self._number(-image.zero, image.dtype))
        return value

    def _steps(self, image: Image) -> int:
        stored = self.values[image.stored]
        if image.run_zero is not None:
            zero = self.at_most(image.run_zero, image.stored)
        else:
            low, high = stored.element.limits
            inside = bool(np.all((low <= image.zero) & (image.zero <= high)))
            zero = self._number(image.zero, stored.dtype if inside else "int32")
        value = self.emit("dequantize", image.stored, zero, self._number(image.scale, "float32"))
        return self._at_run(value, image)

    def _sums(self, image: Image) -> int:
        whole = replace(image, dtype="int32", run_zero=None)
        value = self._cast(self._whole(whole), "float32")
        if image.scale.size > 1 or image.scale.item() != 1:
            value = self.emit("multiply", value, self._number(image.scale, "float32"))
        value = self._at_run(value, image)
        if image.offset is not None:
            value = self.emit("add", value, self._number(image.offset, "float32"))
        return value

    def _at_run(self, value: int, image: Image) -> int:
        for scale in image.run_scales:
            value = self.emit("multiply", value, self.at_most(scale, value))
        return value

    def at_most(self, single: int, like: int) -> int:
        """A number of a run with no more dimensions than a value that was moved since."""
        more = len(self.values[single].shape) > len(self.values[like].shape)
        return self.reshaped(single, ()) if more else single

    def _cast(self, value: int, dtype: str) -> int:
        tensor = self.values[value]
        if tensor.dtype == dtype:
            return value
        return self.emit("cast", value, out=Tensor(tensor.shape, dtype))

    def _number(self, known: Known, dtype: str) -> int:
        """A constant; one number has no dimensions, one for each channel no more than it needs."""
        array = known.astype(dtype)
        if array.size == 1:
            return self.constant(array.reshape(()))
        axis = next(i for i, d in enumerate(array.shape) if d > 1)
        return self.constant(array.reshape(array.shape[axis:]))

    def over(self, node: Node, *stored: int) -> int:
        """What a node does, done to other first arguments; to constants at once."""
        args = (*stored, *node.args[len(stored) :])
        tensor = Tensor(node.out.shape, self.values[stored[0]].dtype)
        new = Node(node.op, args, tensor, node.attrs)
        arrays = [self.constants.get(arg) for arg in args]
        found = [array for array in arrays if array is not None]
        if len(found) == len(args):
            return self.constant(evaluate(new, found))
        if node.op == "reshape":
            return self.reshaped(stored[0], node.out.shape)
        return self.add(new)


def with_attr(node: Node, name: str, value: Attr) -> Node:
    """The same with another attribute."""
    attrs = {**dict(node.attrs), name: value}
    return Node(node.op, node.args, node.out, tuple(sorted(attrs.items())))
