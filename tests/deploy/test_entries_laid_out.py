"""What is laid out for several entry points."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from small_models import COLUMNS, MATRIX, ROW, TARGET, SmallModel, two_inputs

from luthier.deploy.building import lay_out
from luthier.deploy.weights import WeightPool
from luthier.frontend.program import Entry, Library, Program
from luthier.frontend.program.library import verify_library
from luthier.schedules.ir.core import IRError


@pytest.fixture(scope="module")
def small() -> SmallModel:
    return two_inputs()


class TestSeveralEntryPoints:
    def library(self, program: Program) -> Library:
        """One that does all, and one that has the same weights, under a view and with one more."""
        first, *_ = program.calls
        weights = {2: program.constants[2].copy(), 4: np.ones(COLUMNS, np.float32)}
        last = replace(first, args=(3, 4), result=5)
        values = (MATRIX, MATRIX, ROW, MATRIX, ROW, MATRIX)
        outputs = (("y", 5),)
        other = Program("b", values, program.inputs, outputs, weights, {}, (first, last))
        return Library("both", {"a": Entry.of(program), "b": Entry.of(other)})

    def test_equal_constants_are_stored_once(self, small: SmallModel) -> None:
        library, pool = self.library(small.program), WeightPool(io.BytesIO())
        verify_library(library)
        arrays = [a for program in library.programs for a in program.constants.values()]
        assert len({id(array) for array in arrays}) == 3
        assert len({pool.add(array) for array in arrays}) == 2

    def test_each_has_a_plan_and_all_share_weights_and_arena(self, small: SmallModel) -> None:
        library = self.library(small.program)

        def laid_out(*names: str) -> tuple[int, int, list[int]]:
            chosen = Library("some", {name: library.entries[name] for name in names})
            pool = WeightPool(io.BytesIO())
            tables = lay_out(chosen, "some", small.kernels, TARGET, pool)
            assert list(tables.entries) == list(names)
            steps = [len(entry.largest.plan.buffers) for entry in tables.entries.values()]
            return tables.weight_bytes, tables.arena_bytes, steps

        (weights_a, arena_a, steps_a), (weights_b, arena_b, steps_b) = laid_out("a"), laid_out("b")
        weights, arena, steps = laid_out("a", "b")
        assert steps == steps_a + steps_b == [4, 2]
        assert arena == max(arena_a, arena_b)
        assert max(weights_a, weights_b) < weights < weights_a + weights_b

    def test_an_invalid_library(self, small: SmallModel) -> None:
        verify_library(Library.of(small.program))
        with pytest.raises(IRError, match="a library needs an entry point"):
            verify_library(Library("p", {}))
        with pytest.raises(IRError, match="'a-b' is not the name of an entry point"):
            verify_library(Library("p", {"a-b": Entry.of(small.program)}))
        broken = replace(small.program, outputs=(("y", 99),))
        with pytest.raises(IRError, match="a result comes from nowhere"):
            verify_library(Library("p", {"a": Entry.of(small.program), "b": Entry.of(broken)}))
