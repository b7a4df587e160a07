"""Arrays by the names that a model has for them: lists of some for sequences, None for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from luthier.frontend.program import Argument
from luthier.schedules import InputError

from .typed import each, mapping, text, whole

Array = NDArray[Any]
_MOST = 1 << 16  # tensors of a sequence, which a manifest says


class Grouping:
    """What belongs together among the inputs or outputs of an entry point."""

    def __init__(self, arguments: Sequence[Argument]) -> None:
        self.arguments = tuple(arguments)
        self.names = [argument.name for argument in arguments]

    def apart(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs as a library takes them; those of a sequence may be given one by one.

        Raises InputError for what is not a sequence of as many, or is there where nothing is.
        """
        found = dict(given)
        for argument in self.arguments:
            if not argument.is_tensor and argument.name in given:
                values = _values(argument, found.pop(argument.name))
                found |= zip(argument.tensors, values, strict=True)
            elif argument.count and found.keys().isdisjoint(argument.tensors):
                raise InputError(f"input {argument.name!r} is missing")
        return found

    def together(self, arrays: Sequence[Array]) -> dict[str, Any]:
        """Outputs of a library in order, by the model's names."""
        left, found = iter(arrays), dict[str, Any]()
        for argument in self.arguments:
            if argument.is_tensor:
                found[argument.name] = next(left)
            else:
                found[argument.name] = _joined(argument, [next(left) for _ in argument.tensors])
        return found


def _joined(argument: Argument, arrays: Sequence[Array]) -> Any:
    """What is given by one name."""
    if argument.absent or (argument.optional and not arrays[-1]):
        return None
    kept = list(arrays[:-1] if argument.optional else arrays)
    return kept[0] if argument.count is None else kept


def _values(argument: Argument, value: Any) -> Sequence[Any]:
    name = argument.name
    if argument.absent and value is None:
        return ()
    if argument.absent:
        raise InputError(
            f"input {name!r} is given, but the library was built for none: build one without "
            f"--value {name}=none"
        )
    if not isinstance(value, list | tuple):
        raise InputError(
            f"input {name!r} is a sequence of tensors: give a list of {argument.count} arrays, not "
            f"a {type(value).__name__}"
        )
    if len(value) != argument.count:
        raise InputError(
            f"input {name!r} has {len(value)} tensors, but the library was built for "
            f"{argument.count}: build one with --shape {name}={len(value)}"
        )
    return value


def to_json(arguments: Sequence[Argument]) -> list[dict[str, Any]]:
    """The form that manifests have."""
    return [
        {"name": a.name}
        | ({} if a.count is None else {"sequence": a.count})
        | ({"absent": True} if a.absent else {})
        | ({"optional": True} if a.optional else {})
        for a in arguments
    ]


def from_json(data: Any, ports: Sequence[str]) -> tuple[Argument, ...]:
    """Read ``to_json``'s form from untrusted data, of inputs or outputs; raises ValueError."""
    found = each(_argument, data)
    if sum(a.count or 0 for a in found) > _MOST:
        raise ValueError("a sequence has too many tensors")
    if found and [tensor for a in found for tensor in a.tensors] != list(ports):
        raise ValueError("what belongs together are not the inputs or outputs")
    if len({a.name for a in found}) != len(found):
        raise ValueError("two inputs or outputs have one name")
    return found


def _argument(data: Any) -> Argument:
    data = mapping(data)
    count = whole(data["sequence"]) if "sequence" in data else None
    absent, optional = (data.get(name, False) for name in ("absent", "optional"))
    if any(each not in (False, True) for each in (absent, optional)):
        raise ValueError("an optional value is there or not")
    if absent and (optional or count is not None):
        raise ValueError("an optional value is there or not")
    return Argument(text(data["name"]), count, absent is True, optional is True)
