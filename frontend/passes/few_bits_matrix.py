"""What a matrix of few bits is, that a model computes of constants.

What exporters write of such a matrix, in whatever operators, is a constant of 8 bits or fewer,
cast, less zero points, times scales, and moved around. Here these are undone in NumPy: numbers,
zero points and scales go through the same movements, the latter two as few as they are. What then
is the same along the depth for some neighbours is a block. A matrix of which that is not so is left
to constant folding, which makes it float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from luthier.schedules import Node, ops
from luthier.schedules.ir.dtype import DTYPES, DType, Kind
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.ops.few_bits import FLOATS, WORD, packed

from ..graph import Array, Graph
from .shared_numbers import Shared, cast, combined, together

LEAST = 1 << 14  # elements: below it a matrix is in the nearest cache either way
_BLOCKS = (256, 128, 64, 32, 16)
_STORED = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 4, 8))
_SLAB = 64  # columns of bytes that are transposed at once: a line of the cache
# How numbers may be stored: in so many bits, less so much.
_CODES = ((2, 0), (2, 2), (4, 0), (4, 8), (8, 0), (8, 128))


@dataclass(frozen=True)
class Matrix:
    """``(numbers - zeros) * scales``, the latter two of the numbers' shape. Numbers that are floats
    have no zeros."""

    numbers: Array
    zeros: Shared
    scales: Shared

    def moved(self, node: Node, operator: ops.Movement) -> Matrix:
        """After a movement of data."""
        numbers = np.asarray(operator.evaluate(node, self.numbers))  # of its own type
        return Matrix(numbers, self.zeros.moved(node, operator), self.scales.moved(node, operator))

    def transposed(self) -> Matrix:
        """With rows and columns exchanged."""
        return Matrix(self.numbers.T, self.zeros.transposed, self.scales.transposed)


def matrix_of(graph: Graph, value: int) -> Matrix | None:
    """What a value is, that is computed of constants alone; None where it is something else."""
    way = way_from_constant(graph, value, _may_follow)
    if way is None:
        return None
    source, nodes = way
    found = _stored(graph.constants[source])
    for node in nodes:
        found = None if found is None else _after(graph, node, found)
    return found


def way_from_constant(
    graph: Graph, value: int, follows: Callable[[Node], bool]
) -> tuple[int, list[Node]] | None:
    """The constant that a value is made of by nodes that follow each other by their first
    argument, and these in order; None where there is another node on the way."""
    nodes = list[Node]()
    while value not in graph.constants:
        op = graph.producer.get(value)
        if op is None or not follows(op.node):
            return None
        nodes.append(op.node)
        value = op.node.args[0]
    return value, nodes[::-1]


def _may_follow(node: Node) -> bool:
    """Whether a matrix may still be one after it."""
    return node.op in ("cast", "dequantize", "multiply", "subtract") or is_movement(node)


def is_movement(node: Node) -> bool:
    """Whether a node moves elements of one value."""
    return len(node.args) == 1 and isinstance(ops.OPERATORS.get(node.op), ops.Movement)


def _stored(array: Array) -> Matrix | None:
    dtype = str(array.dtype)
    if dtype not in _STORED | FLOATS:
        return None
    zeros, scales = (Shared.all(np.float32(n), array.shape) for n in (0, 1))
    return Matrix(array if dtype in FLOATS else _bytes(array, DTYPES[dtype]), zeros, scales)


def _bytes(array: Array, element: DType) -> Array:
    """Whole numbers in 8 bits; of fewer, the lower ones of a byte count."""
    if element.bits == 8:
        return array
    unused = 8 - element.bits
    whole = array.view(np.uint8) << unused
    return np.asarray((whole.view(np.int8) if element.kind is Kind.INT else whole) >> unused)


def _after(graph: Graph, node: Node, inner: Matrix) -> Matrix | None:
    """What becomes of a matrix by an operator; None where that is none any more."""
    if node.op == "cast":
        return inner if _keeps(node.out.dtype, inner) else None
    operator = ops.of(node)
    if isinstance(operator, ops.Movement) and len(node.args) == 1:
        return inner.moved(node, operator) if _moves(node) else None
    others = [_known(graph, arg) for arg in node.args[1:]]
    known = [cast(shared, "float32") for shared in others if shared is not None]
    if len(known) != len(others) or inner.numbers.shape != node.out.shape:
        return None
    if node.op == "multiply":
        return replace(inner, scales=combined(np.multiply, inner.scales, known[0]))
    if (
        node.op not in ("dequantize", "subtract")
        or str(inner.numbers.dtype) in FLOATS
        or not bool((inner.scales.values == 1).all())
    ):
        return None
    zeros = combined(np.add, inner.zeros, known[0])
    scales = known[1].spread(inner.numbers.shape) if len(known) > 1 else inner.scales
    return replace(inner, zeros=zeros, scales=scales)


def _keeps(dtype: str, inner: Matrix) -> bool:
    """Whether a type holds what there is; that one of 16 bits rounds it is left out."""
    floats = str(inner.numbers.dtype) in FLOATS
    if dtype in ("int32", "int16"):
        return not floats and bool((inner.scales.values == 1).all())
    if dtype == "float16":
        largest = np.abs(inner.scales.values).max() * (np.abs(inner.zeros.values).max() + 256)
        return not floats and bool(largest <= np.finfo(dtype).max)
    return dtype in ("float32", "bfloat16")


def _moves(node: Node) -> bool:
    """Whether a movement gives elements as they are, and zeros."""
    zeros = node.attr("mode", "constant") != "constant" or node.attr("value", 0) == 0
    return node.op in ("reshape", "transpose", "slice", "broadcast_to", "pad") and zeros


def _known(graph: Graph, value: int) -> Shared | None:
    """The elements of a value that is computed of constants alone."""
    needed = _needed(graph, value)
    if needed is None:
        return None
    found = dict[int, Shared]()
    for each in needed:
        found[each] = (
            Shared.of(graph.constants[each])
            if each in graph.constants
            else _computed(graph.producer[each].node, found)
        )
    return found[value]


def _needed(graph: Graph, value: int) -> list[int] | None:
    """What a value is computed of, in order; None where not all of that may be known."""
    found, left = set[int](), [value]
    while left:
        each = left.pop()
        if each in found:
            continue
        found.add(each)
        op = graph.producer.get(each)
        if each in graph.constants:
            continue
        if op is None or op.node.op not in ops.OPERATORS or op.node.out.size > 1 << 26:
            return None
        left += op.node.args
    return sorted(found)  # what is computed later has the higher number


def _computed(node: Node, found: Mapping[int, Shared]) -> Shared:
    known = [found[arg] for arg in node.args]
    operator = ops.of(node)
    if isinstance(operator, ops.Movement) and len(known) == 1:
        return known[0].moved(node, operator)
    return Shared.of(np.asarray(evaluate(node, [shared.dense for shared in known])))


@dataclass(frozen=True)
class Coded:
    """A matrix as ``matmul_few_bits`` takes it."""

    codes: Array
    scales: Array | None
    zeros: Array | None
    bits: int
    block: int

    def divided(self, block: int, depth: int) -> Coded | None:
        """The same in blocks of another size; None where these have several scales."""
        whole = self.codes.dtype == np.int8
        if not whole or self.scales is None or block * self.bits % WORD:
            return None
        if self.block % block and self.scales.shape[1] > 1:
            return None
        blocks = -(-depth // block)
        each = np.arange(blocks) * block // self.block
        zeros = None if self.zeros is None else self.zeros[:, each]
        codes = np.zeros((len(self.codes), blocks * block * self.bits // 8), np.int8)
        used = min(codes.shape[1], self.codes.shape[1])
        codes[:, :used] = self.codes[:, :used]
        return replace(self, codes=codes, scales=self.scales[:, each], zeros=zeros, block=block)


def coded(matrix: Matrix) -> Coded | None:
    """[k, n] as codes of [n, k]; None where blocks are too small, or anything is not finite."""
    numbers = matrix.numbers
    if numbers.ndim != 2 or numbers.size < LEAST:
        return None
    k, n = numbers.shape
    zeros, scales, (_, each) = together(matrix.zeros.transposed, matrix.scales.transposed)
    if not (np.isfinite(zeros).all() and np.isfinite(scales).all()):
        return None
    block = _block(k, each, (zeros, scales))
    if block is None:
        return None
    blocks = -(-k // block)
    begins = np.arange(blocks) * block // each  # of values
    zeros, scales = (
        np.ascontiguousarray(np.broadcast_to(a[:, begins if a.shape[1] > 1 else [0]], (n, blocks)))
        for a in (zeros, scales)
    )
    if str(numbers.dtype) in FLOATS:
        rows = _floats(numbers, blocks * block)
        return rows if rows is None else Coded(rows, scales, None, 8, block)
    low, high = int(numbers.min()), int(numbers.max())
    bits, middle = next(
        (bits, middle)
        for bits, middle in _CODES
        if low - middle >= -(2 ** (bits - 1))
        and high - middle < 2 ** (bits - 1)
        and block * bits % WORD == 0
    )
    zeros = zeros - np.float32(middle)
    codes = packed(_rows(numbers, blocks * block, middle), bits)
    return Coded(codes, scales, zeros if zeros.any() else None, bits, block)


def _floats(numbers: Array, width: int) -> Array | None:
    """The same of floats, which must all be finite."""
    codes, every = numbers.view(np.uint8), np.arange(256, dtype=np.uint8)
    infinite = every[~np.isfinite(every.view(numbers.dtype).astype(np.float32))]
    if any((codes == code).any() for code in infinite):
        return None
    return _rows(codes, width, 0).view(numbers.dtype)


def _rows(numbers: Array, width: int, middle: int) -> Array:
    """[k, n], less what is in the middle, as [n, width] in int8, zeros after the last."""
    k, n = numbers.shape
    whole = numbers.T.view(np.int8)
    if width == k and not middle and whole.flags.c_contiguous:
        return whole
    rows = np.zeros((n, width), np.int8)
    for begin in range(0, k, _SLAB):  # what lies in columns crosses caches in parts
        some = whole[:, begin : begin + _SLAB]
        rows[:, begin : begin + some.shape[1]] = some
    rows[:, :k] -= np.array(middle, np.uint8).view(np.int8)  # modulo 2^8, as numbers are
    return rows


def _block(k: int, each: int, columns: Iterable[Array]) -> int | None:
    """The most neighbours along K that have the same zero points and scales, of [n, values]."""
    whole = -(-k // 16) * 16  # a row as one block, in whole words
    changes = np.zeros(-(-k // each), bool)  # from the one before
    for array in columns:
        if array.shape[1] > 1:
            changes[1:] |= (array[:, 1:] != array[:, :-1]).any(axis=0)
    places = np.flatnonzero(changes) * each
    for block in (whole, *_BLOCKS):
        if block <= whole and not (places % block).any():
            return block
    return None
