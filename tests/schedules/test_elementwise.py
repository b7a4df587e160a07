"""Every elementwise operator means what NumPy's does, for every dtype that it makes sense for."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, compare, reference, schedules
from workloads import Builder, Value

from luthier.schedules import ScheduleError, Tensor, Workload, node, ops
from luthier.schedules.ir.dtype import ACCEPTED
from luthier.schedules.templates.registry import default, instantiate

SIZE = 45  # full vectors of every level, and a tail
FLOATS = ("float32", "float64")
SIGNED = ("int64", "int32", "int16", "int8")
UNSIGNED = ("uint64", "uint32", "uint16", "uint8")
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS

UNARY = {
    **dict.fromkeys(["negative", "abs", "sign", "relu", "clip"], NUMBERS),
    "bitwise_not": INTEGERS,
    "logical_not": ("bool",),
    **dict.fromkeys(
        """
            exp log sqrt rsqrt sigmoid tanh erf leaky_relu hard_sigmoid floor ceil round trunc
            sin cos tan sinh cosh asin acos atan asinh acosh atanh softplus isnan isinf
        """.split(),
        FLOATS,
    ),
}
BINARY = {
    **dict.fromkeys(
        "add subtract multiply divide floor_divide mod floor_mod maximum minimum".split(), NUMBERS
    ),
    "power": FLOATS,
    **dict.fromkeys(
        "equal not_equal less less_equal greater greater_equal".split(), (*NUMBERS, "bool")
    ),
    **dict.fromkeys(["logical_and", "logical_or", "logical_xor"], ("bool",)),
    **dict.fromkeys(["bitwise_and", "bitwise_or", "bitwise_xor"], INTEGERS),
    **dict.fromkeys(["left_shift", "right_shift"], INTEGERS),
}
ELEMENTWISE = {o.name: o for o in ops.OPERATORS.values() if isinstance(o, ops.Elementwise)}
GIVES_BOOL = frozenset("isnan isinf equal not_equal less less_equal greater greater_equal".split())
ATTRIBUTES = {
    "clip": {"min": 1, "max": 6},
    "leaky_relu": {"alpha": 0.125},
    "hard_sigmoid": {"alpha": 0.25, "beta": 0.5},
}


def values(dtype: str, seed: int) -> np.ndarray:
    """Special values first, random ones after them."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, SIZE).astype(np.bool_)
    if dtype.startswith("float"):
        special = [0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-7]
        special += [1e30, -1e30, 3e38, 89, -89, -104, 88.8, 0.99, -0.99, 20, -20]
        ordinary = rng.uniform(-4, 4, SIZE - len(special))
        with np.errstate(over="ignore"):
            return np.concatenate([special, ordinary]).astype(dtype)
    limits = np.iinfo(dtype)
    special = [limits.min, limits.max, limits.min + 1, limits.max - 1, 0, 1, 2, 7]
    ordinary = rng.integers(max(limits.min, -100), 100, SIZE - len(special))
    return np.concatenate([np.array(special, dtype), ordinary.astype(dtype)])


def second_values(op: str, dtype: str) -> np.ndarray:
    """For the second argument: no division by zero, no shift beyond the width."""
    found = np.random.default_rng(1).permutation(values(dtype, 2))
    if op.endswith("shift"):
        return found % np.array(ACCEPTED[dtype].bits, dtype)
    if op in ("divide", "floor_divide", "mod", "floor_mod") and dtype in INTEGERS:
        return np.where(found == 0, np.array(3, dtype), found)
    return found


def binary(op: str, dtype: str) -> Workload:
    b = Builder()
    pair = b.input((SIZE,), dtype), b.input((SIZE,), dtype)
    b.add(op, *pair, dtype="bool" if op in GIVES_BOOL else dtype)
    return b.workload


def unary(op: str, dtype: str) -> Workload:
    b = Builder()
    out = "bool" if op in GIVES_BOOL else dtype
    b.add(op, b.input((SIZE,), dtype), dtype=out, **ATTRIBUTES.get(op, {}))
    return b.workload


