"""Outputs and inputs that are parts of larger tensors: their rows lie apart, at any alignment.

``caller`` puts buffers where they are aligned to their elements alone, and checks that nothing is
written between the rows of an output.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from attentions import separate
from caller import RUNNABLE, in_turn, verify
from workloads import Builder, conv, conv_transpose, group_norm, matmul, pool, unary

from luthier.schedules import Workload
from luthier.schedules.ir.placement import DENSE, Placement, span
from luthier.schedules.templates.pitch import reads_apart, writes_apart

PADS = (1, 1, 1, 1)


def apart(workload: Workload, gap: int = 5) -> Placement:
    """The output's rows ``gap`` elements further apart than they are long."""
    return Placement(output=workload.output.shape[-1] + gap)


def reading(workload: Workload, gap: int = 7) -> Placement:
    """The same for the rows of the first input."""
    return Placement(((0, workload.inputs[0].shape[-1] + gap),))


def total(axis: int) -> Workload:
    b = Builder()
    shape = tuple(n for d, n in enumerate((5, 7, 19)) if d != axis)
    b.add("sum", b.input((5, 7, 19)), shape=shape, axes=(axis,), keepdims=False)
    return b.workload


def transposition() -> Workload:
    b = Builder()
    b.add("transpose", b.input((3, 9, 21)), shape=(3, 21, 9), axes=(0, 2, 1))
    return b.workload


def concat(axis: int, after: bool = False) -> Workload:
    b = Builder()
    shapes = [[2, 3, 5, 19], [2, 3, 5, 19]]
    shapes[1][axis] = 4
    whole = tuple(a + b if d == axis else a for d, (a, b) in enumerate(zip(*shapes, strict=True)))
    x = b.add("concat", *(b.input(tuple(s)) for s in shapes), shape=whole, axis=axis)
    if after:
        b.add("relu", x, shape=whole)
    return b.workload


def scaled(shape: tuple[int, ...] = (2, 3, 5, 37)) -> Workload:
    b = Builder()
    x, scale = b.input(shape), b.input(shape[-1:], constant=True)
    b.add("relu", b.add("multiply", x, scale, shape=shape), shape=shape)
    return b.workload


WRITERS = {
    "convolution": conv((2, 7, 9, 5), 37, (3, 5), pads=PADS, after="bias_relu"),
    "groups": conv((1, 7, 9, 6), 22, (3, 3), groups=2),
    "winograd": conv((1, 13, 15, 17), 21, (3, 3), pads=PADS, after="residual"),
    "pointwise convolution": conv((2, 5, 7, 19), 37, (1, 1), after="gelu"),
    "depthwise": conv((1, 9, 9, 21), 21, (3, 3), pads=PADS, groups=21),
    "transposed convolution": conv_transpose((1, 5, 6, 7), 19, (3, 3), strides=(2, 2)),
    "matmul": matmul((3, 7, 11), (3, 11, 21), after="bias"),
    "max_pool2d": pool("max_pool2d", (2, 9, 9, 19), (3, 3), strides=(2, 2)),
    "avg_pool2d": pool("avg_pool2d", (1, 9, 9, 35), (3, 3), pads=PADS),
    "sum of rows": total(2),
    "sum of columns": total(1),
    "transposition": transposition(),
    "concatenation": concat(3),
    "concatenation of planes": concat(1),
    "concatenation, then more": concat(3, after=True),
    "elementwise": scaled(),
    "copy": unary("cast", (3, 5, 33)),
    "bytes": unary("logical_not", (3, 5, 33), "bool"),
}
READERS = {
    name: WRITERS[name]
    for name in (
        "max_pool2d",
        "avg_pool2d",
        "sum of rows",
        "sum of columns",
        "transposition",
        "concatenation",
        "elementwise",
    )
}
NO_WRITERS = {
    "normalisation": group_norm((1, 4, 4, 8), 2),
    "softmax": unary("softmax", (3, 9), axis=1),
    "attention": separate((1, 2, 5, 7, 4, 4), True),
}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("name", WRITERS)
def test_an_output_with_rows_apart_is_the_same_and_leaves_its_neighbours_alone(
    name: str, level: str
) -> None:
    assert writes_apart(WRITERS[name])
    verify(WRITERS[name], level, placement=apart(WRITERS[name]))


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("name", READERS)
def test_inputs_are_read_apart(name: str, level: str) -> None:
    assert reads_apart(READERS[name], 0)
    verify(READERS[name], level, placement=reading(READERS[name]))


@pytest.mark.parametrize(("name", "level"), in_turn(n for n in WRITERS if n in READERS))
def test_both_may_lie_apart(name: str, level: str) -> None:
    both = replace(reading(WRITERS[name]), output=apart(WRITERS[name]).output)
    verify(WRITERS[name], level, placement=both)


@pytest.mark.parametrize("name", NO_WRITERS)
def test_kernels_that_keep_values_in_their_output_write_it_whole(name: str) -> None:
    assert not writes_apart(NO_WRITERS[name])


def test_a_convolution_reads_its_image_whole_and_what_is_added_apart() -> None:
    added = conv((1, 5, 5, 8), 8, (3, 3), pads=PADS, after="residual")
    data = added.nodes[0].args[0]
    other = next(i for i, known in enumerate(added.constants) if i != data and not known)
    assert not reads_apart(added, data)
    assert reads_apart(added, other)


def test_a_placement_is_read_as_it_is_written() -> None:
    placement = Placement.of([None, 9, None, 12], 42)
    assert str(placement) == "in1:9 in3:12 out:42"
    assert Placement.parse(str(placement)) == placement
    assert Placement.parse("") == DENSE == Placement.of([None, None], None)
    assert [placement.pitch(i) for i in range(4)] == [None, 9, None, 12]


def test_the_span_ends_with_the_last_row() -> None:
    assert span((2, 3, 5), 8) == 5 * 8 + 5
    assert span((2, 3, 5), None) == 2 * 3 * 5
