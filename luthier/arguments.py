"""The public functions' arguments, looked at before anything is done with them.

A parameter's name means the same in every function, so its name says what it must be. None is
welcome where the annotation says so.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from luthier.schedules.arguments import flag, integer, number, path, paths, shown, text
from luthier.schedules.errors import LuthierError, ModelError, UsageError, of_system
from luthier.schedules.target import ACCURACIES, Target

P = ParamSpec("P")
T = TypeVar("T")

FilePath = str | os.PathLike[str]

MAX_THREADS = 1024
_MOST_TRIALS = 1 << 40
_MOST_SIZE = 2**31 - 1
_MOST_SEED = 2**63 - 1
_YEAR = 525_600.0  # minutes

AUTO = "auto"  # the one in luthier.frontend.states, which would import onnx here
Check = Callable[[str, Any], Any]


def validated(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which checks its arguments first and lets no error of the system through.

    A full disk and memory that ends raise LuthierError, too.
    """
    signature = inspect.signature(function)
    checks = {n: _check(function.__name__, n) for n in signature.parameters}
    optional = {n for n, p in signature.parameters.items() if "None" in str(p.annotation)}

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if value is not None or name not in optional:
                bound.arguments[name] = checks[name](name, value)
        try:
            return function(*bound.args, **bound.kwargs)
        except MemoryError as error:
            raise ModelError("the model needs more memory than is free") from error
        except OSError as error:  # the disk is full, say
            raise LuthierError(of_system(error)) from error

    return checked


def _models(name: str, value: Any) -> Any:
    """A model, or several by the names of entry points."""
    if not isinstance(value, Mapping):
        return _model(name, value)
    return {text(f"each name in {name}", key): _point(key, value[key]) for key in value}


def _point(key: str, value: Any) -> Any:
    from .inputs.points import EntryPoint  # noqa: PLC0415 - imports onnx

    what = f"the entry point {key!r}"
    point = value if isinstance(value, EntryPoint) else EntryPoint(value)
    return EntryPoint(
        _model(what, point.model),
        None if point.shapes is None else _shapes(f"the shapes of {what}", point.shapes),
        None if point.values is None else _values(f"the values of {what}", point.values),
        None if point.outputs is None else _names(f"the outputs of {what}", point.outputs),
        None if point.state is None else _state(f"the state of {what}", point.state),
        None if point.bounds is None else _bounds(f"the bounds of {what}", point.bounds),
        point.example_inputs,
        None
        if point.preprocess is None
        else _preprocess(f"preprocess of {what}", point.preprocess),
        None
        if point.postprocess is None
        else _postprocess(f"postprocess of {what}", point.postprocess),
    )


def _state(name: str, value: Any) -> Any:
    if isinstance(value, str) and value == AUTO:
        return value
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be {AUTO!r}, or a mapping of names, not {shown(value)}")
    return {
        text(f"each input in {name}", k): text(f"each output in {name}", value[k]) for k in value
    }


def _model(name: str, value: Any) -> Any:
    """A path, a ModelProto, a model that was read, or an object of another library."""
    if isinstance(value, str | os.PathLike):
        return path(name, value)
    import onnx  # noqa: PLC0415 - half a second, and only models need it

    from luthier.frontend import ReadModel  # noqa: PLC0415 - imports onnx

    from .inputs.objects import is_object  # noqa: PLC0415 - imports onnx

    if isinstance(value, onnx.ModelProto | ReadModel) or is_object(value):
        return value
    advice = ""
    if isinstance(value, bytes | bytearray):
        advice = "; onnx.load_from_string makes a model of bytes"
    raise UsageError(f"{name} must be a path or an onnx.ModelProto, not {shown(value)}{advice}")


def _target(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, Target):
        raise UsageError(f"{name} must be a target's name, not {shown(value)}")
    integer("threads", value.threads, 1, MAX_THREADS)
    Target.from_json(value.to_json())
    if value.accuracy not in ACCURACIES:
        raise UsageError(f"the accuracy of {name} is one of {', '.join(ACCURACIES)}")
    return value


