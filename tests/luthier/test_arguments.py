"""Whatever is handed over in Python, what comes back is a LuthierError that names the argument."""

from __future__ import annotations

import decimal
import fractions
import inspect
import io
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scale_model import scale_model

import luthier
import luthier.logs
from luthier.schedules.target import host


def functions(module: Any, prefix: str = "") -> dict[str, Any]:
    found = {name: getattr(module, name) for name in module.__all__}
    return {prefix + name: thing for name, thing in found.items() if inspect.isfunction(thing)}


FUNCTIONS = {**functions(luthier), **functions(luthier.logs, "logs.")}
# Nothing of it is there, so that no call gets far.
NOWHERE: dict[str, Any] = {
    "model": "no.onnx", "model_or_dir": "no.onnx", "out": "no/no/out", "folder": "no", "path": "no",
    "log": "no/no.db", "source": "no.db", "sources": ["no.db"], "first": "no.db", "second": "no.db",
    "target": "z80", "prefix": "0123abcd", "signers": "no",
}  # fmt: skip


class Raises:
    """Everything that is asked of it fails."""

    def __fspath__(self) -> str:
        raise RuntimeError("no path")

    def __index__(self) -> int:
        raise RuntimeError("no index")

    def __float__(self) -> float:
        raise RuntimeError("no float")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")

    __hash__ = object.__hash__


class Module:
    """As torch has them."""

    def state_dict(self) -> dict[str, Any]:
        return {}


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"bytes"


HOSTILE = {
    "None": None, "True": True, "-1": -1, "0": 0, "1.5": 1.5, "nan": float("nan"),
    "inf": float("inf"), "huge": 10**400, "decimal": decimal.Decimal("NaN"),
    "fraction": fractions.Fraction(1, 3), "complex": 1j, "text": "5", "empty": "", "zero": "\0",
    "long": "x" * 5000, "surrogate": "\ud800", "lines": "a\nb\x1b[2J", "bytes": b"model",
    "list": [], "nested": [[1]], "texts": ["a"], "tuple": (), "dict": {}, "shape": {"x": "1,1,8,8"},
    "number keys": {1: (2, 3)}, "set": {1}, "object": object(), "raises": Raises(),
    "class": Raises, "array": np.ones((2, 2)), "objects": np.array([object()], object),
    "numpy nan": np.float32("nan"), "module": Module(), "graph": scale_model().graph,
    "bytes path": BytesPath(), "zero path": Path("zero\0"), "function": len,
    "generator": (i for i in ""), "file": io.StringIO(),
}  # fmt: skip


NO_SOURCES = ("list", "tuple", "dict", "generator", "file")  # nothing to do, which is not an error


def called(function_name: str, /, **changed: Any) -> str:
    """The message of the LuthierError that a call raises."""
    function = FUNCTIONS[function_name]
    names = inspect.signature(function).parameters
    given = {n: v for n, v in NOWHERE.items() if n in names}
    if function_name == "target":
        given["name"] = "z80"
    with pytest.raises(luthier.LuthierError) as caught:
        function(**{**given, **changed})
    message = str(caught.value)
    assert message.isprintable(), "it is one line"
    assert 10 < len(message) < 10_000
    return message


def signature(name: str) -> Any:
    return inspect.signature(FUNCTIONS[name]).parameters


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_parameter_survives_everything(name, recwarn):
    if name == "doctor":  # takes nothing
        return
    assert called(name)
    for parameter in signature(name):
        for kind, value in HOSTILE.items():
            if parameter == "sources" and kind in NO_SOURCES:
                continue
            try:
                called(name, **{parameter: value})
            except BaseException as error:
                error.args = (f"{name}({parameter}={kind}): {error!r}",)
                raise


