"""Libraries, inputs and rows of a table, kept in a folder so that it may be measured in parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.engines import Arrays
from bench.turns import Row


@dataclass(frozen=True)
class Kept:
    """What is in the folder is not made again."""

    folder: Path

    def built(self, name: str, build: Callable[[Path], object]) -> Path:
        """An artifact folder by its name, which ``build`` writes."""
        path = self.folder / name
        if not (path / "manifest.json").exists():
            build(path)
        return path

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Inputs by the name of a file, which are what ``make`` gives."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            np.savez(path, allow_pickle=False, **make())
        with np.load(path) as file:
            return dict(file)

    def row(self, name: str, measure: Callable[[], Row]) -> Row:
        """A row by its name, which ``measure`` finds."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            made = json.dumps(asdict(measure()))
            path.write_text(made)
        return Row(**json.loads(path.read_text()))


@contextmanager
def kept(folder: Path | None) -> Iterator[Kept]:
    """In a folder, or until the end."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield Kept(folder)
        return
    with TemporaryDirectory() as text:
        yield Kept(Path(text))
