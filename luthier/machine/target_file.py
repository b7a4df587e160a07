"""Targets in files: a machine as it was measured, so that a team builds by its costs anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from luthier.deploy.typed import mapping, parse
from luthier.schedules import Target
from luthier.schedules.errors import TargetError, UsageError, printable
from luthier.schedules.files import open_regular, whole_file
from luthier.schedules.target.costs import Costs

SUFFIX = ".json"
_SCHEMA = 1
_MOST_BYTES = 1 << 16


def is_target_file(name: str) -> bool:
    """Whether a target's name is a file's."""
    return name.endswith(SUFFIX)


def check_suffix(path: Path) -> None:
    """Raise UsageError where a file of this name would not be known for a target."""
    if not is_target_file(path.name):
        raise UsageError(f"{printable(str(path))}: a target's file ends in {SUFFIX}")


def write_target(target: Target, path: Path) -> None:
    """The target with its costs; raises UsageError where it cannot be written."""
    data = {"schema": _SCHEMA, "target": target.to_json(), "costs": target.costs.to_json()}
    check_suffix(path)
    try:
        with whole_file(path) as file:
            file.write(f"{json.dumps(data, indent=1)}\n".encode())
    except OSError as error:
        raise UsageError(f"{printable(str(path))} cannot be written: {error.strerror}") from error


def read_target(path: Path) -> Target:
    """What ``write_target`` wrote, or anybody; raises TargetError."""
    shown = printable(str(path))
    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TargetError(f"{shown} cannot be read: {reason}") from error
    try:
        found = mapping(parse(data[:_MOST_BYTES]))
    except (ValueError, RecursionError) as error:
        raise TargetError(
            f"{shown} is not a target as 'luthier target --measure --out' writes it"
        ) from error
    schema = found.get("schema")
    if schema != _SCHEMA:
        raise TargetError(f"{shown}: its schema is {schema!r:.20}; this version reads {_SCHEMA}")
    try:
        target = Target.from_json(found.get("target", {}))
        return replace(target, measured=Costs.from_json(found.get("costs")))
    except TargetError as error:
        raise TargetError(f"{shown}: {error}") from error