def check(level: str, cases: list[tuple[Workload, list[np.ndarray]]]) -> None:
    """The default schedule of each workload gives NumPy's results."""
    target = TARGETS[level]
    kernels = [instantiate(w, target, next(schedules(w, target, 0))) for w, _ in cases]
    library = Library(kernels, target)
    for i, (workload, inputs) in enumerate(cases):
        got = library.run(i, inputs, random.Random(i))
        want = reference(workload, inputs)
        if got.dtype.kind == "f":
            tiny = np.finfo(got.dtype).tiny
            with np.errstate(all="ignore"):
                allowed = 16 * np.finfo(got.dtype).eps * np.maximum(np.abs(want), 0.1) + tiny
        else:
            allowed = 0.0
        compare(got, want, allowed, str(workload))


def test_the_tables_here_have_every_operator():
    others = {"const", "cast", "bitcast", "where", "quantize", "dequantize"}
    assert UNARY.keys() | BINARY.keys() | others == ELEMENTWISE.keys()
    assert all(ELEMENTWISE[op].arity == 1 for op in UNARY)
    assert all(ELEMENTWISE[op].arity == 2 for op in BINARY)


def some(dtypes: tuple[str, ...], level: str) -> tuple[str, ...]:
    """All on the highest level, the first and the last on the others."""
    return dtypes if level == RUNNABLE[-1] else tuple(dict.fromkeys((dtypes[0], dtypes[-1])))


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", UNARY)
def test_unary(op, level):
    check(level, [(unary(op, d), [values(d, 0)]) for d in some(UNARY[op], level)])


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", BINARY)
def test_binary(op, level):
    dtypes = some(BINARY[op], level)
    check(level, [(binary(op, d), [values(d, 0), second_values(op, d)]) for d in dtypes])


@pytest.mark.parametrize("level", RUNNABLE)
def test_where(level):
    cases = []
    for dtype in some((*NUMBERS, "bool"), level):
        b = Builder()
        b.add("where", b.input((SIZE,), "bool"), b.input((SIZE,), dtype), b.input((SIZE,), dtype))
        cases.append((b.workload, [values("bool", 0), values(dtype, 1), values(dtype, 2)]))
    check(level, cases)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_steps_of_a_scale(dtype, level):
    limits = np.iinfo(dtype)
    cases = []
    for zero in (limits.min, 0, 3, limits.max):
        b = Builder()
        b.add("quantize", b.input((SIZE,)), b.input((), dtype), dtype=dtype)
        cases.append((b.workload, [values("float32", 0), np.array(zero, dtype)]))
        b = Builder()
        known = b.add("const", shape=(), dtype=dtype, value=int(zero))
        b.add("quantize", b.input((SIZE,)), known, dtype=dtype)
        cases.append((b.workload, [values("float32", 4)]))
        b = Builder()
        known = b.add("const", shape=(), dtype=dtype, value=int(zero))
        scale = b.add("const", shape=(), dtype="float32", value=0.37)
        b.add("dequantize", b.input((SIZE,), dtype), known, scale, dtype="float32")
        cases.append((b.workload, [values(dtype, 5)]))
    check(level, cases)


def test_what_comes_back_from_steps_is_as_if_it_had_been_stored():
    for dtype, zero, other in itertools.product(("uint8", "int8", "int16"), (3, 0), (3, 0, 5)):
        b = Builder()
        known, more = (b.const(value, dtype) for value in (zero, other))
        stored = b.add("quantize", b.input((SIZE,)), known, dtype=dtype)
        b.add("dequantize", stored, more, b.const(0.37), dtype="float32")
        inputs = values("float32", 0)
        check("x86-64-v3", [(b.workload, [inputs])])
        target = TARGETS["x86-64-v3"]
        kernel = instantiate(b.workload, target, default(b.workload, target))
        got = Library([kernel], TARGETS["x86-64-v3"]).run(0, [inputs], random.Random(0))
        assert not np.signbit(got[got == 0]).any()


