"""Several models on the command line: ``--entry NAME=FILE``, and options of one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import luthier

from .options import AUTO, F

OF_A_MODEL = ("shapes", "values", "outputs", "state", "bounds", "preprocess", "postprocess")


def _entries(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Path]:
    """``NAME=FILE``."""
    found: dict[str, Path] = {}
    for value in values:
        match = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)=(.+)", value)
        if not match:
            raise click.BadParameter(
                f"'{value}' is not an entry point such as decode=decode.onnx: letters, digits and "
                "_, then a file"
            )
        if match[1] in found:
            raise click.BadParameter(f"'{match[1]}' is there twice")
        found[match[1]] = Path(match[2])
    return found


def entry(function: F) -> F:
    """The option that names them."""
    return click.option(
        "--entry",
        "entries",
        multiple=True,
        metavar="NAME=FILE",
        callback=_entries,
        help="Several models, in place of MODEL, as entry points of one library. Options of one of "
        "them begin with its name, as --shape NAME:tokens=1..512 does. Repeatable.",
    )(function)


def models(
    model: Path | None,
    entries: Mapping[str, Path],
    settings: dict[str, Any],
    what: str = "a MODEL",
) -> Any:
    """What ``luthier.build`` takes as models; options of entry points are taken from ``settings``.

    Raises UsageError unless there is a model or an entry point.
    """
    if (model is None) == (not entries):
        raise luthier.UsageError(f"give {what}, or entry points with --entry NAME=FILE")
    if not entries:
        return model
    said = {kind: settings.pop(kind) for kind in OF_A_MODEL}
    return {
        name: luthier.EntryPoint(path, **{k: _of(name, entries, s) for k, s in said.items()})
        for name, path in entries.items()
    }


def _of(entry: str, entries: Mapping[str, Path], said: Any) -> Any:
    """What is said of an entry point: with its name in front, or with none's, which is of all."""
    if said is None or isinstance(said, str):
        return said
    if not isinstance(said, Mapping):
        names = [name for each in said if (name := _own(entry, entries, each)) is not None]
        return names or None
    own = {_own(entry, entries, key): value for key, value in said.items()}
    own.pop(None, None)
    if isinstance(own.get(AUTO), str) and own[AUTO].rpartition(":")[2] == AUTO:
        if len(own) > 1:
            raise luthier.UsageError(f"--state auto and others of '{entry}' exclude each other")
        return AUTO
    return own or None


def _own(entry: str, entries: Mapping[str, Path], name: str) -> str | None:
    """The name without the entry point's; None where it is another's."""
    whose, colon, rest = name.partition(":")
    if not colon or whose not in entries:
        return name
    return rest if whose == entry else None