def _shapes(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be a mapping of names to sizes, not {shown(value)}")
    return {text(f"each name in {name}", key): _sizes(key, value[key]) for key in value}


def _sizes(key: str, value: Any) -> Any:
    """Dimensions, as numbers or names; a size's range, or the one that it has."""
    what = f"the shape of '{key}'"
    if isinstance(value, range) or (isinstance(value, str) and ".." in value):
        return value
    if isinstance(value, str | bytes | Mapping | bool | float) or value is None:
        raise UsageError(
            f"{what} must be whole numbers such as (1, 3, 224, 224), or sizes such as "
            f"range(1, 513), not {shown(value)}"
        )
    if not _is_sequence(value):
        return integer(what, value, -_MOST_SIZE, _MOST_SIZE)
    each = f"each size in {what}"
    return tuple(
        size if isinstance(size, str) else integer(each, size, -_MOST_SIZE, _MOST_SIZE)
        for size in value
    )


def _at(name: str, value: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be a mapping of names to sizes, not {shown(value)}")
    found = {}
    for key in value:
        some = value[key] if _is_sequence(value[key]) else (value[key],)
        what = f"each size of '{text(f'each name in {name}', key)}'"
        if isinstance(some, str | bytes) or not len(some):
            raise UsageError(f"{what} must be a whole number, not {shown(value[key])}")
        found[key] = tuple(integer(what, size, 0, _MOST_SIZE) for size in some)
    return found


def _bounds(name: str, value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be a mapping of names to numbers, not {shown(value)}")
    return {
        text(f"each name in {name}", key): integer(
            f"the bound of '{key}'", value[key], 1, _MOST_SIZE
        )
        for key in value
    }


def _is_sequence(value: Any) -> bool:
    if isinstance(value, Sequence):
        return True
    return hasattr(value, "__array__") and getattr(value, "ndim", 0) == 1


def _values(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(
            f"{name} must be a mapping of names to numbers or arrays, not {shown(value)}"
        )
    return {text(f"each name in {name}", key): value[key] for key in value}


def _preprocess(name: str, value: Any) -> Any:
    from luthier.frontend import Preprocess  # noqa: PLC0415 - imports onnx

    return _processing(name, value, Preprocess)


def _postprocess(name: str, value: Any) -> Any:
    from luthier.frontend import Postprocess  # noqa: PLC0415 - imports onnx

    return _processing(name, value, Postprocess)


def _processing(name: str, value: Any, kind: Any) -> dict[str, Any]:
    """By name what is done, or the words that say it."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be a mapping of names, not {shown(value)}")
    found = {}
    for key, each in value.items():
        said = kind.parse(each) if isinstance(each, str) else each
        if not isinstance(said, kind):
            raise UsageError(
                f"{name} of {key!s:.40} must be a luthier.{kind.__name__}, or its words, not "
                f"{shown(each)}"
            )
        found[text(f"each name in {name}", key)] = said
    return found


def _names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise UsageError(f"{name} must be a list of names, not {shown(value)}")
    if not value:
        raise UsageError(f"{name} must name at least one value of the model")
    return tuple(text(f"each of {name}", each) for each in value)


def _callback(name: str, value: Any) -> Any:
    if callable(value):
        return value
    raise UsageError(f"{name} must be a function, not {shown(value)}")


def _mapping(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    raise UsageError(f"{name} must be a mapping of names to arrays, not {shown(value)}")


def _whole(least: int, most: int) -> Check:
    return lambda name, value: integer(name, value, least, most)


def _data(name: str, value: Any) -> Any:
    """An .npz file, arrays by name, or a mapping for each of some samples."""
    if isinstance(value, str | os.PathLike):
        return path(name, value)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return value
    raise UsageError(f"{name} must be an .npz file or arrays by name, not {shown(value)}")


def _metric(name: str, value: Any) -> Any:
    return value if callable(value) else text(name, value)


_CHECKS: dict[str, Check] = {
    **dict.fromkeys(("model", "model_or_dir"), _models),
    **dict.fromkeys(("out", "folder", "log", "source", "first", "second", "signers"), path),
    **dict.fromkeys(("packs", "sources"), paths),
    **dict.fromkeys(
        ("verify", "timed", "require_hits", "kernels", "stale", "dry_run", "measure"), flag
    ),
    **dict.fromkeys(("rtol", "atol"), lambda name, value: number(name, value, least=0)),
    **dict.fromkeys(("accuracy", "prefix"), text),
    "target": _target,
    "name": text,
    "entry": text,
    "shapes": _shapes,
    "at": _at,
    "bounds": _bounds,
    "values": _values,
    "outputs": _names,
    "state": _state,
    "inputs": _mapping,
    "example_inputs": lambda _, value: value,  # of the kinds that only the library knows
    "preprocess": _preprocess,
    "postprocess": _postprocess,
    **dict.fromkeys(("on_progress", "on_step"), _callback),
    **dict.fromkeys(("method", "ranges", "activations"), text),
    "data": _data,
    "block": _whole(1, _MOST_SIZE),
    "metric": _metric,
    "max_drop": lambda name, value: number(name, value, least=0),
    "threads": _whole(1, MAX_THREADS),
    "trials": _whole(1, _MOST_TRIALS),
    "minutes": lambda name, value: number(name, value, above=0, most=_YEAR),
    "seconds": lambda name, value: number(name, value, above=0, most=3600),
    "seed": _whole(0, _MOST_SEED),
    "runs": _whole(1, 1_000_000),
    "sample": _whole(0, _MOST_TRIALS),
    "best": _whole(1, _MOST_TRIALS),
}


def _check(function: str, name: str) -> Check:
    """``target`` calls ``name`` what the others call ``target``."""
    return _target if (function, name) == ("target", "name") else _CHECKS[name]
