"""Sequences and optional values: from the model's inputs to its outputs, against ONNX Runtime."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from google.protobuf.message import DecodeError
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET, UnexpectedError, floats
from sized_models import computed

from luthier.deploy.grouping import Grouping
from luthier.frontend import Bounds, Entry, Shapes, import_entry, read_model
from luthier.frontend.program import Argument
from luthier.frontend.program.library import Library, verify_library
from luthier.schedules import LuthierError, ModelError, UnsupportedOperator

Given = Mapping[str, Any]
DAMAGED = int(os.environ.get("LUTHIER_DAMAGED", "25"))  # models of each text


def parsed(text: str, opset: int = 18) -> onnx.ModelProto:
    """A model of a graph's text."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')


def entry_of(
    proto: onnx.ModelProto,
    shapes: Shapes | None = None,
    values: Given | None = None,
    bounds: Bounds | None = None,
) -> Entry:
    entry = import_entry(read_model(proto, shapes, values, bounds=bounds), TARGET)
    verify_library(Library("small", {"run": entry}))
    return entry


def run(entry: Entry, given: Given) -> list[Any]:
    """Outputs in the model's order, lists where they are sequences."""
    (program,) = entry.variants
    takes = Grouping(entry.takes)
    flat = takes.apart(given) if entry.takes else dict(given)
    outputs = computed(program, {}, {name: np.asarray(array) for name, array in flat.items()})
    gives = entry.gives or [Argument(name) for name in outputs]
    return list(Grouping(gives).together(list(outputs.values())).values())


def expected(proto: onnx.ModelProto, given: Given) -> list[Any]:
    """By ONNX Runtime; by onnx's evaluator where that takes no empty list."""
    if any(isinstance(value, list) and not value for value in given.values()):
        return list(ReferenceEvaluator(proto).run(None, dict(given)))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    arrays = {n: v if isinstance(v, list) else np.asarray(v) for n, v in given.items()}
    return list(session.run(None, arrays))


def same(
    text: str,
    given: Sequence[Given],
    shapes: Shapes | None = None,
    values: Given | None = None,
    bounds: Bounds | None = None,
    opset: int = 18,
) -> Entry:
    """The entry of a model, which gives what ONNX Runtime gives for several inputs."""
    proto = parsed(text, opset)
    entry = entry_of(proto, shapes, values, bounds)
    for inputs in given:
        for ours, theirs in zip(run(entry, inputs), expected(proto, inputs), strict=True):
            alike(ours, theirs)
    return entry


def alike(ours: Any, theirs: Any) -> None:
    assert isinstance(ours, list) == isinstance(theirs, list)
    if isinstance(theirs, list):
        for one, other in zip(ours, theirs, strict=True):
            alike(one, other)
        return
    other = np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (other.dtype, other.shape)
    np.testing.assert_allclose(ours, other, 1e-5, 1e-6)


def refused(proto: onnx.ModelProto, kind: type[LuthierError] = LuthierError, **said: Any) -> str:
    with pytest.raises(kind) as error:
        import_entry(read_model(proto, **said), TARGET)
    assert "\n" not in str(error.value)
    return str(error.value)


def ended(entry: Entry, given: Given) -> str:
    with pytest.raises(UnexpectedError) as error:
        run(entry, given)
    return str(error.value)


