"""Sizes that are known only at run time: how they compute, read and decide."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from luthier.schedules import ModelError
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.size import Size, assuming, ceildiv, fixed, simplified
from luthier.schedules.ir.size_text import c_condition, c_text, parse_size
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.toolchain import find_compiler

T, P = Size.named("tokens"), Size.named("past")
NAMES = {"tokens": None, "past": None}
SIZES = {"tokens": 37, "past": 5}


class TestSymbol:
    @pytest.mark.parametrize("text", ["tokens=1..512", "past=0..63", "batch=1,4,8"])
    def test_it_reads_back(self, text: str) -> None:
        assert str(Symbol.parse(text)) == text

    def test_what_is_in_it(self) -> None:
        tokens, batch = Symbol.parse("tokens=1..512"), Symbol.parse("batch=8,1,4")
        assert 1 in tokens
        assert 512 in tokens
        assert 513 not in tokens
        assert 0 not in tokens
        assert [n for n in range(10) if n in batch] == [1, 4, 8]
        assert (batch.least, batch.most) == (1, 8)

    @pytest.mark.parametrize(
        "text", ["", "t", "t=5..4", "=1..2", "a b=1..2", "t=-1..2", "t=1..0x9", "t=1,", "t=1,2..3"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ModelError, match="is not a range of sizes such as 'tokens="):
            Symbol.parse(text)


class TestArithmetic:
    @pytest.mark.parametrize(
        ("size", "text", "number"),
        [
            (T, "tokens", 37),
            (T + 1, "tokens+1", 38),
            (1 + T, "tokens+1", 38),
            (T + 1 - 3, "tokens-2", 35),
            (T - 2 + 5, "tokens+3", 40),
            (T * 8, "8*tokens", 296),
            (2 * (4 * T), "8*tokens", 296),
            ((T + 1) * (P + 2), "past*tokens+past+2*tokens+2", 266),
            (T * P * 3, "3*past*tokens", 555),
            (100 - T, "100-tokens", 63),
            (100 - (T - P), "past+100-tokens", 68),
            (T // 2, "tokens//2", 18),
            (ceildiv(T, 8), "(tokens+7)//8", 5),
            (T % 8, "tokens%8", 5),
            (12 * T // 4, "3*tokens", 111),
            (12 * T // 5, "12*tokens//5", 88),
            ((16 * T + 35) // 16, "tokens+2", 39),
            ((16 * T + P) % 16, "(past+16*tokens)%16", 5),
            (P + T // 2 * (T % 8), "(tokens%8)*(tokens//2)+past", 95),
            (T // P, "tokens//past", 7),
            (T // (P + 1), "tokens//(past+1)", 6),
            (math.prod((2, T, 3)), "6*tokens", 222),
            (sum((T, P, 1)), "past+tokens+1", 43),
            (simplified("min", T, 20), "min(tokens,20)", 20),
            (simplified("max", T, P), "max(tokens,past)", 37),
        ],
    )
    def test_it_is_written_computed_and_read_back(self, size: Size, text: str, number: int) -> None:
        assert str(size) == text
        assert size.at(SIZES) == number
        assert str(parse_size(text, NAMES)) == text
        many = {name: np.array([n, n + 1, n + 7]) for name, n in SIZES.items()}
        one_by_one = [size.at({n: a[i] for n, a in many.items()}) for i in range(3)]
        assert size.at(many).tolist() == one_by_one

    def test_what_changes_nothing_leaves_no_trace(self) -> None:
        same = [T + 0, 0 + T, T - 0, T * 1, 1 * T, T // 1]
        assert [str(each) for each in same] == ["tokens"] * len(same)
        assert (T * 0, T % 1, T - T, 12 * T % 4, (T + P) - (P + T)) == (0, 0, 0, 0, 0)
        assert (T // T, (T + P) // (P + T), T % T, (T // P) % (T // P)) == (1, 1, 0, 0)

    def test_it_is_not_taken_for_a_number(self) -> None:
        for use in (int, range, lambda size: [0][size], lambda size: 1.5 * size):
            with pytest.raises(TypeError, match="not known before it runs"):
                use(T)  # type: ignore[operator]

    @pytest.mark.parametrize(
        "text", ["", "tokens*", "(tokens", "1.5", "-1", "a b", "tokens//0", "2**3", "(" * 500]
    )
    def test_what_is_not_a_size_is_refused(self, text: str) -> None:
        with pytest.raises(ModelError, match="is not a size such as"):
            parse_size(text, {**NAMES, "a": None, "b": None})

    def test_a_name_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(ModelError, match="nobody says which sizes 'heads' may have"):
            parse_size("heads+1", NAMES)


def test_c_computes_the_same(tmp_path: Path) -> None:
    sizes = [ceildiv(T * P, 14) % 5, (T + 1) * (P - 2) // 3, simplified("min", T, P * 9) + 1]
    names = {"tokens": "s[0]", "past": "s[1]"}
    lines = "".join(f'printf("%lld\\n", (long long)({c_text(s, names)}));' for s in sizes)
    (tmp_path / "a.c").write_text(
        "#include <stdint.h>\n#include <stdio.h>\n"
        "static int64_t luthier_min(int64_t a, int64_t b) { return a < b ? a : b; }\n"
        f"int main(void) {{ int64_t s[2] = {{37, 5}}; {lines} return luthier_min(0, 1); }}\n"
    )
    find_compiler().run(["-Wall", "-Werror", "-o", "a", "a.c"], tmp_path)
    text = subprocess.run([tmp_path / "a"], capture_output=True, text=True, check=True).stdout
    assert list(map(int, text.split())) == [s.at(SIZES) for s in sizes]


class TestDecisions:
    def test_outside_of_assumptions_sizes_are_equal_if_written_alike(self) -> None:
        assert Size.named("tokens") + 1 == T + 1
        assert T != P
        assert T != 37
        assert len({T, Size.named("tokens"), P}) == 2
        with pytest.raises(IRError, match="tokens < 5: nothing says what the sizes are"):
            assert T < 5

    def test_inside_they_are_decided_and_noted(self) -> None:
        with assuming(SIZES) as assumption:
            assert min(T, 40) is T
            assert max(1, P) is P
            assert T * 2 > 73
            assert T <= T
            assert fixed(P + 1) == 6
        noted = set(assumption.conditions)
        assert noted == {"tokens <= 40", "past > 1", "2*tokens > 73", "past+1 == 6"}
        assert all(c.holds(SIZES) for c in assumption.conditions.values())

    def test_conditions_say_where_the_decisions_are_right(self) -> None:
        with assuming(SIZES) as assumption:
            narrow = T < 64
        assert narrow
        assert c_condition(*assumption.conditions.values(), {"tokens": "n"}) == "n < INT64_C(64)"
        (condition,) = assumption.conditions.values()
        tokens = np.arange(1, 513)
        assert np.array_equal(condition.holds({"tokens": tokens}), tokens < 64)
