"""What is known of element types, and which of them tensors may have."""

from __future__ import annotations

import pytest

from luthier.schedules import LogError, Tensor
from luthier.schedules.ir.dtype import ACCEPTED, DTYPES, DType, Kind

STORED = sorted(DTYPES.keys() - ACCEPTED.keys())
FLOATS = {"float16", "float32", "float64"}
WHOLE = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def test_tensors_have_the_numbers_of_numpy():
    assert set(ACCEPTED) == FLOATS | WHOLE | {"bool"}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=lambda t: t.name)
def test_an_element_is_as_large_as_numpys(dtype: DType):
    assert dtype.name == str(dtype.numpy)
    assert dtype.bytes == dtype.numpy.itemsize


@pytest.mark.parametrize("dtype", ACCEPTED.values(), ids=lambda t: t.name)
def test_the_kind_is_numpys(dtype: DType):
    letters = {Kind.FLOAT: "f", Kind.INT: "i", Kind.UINT: "u", Kind.BOOL: "b"}
    assert letters[dtype.kind] == dtype.numpy.kind
    assert Tensor((2, 3), dtype.name).element is dtype


def test_floats_and_whole_numbers_are_told_apart():
    assert {t.name for t in ACCEPTED.values() if t.is_float} == FLOATS
    assert {t.name for t in ACCEPTED.values() if t.is_whole} == WHOLE  # bool is neither


def test_four_bits_share_a_byte():
    int4, int8 = DTYPES["int4"], DTYPES["int8"]
    assert [int4.nbytes(n) for n in range(5)] == [0, 1, 1, 2, 2]
    assert [int8.nbytes(n) for n in range(5)] == [0, 1, 2, 3, 4]


def test_sums_of_narrow_numbers_are_wider():
    sums = {t.name: t.accumulator.name for t in DTYPES.values()}
    assert {n for n, s in sums.items() if s == n} == {
        f"{k}{b}" for k in ("float", "int", "uint") for b in (32, 64)
    }
    assert {sums[n] for n in ("float16", "bfloat16", "float8_e5m2")} == {"float32"}
    assert {sums[n] for n in ("int4", "uint4", "int8", "uint8", "int16")} == {"int32"}


@pytest.mark.parametrize("name", STORED)
def test_no_tensor_has_a_type_of_storage_yet(name: str):
    assert not {"bfloat16", "int4", "float8_e4m3fn"} - set(STORED)
    with pytest.raises(LogError, match="not a tensor type"):
        Tensor.parse(f"{name}[1]")