def tensors(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    return [floats(*shape, seed=seed + i) for i, shape in enumerate(shapes)]


def shaped(name: str, arrays: Sequence[np.ndarray]) -> dict[str, Any]:
    """What is said of a sequence's tensors."""
    return {name: len(arrays), **{f"{name}_{i}": a.shape for i, a in enumerate(arrays)}}


SHAPES: list[list[tuple[int, ...]]] = [
    [],
    [(2, 3)],
    [(2, 3), (1, 1), (2, 3), (4, 7), (1, 9)],
]

MAPPED = """small (seq(float[n,m]) x, float[1] w) => (seq(float[n,m]) y, seq(int64[2]) s) {
  y, s = SequenceMap <body = b (float[n,m] one, float[1] by) => (float[n,m] o, int64[2] shape) {
    o = Mul (one, by)
    shape = Shape (one)
  }> (x, w)
}"""


@pytest.mark.parametrize("shapes", SHAPES[1:], ids=len)
def test_what_is_done_with_each_tensor(shapes: list[tuple[int, ...]]) -> None:
    x = tensors(*shapes)
    entry = same(MAPPED, [{"x": x, "w": floats(1)}], shaped("x", x))
    assert entry.takes == (Argument("x", len(x)), Argument("w"))
    assert entry.gives == (Argument("y", len(x)), Argument("s", len(x)))
    names = [name for name, _ in entry.variants[0].inputs]
    assert names == [*(f"x_{i}" for i in range(len(x))), "w"]


PASSED = """small (seq(float[n,m]) x, float[2] z) => (seq(float[n,m]) y, float[2] a, int64 c) {
  t = Identity (x)
  y = Identity (t)
  c = SequenceLength (y)
  a = Neg (z)
}"""


@pytest.mark.parametrize("shapes", SHAPES, ids=len)
def test_a_sequence_is_passed_on(shapes: list[tuple[int, ...]]) -> None:
    x = tensors(*shapes)
    entry = same(PASSED, [{"x": x, "z": floats(2)}], shaped("x", x))
    assert entry.gives[0] == Argument("y", len(shapes))


AT = """small (seq(float[n,m]) x, int64 p) => (float[a,b] y) {
  z = SequenceAt (x, p)
  y = Neg (z)
}"""


@pytest.mark.parametrize("shapes", [[(2, 3)] * 4, SHAPES[2], [(2, 5), (2, 3)]], ids=str)
def test_a_place_that_a_run_is_given(shapes: list[tuple[int, ...]]) -> None:
    x = tensors(*shapes)
    given = [{"x": x, "p": np.array(p)} for p in range(-len(x), len(x))]
    entry = same(AT, given, shaped("x", x))
    for place in (len(x), -len(x) - 1, 2**62, -(2**63)):
        assert "outside of a sequence" in ended(entry, {"x": x, "p": np.array(place)})


INSERTED = """small (seq(float[n,m]) x, float[1,2] t, int64 p) => (seq(float[n,m]) y) {
  y = SequenceInsert (x, t, p)
}"""
ERASED = """small (seq(float[n,m]) x, int64 p) => (seq(float[n,m]) y) {
  y = SequenceErase (x, p)
}"""


@pytest.mark.parametrize("shapes", [[(1, 2)] * 3, [(3, 2), (1, 2)]], ids=str)
def test_a_tensor_is_put_in_or_taken_out_at_a_place_of_run_time(
    shapes: list[tuple[int, ...]],
) -> None:
    x, t = tensors(*shapes), floats(1, 2, seed=9)
    places = [np.array(p) for p in range(-len(x), len(x))]
    given = [{"x": x, "t": t, "p": p} for p in (*places, np.array(len(x)))]
    entry = same(INSERTED, given, shaped("x", x))
    assert "outside" in ended(entry, {"x": x, "t": t, "p": np.array(len(x) + 1)})
    entry = same(ERASED, [{"x": x, "p": p} for p in places], shaped("x", x))
    assert "outside" in ended(entry, {"x": x, "p": np.array(len(x))})


SPLIT = (
    "small (float[3,7] x, int64[3] p) => (seq(float[a,b]) y) {y = SplitToSequence <axis=-1>(x, p)}"
)
EVEN = "small (float[7,2] x, int64 p) => (seq(float[a,b]) y) {y = SplitToSequence (x, p)}"


def test_pieces_whose_lengths_a_run_is_given() -> None:
    x = floats(3, 7)
    given = [{"x": x, "p": np.array(p)} for p in ([1, 2, 4], [5, 1, 1], [0, 7, 0])]
    entry = same(SPLIT, given)
    assert "the sum of its sizes is" in ended(entry, {"x": x, "p": np.array([1, 2, 3])})


@pytest.mark.parametrize(("count", "lengths"), [(1, (7, 9)), (2, (4, 5, 6)), (4, (2,)), (7, (1,))])
def test_pieces_of_one_length_that_a_run_is_given(count: int, lengths: tuple[int, ...]) -> None:
    x = floats(7, 2)
    entry = same(EVEN, [{"x": x, "p": np.array(n)} for n in lengths], {"y": count})
    wrong = [n for n in (-1, 0, 1, 2, 3, 4, 7) if n not in lengths]
    for length in wrong:
        said = ended(entry, {"x": x, "p": np.array(length)})
        assert f"none that makes {count} pieces of 7 elements" in said


def test_numbers_of_pieces_that_there_are_not() -> None:
    assert "how many tensors the sequence 'y' has: say how many, such as --shape y=3" in refused(
        parsed(EVEN), UnsupportedOperator
    )
    for count in (0, 5, 8):
        assert "make no" in refused(parsed(EVEN), ModelError, shapes={"y": count})


APPENDED = """small (int64 n, bool c, seq(float[k]) first) => (seq(float[k]) y, float[1] sum) {
  x = Constant <value = float[4] {1, 2, 3, 4}> ()
  zero = Constant <value = float[1] {0}> ()
  y, sum = Loop <body = b (int64 i, bool going, seq(float[k]) s, float[1] t)
      => (bool on, seq(float[k]) more, float[1] u) {
    on = Identity (going)
    one = Constant <value = int64[1] {1}> ()
    from = Constant <value = int64[1] {0}> ()
    at = Reshape (i, one)
    end = Add (at, one)
    piece = Slice (x, from, end)
    more = SequenceInsert (s, piece)
    each = ReduceSum (piece)
    u = Add (t, each)
  }> (n, c, first, zero)
}"""


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_loop_that_appends_tensors_of_different_shapes(before: int, count: int) -> None:
    first = tensors(*[(i + 1,) for i in range(before)])
    given = {"n": np.array(count), "c": np.array(True), "first": first}
    shapes = {**shaped("first", first), "y": before + count}
    entry = same(APPENDED, [given], shapes)
    if count:
        assert "it runs so many times: 3, not" in ended(entry, {**given, "n": np.array(3)})
        assert "whether it begins is 0, not 1" in ended(entry, {**given, "c": np.array(False)})
    entry = same(APPENDED, [], shaped("first", first), {"n": count, "c": True})
    (y, total) = run(entry, {"first": first})
    assert [each.shape for each in y] == [
        *(e.shape for e in first),
        *((min(i + 1, 4),) for i in range(count)),
    ]
    assert total == sum(sum(range(1, min(i, 4) + 1)) for i in range(1, count + 1))


def test_how_long_what_a_loop_appends_to_is_has_to_be_said() -> None:
    said = refused(parsed(APPENDED), UnsupportedOperator, shapes={"first": 0})
    assert "say how many, such as --shape y=3 or shapes={'y': 3}" in said
    many = {"first": 0, "y": 2000}
    assert "from 0 to 1024" in refused(parsed(APPENDED), ModelError, shapes=many)
    said = refused(parsed(APPENDED), ModelError, shapes={"first": 0, "y": 2}, values={"n": 3})
    assert "its result 'y' has 3 tensors, not 2" in said


WHILE = """small (float[3] x, int64 n, float most) => (seq(float[3]) y) {
  none = SequenceEmpty ()
  true = Constant <value = bool {1}> ()
  w, y = Loop <body = b (int64 i, bool going, float[3] v, seq(float[3]) s)
      => (bool on, float[3] u, seq(float[3]) more) {
    u = Add (v, v)
    largest = ReduceMax <keepdims = 0> (u)
    on = Less (largest, most)
    more = SequenceInsert (s, u)
  }> (n, true, x, none)
}"""


def test_a_loop_whose_condition_ends_what_it_appends() -> None:
    x = np.array([1, 0.5, 0.25], np.float32)

    def given(trips: int, most: float) -> dict[str, Any]:
        return {"x": x, "n": np.array(trips), "most": np.float32(most)}

    entry = same(WHILE, [given(3, 99)], {"y": 3})
    assert "it runs so many times: 4, not 3" in ended(entry, given(4, 99))
    assert "whether it goes on after 1 iterations is 0" in ended(entry, given(3, 1.5))


BRANCHES = """small (bool c, seq(float[n,m]) x) => (seq(float[n,m]) y, float[k,m] z) {
  y, z = If (c) <
    then_branch = t () => (seq(float[n,m]) a, float[k,m] f) {
      first = Constant <value = int64 {0}> ()
      f = SequenceAt (x, first)
      o = Neg (f)
      a = SequenceConstruct (o, f)
    },
    else_branch = e () => (seq(float[n,m]) b, float[k,m] g) {
      last = Constant <value = int64 {-1}> ()
      h = SequenceAt (x, last)
      g = Exp (h)
      b = Identity (x)
    }>
}"""


def test_branches_that_give_sequences() -> None:
    x = tensors((2, 3), (2, 3))
    given = [{"c": np.array(c), "x": x} for c in (True, False)]
    same(BRANCHES, given, shaped("x", x))
    said = refused(parsed(BRANCHES), UnsupportedOperator, shapes=shaped("x", [*x, x[0]]))
    assert "a sequence of 2 in one branch and a sequence of 3 in the other" in said
    x = tensors((2, 3), (1, 3))
    entry = same(BRANCHES, [{"c": each["c"], "x": x} for each in given], shaped("x", x))
    assert [str(s) for s in entry.variants[0].symbols] == ["found_y_1=0..8", "found_z=0..8"]


OPTIONAL = """small (optional(float[2,3]) o, optional(seq(float[n])) s, float[2] z)
    => (bool h, bool g, float[2,3] y, optional(seq(float[n])) t) {
  h = OptionalHasElement (o)
  g = OptionalHasElement (s)
  t = Identity (s)
  y = If (h) <
    then_branch = t () => (float[2,3] a) {e = OptionalGetElement (o) a = Neg (e)},
    else_branch = e () => (float[2,3] b) {b = Constant <value = float[2,3] {1,2,3,4,5,6}> ()}>
}"""


def test_optional_values_that_are_there_and_that_are_not() -> None:
    o, s = floats(2, 3), tensors((2,), (5,))
    given = {"o": o, "s": s, "z": floats(2)}
    entry = entry_of(parsed(OPTIONAL), shaped("s", s))
    h, g, y, t = run(entry, given)
    assert h
    assert g
    np.testing.assert_array_equal(y, -o)
    alike(t, s)
    entry = entry_of(parsed(OPTIONAL), None, {"o": None, "s": None})
    h, g, y, t = run(entry, {"o": None, "z": floats(2)})
    assert not h
    assert not g
    assert t is None
    assert y.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert entry.takes == (Argument("o", absent=True), Argument("s", absent=True), Argument("z"))
    assert entry.gives[-1] == Argument("t", absent=True)


MAYBE = """small (bool c, float[2] x) => (optional(float[2]) y) {
  y = If (c) <
    then_branch = t () => (optional(float[2]) a) {a = Optional (x)},
    else_branch = e () => (optional(float[2]) b) {b = Optional <type: type_proto = float[2]> ()}>
}"""


def test_whether_an_output_is_there_may_be_known_when_it_is_built() -> None:
    (y,) = run(entry_of(parsed(MAYBE), None, {"c": True}), {"x": floats(2)})
    np.testing.assert_array_equal(y, floats(2))
    assert "the model gives no tensor" in refused(parsed(MAYBE), values={"c": False})


MAYBE_A_LIST = """small (bool c, bool d, float[2] x)
    => (optional(seq(float[2])) y, bool h, float[2] z) {
  s = If (c) <
    then_branch = t () => (optional(seq(float[2])) a) {
      n = Neg (x) l = SequenceConstruct (x, n) a = Optional (l)
    },
    else_branch = e () => (optional(seq(float[2])) b) {
      b = Optional <type: type_proto = seq(float[2])> ()
    }>
  y = If (d) <
    then_branch = p () => (optional(seq(float[2])) f) {f = Identity (s)},
    else_branch = q () => (optional(seq(float[2])) g) {
      g = Optional <type: type_proto = seq(float[2])> ()
    }>
  h = OptionalHasElement (y)
  z = If (h) <
    then_branch = u () => (float[2] i) {
      k = OptionalGetElement (y) o = Constant <value = int64 {1}> () i = SequenceAt (k, o)
    },
    else_branch = v () => (float[2] j) {j = Identity (x)}>
}"""


def test_a_run_tells_whether_an_output_is_there() -> None:
    entry = entry_of(parsed(MAYBE))
    assert entry.gives == (Argument("y", optional=True),)
    assert [name for name, _ in entry.variants[0].outputs] == ["y", "y_there"]
    x = floats(2)
    for c in (True, False):
        (y,) = run(entry, {"c": c, "x": x})
        assert y.tolist() == x.tolist() if c else y is None
    entry = entry_of(parsed(MAYBE_A_LIST))
    assert entry.gives[0] == Argument("y", 2, optional=True)
    for c, d in itertools.product((True, False), repeat=2):
        y, h, z = run(entry, {"c": c, "d": d, "x": x})
        assert bool(h) == (c and d)
        np.testing.assert_array_equal(z, -x if c and d else x)
        if c and d:
            alike(y, [x, -x])
        else:
            assert y is None
    asked = parsed(
        MAYBE.replace("=> (optional(float[2]) y)", "=> (float[2] z)")[:-1]
        + "z = OptionalGetElement (y) }"
    )
    assert ended(entry_of(asked), {"c": False, "x": x}) == (
        "OptionalGetElement 'z': whether there is an element: 0, not 1"
    )


def test_an_open_size_of_one_tensor() -> None:
    proto = parsed(MAPPED)
    entry = entry_of(proto, {"x": 2, "x_0": ("n_0", 3), "x_1": (2, 3), "n_0": range(1, 9)})
    (program,) = entry.variants
    for n in (1, 5, 8):
        x, w = tensors((n, 3), (2, 3)), floats(1)
        outputs = computed(program, {"n_0": n}, {"x_0": x[0], "x_1": x[1], "w": w})
        for i in range(2):
            np.testing.assert_allclose(outputs[f"y_{i}"], x[i] * w, 1e-6)


KEPT = """small (seq(float[2]) x, float[2] h, float[2] w)
    => (seq(float[2]) y, float[2] g, float[2] z) {
  first = Constant <value = int64 {0}> ()
  one = SequenceAt (x, first)
  g = Add (one, h)
  y = SequenceConstruct (g, w)
  z = Neg (w)
}"""


def test_sequences_beside_states_constants_and_another_end() -> None:
    read = read_model(parsed(KEPT), {"x": 1}, state={"h": "g"})
    entry = import_entry(read, TARGET)
    verify_library(Library("small", {"run": entry}))
    assert entry.takes == (Argument("x", 1), Argument("w"))
    assert entry.gives == (Argument("y", 2), Argument("z"))
    entry = entry_of(parsed(KEPT), {"x": 1}, {"w": 2})
    assert entry.takes == (Argument("x", 1), Argument("h"))
    alike(run(entry, {"x": tensors((2,)), "h": floats(2)})[2], np.float32([-2, -2]))
    entry = import_entry(read_model(parsed(KEPT), {"x": 1}, outputs=["z"]), TARGET)
    assert not entry.takes
    assert [name for name, _ in entry.variants[0].inputs] == ["w"]
    said = "a tensor of the sequence 'x': it cannot be a state"
    with pytest.raises(ModelError, match=said):
        read_model(parsed(KEPT), {"x": 1}, state={"x_0": "g"})


def test_a_sequence_that_is_longer_for_other_sizes() -> None:
    proto = parsed(
        "small (float[n,2] x) => (seq(float[2]) y) {y = SplitToSequence <keepdims=0>(x)}"
    )
    assert len(run(entry_of(proto, {"x": (3, 2)}), {"x": floats(3, 2)})[0]) == 3
    said = refused(proto, UnsupportedOperator, shapes={"n": (2, 3)})
    assert "the output 'y' has another number of tensors for other sizes" in said


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "input 'x' is a sequence of tensors: say of how many, such as --shape x=3"),
        ({"shapes": {"x": (2, 3)}}, "give the number of its tensors, from 0 to 1024"),
        ({"shapes": {"x": -1}}, "give the number of its tensors, from 0 to 1024"),
        ({"shapes": {"x": 10**9}}, "give the number of its tensors, from 0 to 1024"),
        ({"shapes": {"x": "1..3"}}, "give the number of its tensors, from 0 to 1024"),
        ({"shapes": {"x": range(1, 3)}}, "give the number of its tensors, from 0 to 1024"),
        ({"shapes": {"x": 1}}, "input 'x_0' has no size in dimension 0 ('n_0')"),
        ({"shapes": {"x": 1, "x_0": (2,)}}, "input 'x_0' has 2 dimensions"),
        ({"shapes": {"x": 1, "x_1": (2, 2)}}, "a shape is given for 'x_1'"),
        ({"shapes": {"x": 1, "y": 2, "x_0": (1, 1)}}, "its result 'y' has 1 tensors, not 2"),
        ({"values": {"x": None}, "shapes": {"x": 1}}, "input 'x' is not optional: it has to be"),
        ({"values": {"x": 3}, "shapes": {"x": 1}}, "'x', which is a sequence"),
        ({"values": {"x_0": 3}, "shapes": {"x": 1}}, "a tensor of the sequence 'x'"),
        ({"values": {"w": None}, "shapes": {"x": 1}}, "input 'w' is not optional"),
    ],
    ids=str,
)
def test_what_is_said_wrong(said: dict[str, Any], why: str) -> None:
    assert why in refused(parsed(MAPPED), ModelError, **said)


