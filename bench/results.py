"""RESULTS.md: each table stands between two marks and is replaced by the command that made it."""

from __future__ import annotations

import datetime
import re
from importlib import metadata
from pathlib import Path

import luthier

RESULTS = Path(__file__).with_name("RESULTS.md")
_PACKAGES = ("apache-tvm", "onnxruntime", "openvino", "xgboost")


def write(name: str, command: str, text: str) -> None:
    """Replace what stands between the marks of ``name``; raises ValueError where they are not."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    old = RESULTS.read_text()
    if begin not in old or end not in old:
        raise ValueError(f"{RESULTS.name} has no place for '{name}'")
    body = f"{begin}\n`{command}`\n\n{_machine()}\n\n{text}\n{end}"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(pattern.sub(lambda _: body, old))
    partial.replace(RESULTS)


def _machine() -> str:
    machine = luthier.target()
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return (
        f"{datetime.date.today()}, {machine.logical_cores} cores of {machine.cpu} "
        f"({machine.level}, virtual), {', '.join(versions)}."
    )