@pytest.mark.parametrize("level", RUNNABLE)
def test_the_same_bits_as_another_type(level):
    pairs = [
        (a, b)
        for a in ACCEPTED
        for b in ACCEPTED
        if ACCEPTED[a].bits == ACCEPTED[b].bits and a != b and "bool" not in (a, b)
    ]
    for source, target in pairs if level == RUNNABLE[-1] else pairs[:3]:
        b = Builder()
        b.add("bitcast", b.input((SIZE,), source), shape=(SIZE,), dtype=target)
        x = values("int64", 3).view(source)[:SIZE]
        kernel = instantiate(
            b.workload, TARGETS[level], next(schedules(b.workload, TARGETS[level], 0))
        )
        got = Library([kernel], TARGETS[level]).run(0, [x], random.Random(0))
        assert got.dtype == target
        assert got.tobytes() == x.tobytes()


@pytest.mark.parametrize("source", ACCEPTED)
def test_casts(source):
    cases = []
    for target in ACCEPTED:
        b = Builder()
        b.add("cast", b.input((SIZE,), source), dtype=target)
        inputs = values(source, 0)
        if source.startswith("float") and "int" in target:  # beyond the range, C defines nothing
            low = 0 if target.startswith("u") else -100
            inputs = np.random.default_rng(0).uniform(low, 100, SIZE).astype(source)
        cases.append((b.workload, [inputs]))
    check(RUNNABLE[-1], cases)


@pytest.mark.parametrize("level", RUNNABLE)
def test_float16_is_computed_in_float32(level):
    cases = []
    for op in ("add", "multiply", "divide", "maximum", "mod"):
        inputs = [np.random.default_rng(i).uniform(0.5, 8, SIZE).astype("float16") for i in (0, 1)]
        cases.append((binary(op, "float16"), inputs))
    for op in ("exp", "tanh", "erf", "sinh", "round", "rsqrt"):
        inputs = [np.random.default_rng(2).uniform(0.5, 8, SIZE).astype("float16")]
        cases.append((unary(op, "float16"), inputs))
    check(level, cases)


@pytest.mark.parametrize("level", RUNNABLE)
def test_whole_numbers_next_to_all_of_float16(level):
    x = np.arange(1 << 16).astype("uint16").view("float16")
    functions = {"floor": np.floor, "ceil": np.ceil, "round": np.round, "trunc": np.trunc}
    kernels = []
    for op in functions:
        b = Builder()
        b.add(op, b.input(x.shape, "float16"))
        kernels.append(instantiate(b.workload, TARGETS[level], default(b.workload, TARGETS[level])))
    library = Library(kernels, TARGETS[level])
    for index, function in enumerate(functions.values()):
        with np.errstate(invalid="ignore"):  # NaN that signal
            expected = function(x)
        got = library.run(index, [x], random.Random(0))
        assert np.array_equal(got, expected, equal_nan=True)
        assert np.array_equal(np.signbit(got), np.signbit(expected))


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_whole_numbers_have_powers(dtype, level):
    base = (np.arange(16) - (0 if dtype[0] == "u" else 4)).astype(dtype)
    b = Builder()
    b.add("power", b.input(base.shape, dtype), b.input(base.shape, dtype))
    cases = [(b.workload, [base % 5, np.arange(16).astype(dtype) % 4])]
    for exponent in (0, 1, 2, 3):
        b = Builder()
        b.add("power", b.input(base.shape, dtype), b.const(exponent, dtype))
        cases.append((b.workload, [base]))
    check(level, cases)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint32"])
def test_division_never_traps(dtype, level):
    """By zero it is 0, as in NumPy; the lowest number over -1 stays what it is."""
    lowest = np.iinfo(dtype).min
    above = np.array([lowest, lowest, 7, 0, 5], dtype)
    below = np.array([0, -1 if lowest else 1, 0, 0, 2], dtype)
    for op, last in (("divide", 2), ("floor_divide", 2), ("mod", 1), ("floor_mod", 1)):
        b = Builder()
        b.add(op, b.input((5,), dtype), b.input((5,), dtype))
        target = TARGETS[level]
        kernel = instantiate(b.workload, target, next(schedules(b.workload, target, 0)))
        got = Library([kernel], target).run(0, [above, below], random.Random(0))
        assert list(got) == [0, 0 if op.endswith("mod") else lowest, 0, 0, last]