def test_a_length_that_no_value_decides() -> None:
    said = refused(parsed(PASSED), ModelError, shapes={"x": 1, "x_0": (1, 1), "y": 1})
    assert "a number of tensors is given for 'y', but no value decides" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MAPPED, {"x": 2, "x_0": (2, 3), "x_1": (1, 3)}),
        (INSERTED, {"x": 2, "x_0": (2, 3), "x_1": (1, 3)}),
        (APPENDED, {"first": 0, "y": 2}),
        (EVEN, {"y": 2}),
        (OPTIONAL, {"s": 1, "s_0": (2,)}),
    ],
    ids=["mapped", "inserted", "appended", "even", "optional"],
)
@pytest.mark.filterwarnings("ignore::luthier.schedules.ModelWarning")
def test_damaged_models_never_raise_anything_but_our_errors(text: str, said: Shapes) -> None:
    whole = parsed(text).SerializeToString()
    for seed in range(DAMAGED):
        rng, data = np.random.default_rng(seed), bytearray(whole)
        for _ in range(1 + seed % 3):
            data[rng.integers(len(data))] = rng.integers(256)
        with suppress(DecodeError, LuthierError):
            made = onnx.ModelProto.FromString(bytes(data))
            import_entry(read_model(made, said), TARGET)


def test_names_that_are_taken_and_types_that_are_not_supported() -> None:
    taken = """small (seq(float[2]) x) => (float[2] y) {
      z = SequenceLength (x)
      x_1 = Cast <to = 1> (z)
      y = Neg (x_1)
    }"""
    assert "'x_1' is another value: rename it" in refused(parsed(taken), shapes={"x": 2})
    nested = parsed("small (seq(seq(float[2])) x) => (int64 y) {y = SequenceLength (x)}")
    said = refused(nested, UnsupportedOperator, shapes={"x": 2})
    assert "input 'x' is neither a tensor nor a sequence of tensors" in said
    twice = """small (seq(float[2]) x, float[2] z) => (seq(float[2]) y, float[2] y_0) {
      y = Identity (x)
      y_0 = Neg (z)
    }"""
    assert "the name of another output" in refused(parsed(twice), ModelError, shapes={"x": 1})
