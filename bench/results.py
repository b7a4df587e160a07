"""Tables in RESULTS.md and README.md: each stands between two marks and is replaced when remade."""

from __future__ import annotations

import datetime
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import luthier

RESULTS = Path(__file__).with_name("RESULTS.md")
README = Path(__file__).parent.parent / "README.md"
_PACKAGES = ("apache-tvm", "onnxruntime", "openvino", "torch", "xgboost")


def command(module: str) -> str:
    """The command line that this process was started with, ``module`` being a bench."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def write(name: str, command: str, text: str) -> None:
    """Put a table with its command and machine into RESULTS.md."""
    replace(RESULTS, name, f"`{command}`\n\n{_machine()}\n\n{text}")


def replace(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of ``name``; raises ValueError where they are not."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    old = path.read_text()
    if begin not in old or end not in old:
        raise ValueError(f"{path.name} has no place for '{name}'")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    partial = path.with_suffix(".partial")
    partial.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", old))
    partial.replace(path)


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