@pytest.mark.parametrize("level", RUNNABLE)
def test_unsigned_numbers_are_compared_with_zero(level):
    """TVM aborts the process where it assumes that an unsigned number is below zero."""
    cases = []
    for op in ("less", "less_equal", "greater", "greater_equal", "maximum", "minimum"):
        for flipped in (False, True):
            b = Builder()
            x, zero = b.input((SIZE,), "uint8"), b.const(0, "uint8")
            pair = (zero, x) if flipped else (x, zero)
            chosen = b.add(op, *pair, dtype="bool" if op in GIVES_BOOL else "uint8")
            if op in GIVES_BOOL:
                b.add("where", chosen, b.add("add", x, x), x)
            cases.append((b.workload, [values("uint8", 0)]))
    check(level, cases)


@pytest.mark.parametrize("level", RUNNABLE)
def test_constant_powers(level):
    inputs = np.random.default_rng(0).uniform(0.01, 3, SIZE).astype(np.float32)
    cases = []
    for power in (-8, -2.5, -1, -0.75, -0.5, 0, 0.25, 0.5, 1, 1.75, 2, 3, 7.5, 0.3):
        b = Builder()
        b.add("power", b.input((SIZE,)), b.const(power))
        cases.append((b.workload, [inputs]))
    check(level, cases)


@pytest.mark.parametrize("dtype", FLOATS)
def test_operators_between_values_that_are_used_twice(dtype):
    """TVM's vectoriser forgets names around operators that it cannot vectorise."""
    cases = []
    for op in [*(op for op in UNARY if dtype in UNARY[op]), "mod", "floor_mod"]:
        b = Builder()
        x = b.add("sigmoid", b.input((SIZE,), dtype))
        more = (b.add("add", x, x),) if op in BINARY else ()
        out = "bool" if op in GIVES_BOOL else dtype
        y = b.add(op, x, *more, dtype=out, **ATTRIBUTES.get(op, {}))
        if op in GIVES_BOOL:
            b.add("where", y, b.add("add", x, x), x)
        else:
            b.add("add", b.add("multiply", y, x), y)
        cases.append((b.workload, [np.linspace(-2, 2, SIZE).astype(dtype)]))
    check(RUNNABLE[-1], cases)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_operators_are_summed_up_with_their_tail(dtype, level):
    """TVM makes wrong vector code of a sum of what it cannot vectorise."""
    cases = []
    for op in (op for op in UNARY if dtype in UNARY[op]):
        b = Builder()
        out = "bool" if op in GIVES_BOOL else dtype
        y = b.add(op, b.input((SIZE,), dtype), dtype=out, **ATTRIBUTES.get(op, {}))
        y = b.add("cast", y, dtype=dtype) if op in GIVES_BOOL else y
        b.add("sum", y, shape=(), axes=(0,), keepdims=False)
        low = 1.0 if op == "acosh" else 0.1
        cases.append((b.workload, [np.linspace(low, low + 0.8, SIZE).astype(dtype)]))
    for op in ("mod", "floor_mod", "power", "add"):
        b = Builder()
        pair = b.input((SIZE,), dtype), b.input((SIZE,), dtype)
        b.add("sum", b.add(op, *pair), shape=(), axes=(0,), keepdims=False)
        x = np.linspace(0.3, 4, SIZE).astype(dtype)
        cases.append((b.workload, [x, x[::-1].copy()]))
    check(level, cases)


@pytest.mark.parametrize("level", RUNNABLE)
def test_nan_is_unequal_even_to_itself(level):
    x = values("float32", 0)
    cases = []
    for op in sorted(GIVES_BOOL - {"isnan", "isinf"}):
        b = Builder()
        same = b.input((SIZE,))
        b.add(op, same, same, dtype="bool")
        cases.append((b.workload, [x]))
    b = Builder()
    y = b.input((SIZE,))
    b.add("where", b.add("not_equal", y, y, dtype="bool"), b.const(0.0), y)
    check(level, [*cases, (b.workload, [x])])


