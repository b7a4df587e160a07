"""The core of workloads, graphs and programs: regions of statements over values."""

from __future__ import annotations

from itertools import count

import pytest
from workloads import conv, separable

from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import IRError, Region, needed
from luthier.schedules.ir.workload import Op
from luthier.schedules.ops.verify import verify
from luthier.schedules.templates.fused import epilogue

T = Tensor((2, 3))


def op(result: int, name: str, *args: int, out: Tensor = T) -> Op:
    return Op(node(name, args, out), result)


# Over the parameters 10 and 11 and a constant, 5; the operator in the middle leads nowhere.
REGION = Region((10, 11), (op(20, "add", 10, 5), op(21, "exp", 20), op(30, "add", 20, 20)), (30,))


def test_a_region_knows_who_defines_and_who_reads() -> None:
    assert REGION.producers[30].node.op == "add"
    assert (REGION.uses[20], REGION.uses[30], REGION.uses[11]) == (3, 1, 0)
    assert REGION.free == (5,)
    assert REGION.values == {5, 10, 11, 20, 21, 30}


def test_statements_that_no_result_needs_are_pruned() -> None:
    assert [each.result for each in REGION.pruned().statements] == [20, 30]
    assert REGION.pruned().parameters == (10, 11)


def test_values_are_numbered_as_they_are_defined() -> None:
    closed = Region((5, 10), REGION.pruned().statements, (30,)).dense()
    assert closed == Region((0, 1), (op(2, "add", 1, 0), op(3, "add", 2, 2)), (3,))


def test_needs_are_followed_to_their_end() -> None:
    assert needed([4], {4: (3, 2), 3: (1,), 1: (4,), 9: (8,)}) == {1, 2, 3, 4}


class TestInvalidRegion:
    def refuse(self, region: Region[Op], match: str, known: tuple[int, ...] = (5,)) -> None:
        REGION.verify((5,))
        with pytest.raises(IRError, match=match):
            region.verify(known)

    def test_reading_what_nobody_has_defined(self) -> None:
        self.refuse(REGION, r"^%20 = add\(%10, %5\): float32\[2,3\]: it reads", known=())
        backwards = Region((10, 11), REGION.statements[::-1], (30,))
        self.refuse(backwards, r"^%30 = .* it reads what comes later")

    def test_defining_a_value_again(self) -> None:
        self.refuse(Region((10,), (op(10, "exp", 10),), (10,)), "its value is taken")
        self.refuse(Region((5,), (), (5,)), "a parameter: its value is taken")

    def test_results_from_nowhere(self) -> None:
        self.refuse(Region((10,), (), (99,)), "a result comes from nowhere")


class TestWorkload:
    WORKLOAD = conv((1, 4, 4, 2), 3, (3, 3), after="bias_relu")

    def test_it_is_printed_a_value_a_line(self) -> None:
        assert self.WORKLOAD.listing() == (
            f"workload {self.WORKLOAD.key}\n"
            "  %0 = input: float32[1,4,4,2]\n"
            "  %1 = constant: float32[3,3,3,2]\n"
            "  %2 = constant: float32[3]\n"
            "  %3 = conv2d(%0, %1) dilations=(1, 1) groups=1 pads=(0, 0, 0, 0) strides=(1, 1): "
            "float32[1,2,2,3]\n"
            "  %4 = add(%3, %2): float32[1,2,2,3]\n"
            "  %5 = relu(%4): float32[1,2,2,3]\n"
            "  output = %5"
        )

    def test_it_is_the_same_made_of_its_region(self) -> None:
        region = self.WORKLOAD.region
        inputs = dict(enumerate(self.WORKLOAD.signature))
        assert Workload.of(inputs, region.statements) == self.WORKLOAD

    def test_inlined_it_computes_a_value_from_others(self) -> None:
        inlined = self.WORKLOAD.inlined((7, 8, 9), 6, count(50))
        assert [(each.result, each.reads) for each in inlined] == [
            (50, (7, 8)),
            (51, (50, 9)),
            (6, (51,)),
        ]
        inputs = dict(zip((7, 8, 9), self.WORKLOAD.signature, strict=True))
        assert Workload.of(inputs, inlined) == self.WORKLOAD

    def test_an_epilogue_is_a_workload(self) -> None:
        after = epilogue(self.WORKLOAD)
        verify(after)
        assert after.inputs == (self.WORKLOAD.nodes[0].out, *self.WORKLOAD.inputs)
        assert [n.args for n in after.nodes] == [(0, 3), (4,)]
        verify(epilogue(conv((1, 4, 4, 2), 3, (3, 3))))

    def test_a_pair_of_convolutions_is_one(self) -> None:
        verify(separable((1, 4, 4, 3), 20, (3, 3), between="bias_relu", after="bias"))

    @pytest.mark.parametrize(
        ("nodes", "match"),
        [
            ((), "at least one node"),
            ((node("relu", (1,), T),), "it reads what comes later"),
            ((node("relu", (0, 0), T),), "it has 2 arguments"),
            ((node("relu", (0,), Tensor((3, 2))),), r"it is float32\[2,3\], not float32\[3,2\]"),
            ((node("transpose", (0,), T, axes=(1, 0)),), r"it is float32\[3,2\], not"),
            ((node("transpose", (0,), T),), "its arguments do not fit"),
            ((node("nonsense", (0,), T),), "this operator is not known"),
        ],
    )
    def test_an_invalid_workload(self, nodes: tuple, match: str) -> None:
        with pytest.raises(IRError, match=match):
            verify(Workload((T,), (False,), nodes))
