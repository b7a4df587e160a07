"""What is known of element types, and which of them tensors may have."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from luthier.schedules import LogError, Tensor
from luthier.schedules.ir.dtype import ACCEPTED, DTYPES, DType, Kind

NARROW = sorted(DTYPES.keys() - ACCEPTED.keys())
FLOATS = {"float16", "float32", "float64"}
WHOLE = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def test_operators_take_the_numbers_of_numpy():
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


def test_four_bits_have_a_byte_each():
    int4, int16 = DTYPES["int4"], DTYPES["int16"]
    assert [int4.nbytes(n) for n in range(5)] == [0, 1, 2, 3, 4]
    assert [int16.nbytes(n) for n in range(5)] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=lambda t: t.name)
def test_memory_holds_types_of_numpy_of_the_same_size(dtype: DType):
    assert np.dtype(dtype.storage).itemsize == dtype.bytes
    assert np.dtype(dtype.storage).kind == (
        "i"
        if dtype.kind is Kind.BOOL
        else dtype.numpy.kind
        if not dtype.is_narrow
        else "i"
        if dtype.kind is Kind.INT
        else "u"
    )


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=lambda t: t.name)
def test_what_is_computed_holds_all_numbers(dtype: DType):
    assert dtype.computed.name in ACCEPTED
    assert dtype.is_narrow == (dtype.computed is not dtype)
    count = 1 << dtype.bits if dtype.is_narrow else 1
    array = np.arange(count).astype(f"u{dtype.bytes}").view(dtype.numpy)
    with np.errstate(all="ignore"):  # of NaN
        same = array.astype(dtype.computed.numpy).astype(dtype.numpy).astype(np.float64)
        wanted = array.astype(np.float64)
    assert np.array_equal(same, wanted, equal_nan=True)


@pytest.mark.parametrize("name", [n for n, t in DTYPES.items() if t.is_whole])
def test_the_limits_are_numpys(name: str):
    info = ml_dtypes.iinfo(DTYPES[name].numpy)
    assert DTYPES[name].limits == (int(info.min), int(info.max))


def test_sums_of_narrow_numbers_are_wider():
    sums = {t.name: t.accumulator.name for t in DTYPES.values()}
    assert {n for n, s in sums.items() if s == n} == {
        f"{k}{b}" for k in ("float", "int", "uint") for b in (32, 64)
    }
    assert {sums[n] for n in ("float16", "bfloat16", "float8_e5m2")} == {"float32"}
    assert {sums[n] for n in ("int4", "uint4", "int8", "uint8", "int16")} == {"int32"}


@pytest.mark.parametrize("name", NARROW)
def test_tensors_have_narrow_types(name: str):
    assert not {"bfloat16", "int4", "float8_e4m3fn"} - set(NARROW)
    assert Tensor.parse(f"{name}[1,2]") == Tensor((1, 2), name)


def test_a_type_that_nobody_knows_is_refused():
    with pytest.raises(LogError, match="not a tensor type"):
        Tensor.parse("float6_e2m3fn[1]")