def test_a_long_chain_compiles_in_linear_time():
    """TVM writes named values out again; without care, each link doubled the work."""
    b = Builder()
    x: Value = b.input((SIZE,))
    for i in range(12):
        x = b.add("clip", b.add("multiply", x, b.add("sigmoid", x)), min=-9 + i / 4, max=9 - i / 4)
        x = b.add("exp", x)
    inputs = [np.linspace(-2, 2, SIZE).astype(np.float32)]
    target = TARGETS["x86-64-v2"]
    kernel = instantiate(b.workload, target, next(schedules(b.workload, target, 0)))
    assert str(kernel.phases[0].func).count("T.Select") < 500
    got = Library([kernel], target).run(0, inputs, random.Random(0))
    want = reference(b.workload, inputs)
    compare(got, want, 1e-3 * np.abs(want))


def test_an_unknown_operator_is_refused():
    tensor = Tensor((SIZE,))
    workload = Workload((tensor,), (False,), (node("rot13", (0,), tensor),))
    with pytest.raises(ScheduleError, match="no template computes"):
        next(schedules(workload, TARGETS["x86-64-v2"], 0))


@pytest.mark.parametrize("level", RUNNABLE)
def test_each_is_the_same_before_a_sum(level):
    """Down columns and along rows: TVM makes wrong vector code around some of its functions."""
    cases, x = [], np.random.default_rng(3).uniform(-0.9, 0.9, (3, 21)).astype(np.float32)
    x[:, :3] *= 9
    for op in (*UNARY, *BINARY):
        if "float32" not in {**UNARY, **BINARY}[op] or op in GIVES_BOOL:
            continue
        for axis, shape in ((0, (21,)), (1, (3,))):
            b = Builder()
            args = [b.input(x.shape) for _ in range(ELEMENTWISE[op].arity)]
            value = b.add(op, *args, **ATTRIBUTES.get(op, {}))
            b.add("sum", value, shape=shape, axes=(axis,), keepdims=False)
            cases.append((b.workload, [x, x[::-1]][: len(args)]))
    target = TARGETS[level]
    kernels = [instantiate(w, target, next(schedules(w, target, 0))) for w, _ in cases]
    library = Library(kernels, target)
    for i, (workload, inputs) in enumerate(cases):
        want = reference(workload, inputs)
        got = library.run(i, inputs, random.Random(i))
        compare(got, want, 1e-3 + 1e-5 * np.abs(want), str(workload))


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint32"])
def test_quotients_next_to_whole_ones(dtype, level):
    """Multiples of divisors and their neighbours, of any size; whole vectors of them are small."""
    rng = np.random.default_rng(0)
    bits = np.iinfo(dtype).bits - (dtype[0] == "i")
    below = np.exp2(rng.uniform(0, bits // 2, SIZE)).astype(dtype)
    times = np.exp2(rng.uniform(0, bits // 2 - 1, SIZE)).astype(dtype)
    below[::3], times[::3] = below[::3] % 2**20 + 1, times[::3] % 2**20
    below[: SIZE // 2], times[: SIZE // 2] = (
        below[: SIZE // 2] % 2**25 + 1,
        times[: SIZE // 2] % 2**25,
    )
    above = below * times + rng.integers(-1, 2, SIZE).astype(dtype)
    if dtype[0] == "i":
        above, below = above * rng.choice([-1, 1], SIZE), below * rng.choice([-1, 1], SIZE)
    inputs = [above.astype(dtype), below.astype(dtype)]
    ops = ("divide", "floor_divide", "mod", "floor_mod")
    check(level, [(binary(op, dtype), inputs) for op in ops])


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_quotients_of_what_floats_hold_just_so(dtype, level):
    """Around 2**51 and 2**53, in whole vectors and beside small ones."""
    near = [2**51, 2**52, 2**53, 2**62]
    above = np.array([n + more for n in near for more in (-2, -1, 0, 1, 2)] * 8, dtype)
    below = np.resize(np.array([1, 2, 3, 7, 2**51 - 1, 2**51, 2**51 + 1], dtype), above.shape)
    pairs = [(above, below), (below, above)]
    if dtype == "int64":
        pairs += [(-a, b) for a, b in pairs] + [(a, -b) for a, b in pairs]
    inputs = [np.resize(np.concatenate(side), SIZE) for side in zip(*pairs, strict=True)]
    ops = ("divide", "floor_divide", "mod", "floor_mod")
    check(level, [(binary(op, dtype), inputs) for op in ops])