def test_every_public_function_is_checked():
    assert len(FUNCTIONS) > 15
    for name, function in FUNCTIONS.items():
        if name not in ("doctor", "load"):
            assert hasattr(function, "__wrapped__"), name


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("build", {"model": None}, "model must be a path or an onnx.ModelProto, not None"),
        (
            "build",
            {"model": b"model"},
            "onnx.load_from_string makes a model of bytes",
        ),
        ("build", {"model": "no\0.onnx"}, "model holds a character that no path can have"),
        ("build", {"out": ""}, "out must be a path, and is empty"),
        ("build", {"out": 3}, "out must be a path, not 3"),
        ("build", {"name": 3}, "name must be text, not 3"),
        ("build", {"packs": "team.jsonl"}, "packs must be a list of paths, not 'team.jsonl'"),
        ("build", {"packs": [None]}, "each of packs must be a path, not None"),
        ("build", {"require_hits": "no"}, "require_hits must be True or False, not 'no'"),
        ("build", {"shapes": {"image": "1,1,8,8"}}, "the shape of 'image' must be whole numbers"),
        ("build", {"shapes": {"image": 1.5}}, "or sizes such as range(1, 513), not 1.5"),
        ("build", {"at": 7}, "at must be a mapping of names to sizes, not 7"),
        ("build", {"at": {"n": "7"}}, "each size of 'n' must be a whole number, not '7'"),
        ("build", {"at": {"n": ()}}, "each size of 'n' must be a whole number, not a tuple"),
        ("build", {"at": {"n": -1}}, "each size of 'n' must be"),
        ("build", {"shapes": {"image": (1, 2.5)}}, "must be a whole number, not 2.5"),
        (
            "build",
            {"shapes": {"image": (10**30,)}},
            "at most 2147483647, not a huge number",
        ),
        ("build", {"shapes": [1]}, "shapes must be a mapping of names to sizes, not a list"),
        ("build", {"threads": "2"}, "threads must be a whole number, not '2'"),
        ("build", {"threads": True}, "threads must be a whole number, not True"),
        ("build", {"threads": 0}, "threads must be between 1 and 1024, not 0"),
        ("build", {"target": 3}, "target must be a target's name, not 3"),
        ("build", {"target": host(2).to_json()}, "target must be a target's name, not a dict"),
        ("build", {"accuracy": None}, "accuracy must be text, not None"),
        ("build", {"accuracy": "exact"}, "accuracy is one of strict, balanced, standard"),
        ("tune", {"trials": -1}, "trials must be at least 1, not -1"),
        ("tune", {"trials": "5"}, "trials must be a whole number, not '5'"),
        ("tune", {"trials": float("nan")}, "trials must be a whole number, not nan"),
        ("tune", {"trials": True}, "trials must be a whole number, not True"),
        ("tune", {"minutes": float("inf")}, "minutes must be above 0 and at most 525600, not inf"),
        ("tune", {"minutes": "5"}, "minutes must be a number, not '5'"),
        ("tune", {"log": None}, "log must be a path, not None"),
        ("tune", {"log": "a\0b"}, "log holds a character that no path can have"),
        ("tune", {"seed": -1}, "seed must be at least 0, not -1"),
        ("tune", {"on_progress": 3}, "on_progress must be a function, not 3"),
        ("check", {"runs": 0}, "runs must be at least 1, not 0"),
        ("check", {"rtol": -1}, "rtol must be at least 0 and finite, not -1"),
        ("check", {"atol": float("nan")}, "atol must be at least 0 and finite, not nan"),
        ("check", {"inputs": [1]}, "inputs must be a mapping of names to arrays, not a list"),
        ("bench", {"seconds": 0}, "seconds must be above 0 and at most 3600, not 0"),
        ("load", {"path": "\0"}, "path holds a character that no path can have"),
        ("load", {"path": None}, "path must be a path, not None"),
        ("load", {"threads": 2.0}, "threads must be a whole number, not 2.0"),
        ("target", {"name": None}, "name must be a target's name, not None"),
        ("logs.export", {"best": 0}, "best must be at least 1, not 0"),
        ("logs.merge", {"sources": "a.jsonl"}, "sources must be a list of paths, not 'a.jsonl'"),
        ("logs.verify", {"sample": -1}, "sample must be at least 0, not -1"),
        ("logs.show", {"prefix": 1234}, "prefix must be text, not 1234"),
    ],
)
def test_the_message_says_what_was_wanted_and_given(name, arguments, words):
    assert words in called(name, **arguments)


@pytest.mark.parametrize(
    "change",
    [{"level": "x86-64-v9"}, {"cpu": "a b"}, {"threads": 0}, {"threads": 5000}, {"threads": "2"},
     {"l1": -1}, {"accuracy": "exact"}],
)  # fmt: skip
def test_a_target_that_was_put_together_wrongly(change):
    wrong = replace(host(2), **change)
    with pytest.raises(luthier.LuthierError):
        luthier.target(wrong)
    with pytest.raises(luthier.LuthierError):
        luthier.build(scale_model(), "out", target=wrong)


def test_paths_too_long_for_the_file_system():
    long = "x" * 300
    for name, arguments in {
        "explain": {"model": long}, "load": {"path": long}, "bench": {"folder": long},
        "logs.stats": {"source": long}, "check": {"model_or_dir": long},
    }.items():  # fmt: skip
        target = {"target": "host"} if "target" in signature(name) else {}
        assert "File name too long" in called(name, **{**target, **arguments})
    with pytest.raises(luthier.ArtifactError, match="File name too long"):
        luthier.build(scale_model(), long, log=None)
    with pytest.raises(luthier.LogError, match="File name too long"):
        luthier.tune(scale_model(), log=long, trials=1)
    with pytest.raises(luthier.LogError, match="File name too long"):
        luthier.build(scale_model(), "out", log=long)


