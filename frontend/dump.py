"""What becomes of a model, pass by pass, as texts in a folder: ``LUTHIER_DUMP``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from luthier.schedules import UsageError
from luthier.schedules.redaction import shown

VARIABLE = "LUTHIER_DUMP"


class Dump:
    """Numbers what it is given; does nothing where the variable names no folder."""

    def __init__(self) -> None:
        """Raises UsageError where the folder cannot be made."""
        named = os.environ.get(VARIABLE)
        self._folder = Path(named) if named else None
        self._numbers = count()
        if self._folder is not None:
            with _naming(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, text: object) -> None:
        """Write a text as ``NN-name.txt``; raises UsageError where that fails."""
        if self._folder is not None:
            with _naming(self._folder):
                file = self._folder / f"{next(self._numbers):02}-{name}.txt"
                file.write_text(f"{text}\n")


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{VARIABLE}={shown(folder)}: cannot write there ({error.strerror}); name a "
            "folder that can be written, or unset it"
        ) from error