def test_numbers_of_numpy_and_paths_of_all_kinds_are_welcome(tmp_path):
    class Somewhere:
        def __fspath__(self) -> str:
            return str(tmp_path / "out")

    report = luthier.build(
        scale_model("batch"),
        Somewhere(),
        target=host(1),
        log=None,
        packs=(),
        threads=np.int64(1),
        shapes=OrderedDict(x=np.array([2, 8])),
        require_hits=np.bool_(False),
    )
    assert report.folder == tmp_path / "out"
    assert luthier.bench(tmp_path / "out", seconds=np.float32(0.01), threads=np.uint8(1)).runs > 0
    assert luthier.check(tmp_path / "out", rtol=np.float64(1), atol=1).ok
    assert luthier.logs.verify([]).ok


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "the model needs more memory than is free"),
        (OSError(28, "No space left on device", "/tmp/x"), "/tmp/x: No space left on device"),
    ],
)
def test_memory_and_disks_that_end_are_our_errors(error, words, monkeypatch):
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("luthier.building.build.import_entries", fails)
    with pytest.raises(luthier.LuthierError, match=words):
        luthier.build(scale_model(), "out", log=None)


def test_an_interrupt_stays_one(monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("luthier.building.build.import_entries", interrupted)
    with pytest.raises(KeyboardInterrupt):
        luthier.build(scale_model(), "out", log=None)


# ---- arrays ----

X, SHIFT = np.arange(16, dtype=np.float32).reshape(2, 8), np.zeros(5, np.float32)


class Named(np.ndarray):
    """A subclass."""


def unaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    assert not shifted.flags.aligned
    return shifted


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


SAME = {
    "Fortran order": np.asfortranarray(X),
    "read-only": read_only(X),
    "strided": np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": X[::-1, ::-1].copy()[::-1, ::-1],
    "a subclass": X.view(Named),
    "a matrix": X.view(np.matrix),
    "unaligned": unaligned(X),
}


@pytest.mark.parametrize("kind", SAME)
def test_arrays_of_every_layout_give_the_same(artifact_folder, kind):
    with luthier.load(artifact_folder, threads=1) as artifact:
        wanted = artifact(X, SHIFT)
        for given, right in zip(artifact(SAME[kind], SHIFT), wanted, strict=True):
            np.testing.assert_array_equal(given, right)
            assert type(given) is np.ndarray


class Dlpack:
    def __dlpack__(self, **_: object) -> object:
        raise RuntimeError("it lies\non the GPU")


WRONG = {
    "None": (None, "input 'x' is a NoneType, not a NumPy or DLPack array"),
    "a list": (X.tolist(), "input 'x' is a list"),
    "a number": (1.0, "input 'x' is a float"),
    "objects": (X.astype(object), "input 'x' is object, not float32"),
    "rank": (X[None], r"input 'x' has the shape \(1, 2, 8\), not \(2, 8\)"),
    "empty": (X[:0], r"input 'x' has the shape \(0, 8\)"),
    "float64": (X.astype(np.float64), "input 'x' is float64, not float32"),
    "big endian": (X.astype(">f4"), "input 'x' is >f4, not float32"),
    "dates": (X.astype("M8[s]"), "input 'x' is datetime64"),
    "masked": (np.ma.masked_array(X, X > 3), "input 'x' is a masked array; fill it first"),
    "DLPack that fails": (Dlpack(), "input 'x' is not an array on the CPU"),
    "a type": (np.float32, "input 'x' is a type"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_argument_that_is_not_an_array(artifact_folder, kind):
    value, words = WRONG[kind]
    with luthier.load(artifact_folder, threads=1) as artifact:
        for call in (
            lambda: artifact(value, SHIFT),
            lambda: artifact.run({"x": value, "shift": SHIFT}),
            lambda: artifact.profile({"x": value, "shift": SHIFT}),
        ):
            with pytest.raises(luthier.InputError, match=words) as caught:
                call()
            assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "given",
    [None, [], X, "x", {}, {1: X}, {None: X, "x": X}, {"x": X, "shift": SHIFT, ("x",): X}],
    ids=lambda given: type(given).__name__,
)
def test_an_argument_that_is_not_a_mapping_of_all_inputs(artifact_folder, given):
    with luthier.load(artifact_folder, threads=1) as artifact:
        for call in (artifact.run, artifact.profile, artifact.checked):
            with pytest.raises(luthier.InputError):
                call(given)
        with pytest.raises(luthier.InputError):
            artifact(X)
    with pytest.raises(luthier.UsageError, match="was closed"):
        artifact(X, SHIFT)


def test_an_error_takes_any_message():
    for message in (None, b"bytes", 3, Path("x"), "\x1b[2J"):
        assert str(luthier.LuthierError(message)).isprintable()
