"""What becomes of a model, pass by pass, as texts in a folder: ``LUTHIER_DUMP``."""

from __future__ import annotations

import os
from collections.abc import Callable
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
        self._count = 0
        if self._folder is not None:
            self._try(lambda folder: folder.mkdir(parents=True, exist_ok=True))

    def __call__(self, name: str, text: Callable[[], str]) -> None:
        """Write a text as ``NN-name.txt``; raises UsageError where that fails."""
        number = self._count
        self._count += 1
        file = f"{number:02}-{name}.txt"
        self._try(lambda folder: (folder / file).write_text(text() + "\n"))

    def _try(self, write: Callable[[Path], object]) -> None:
        if self._folder is None:
            return
        try:
            write(self._folder)
        except OSError as error:
            raise UsageError(
                f"{VARIABLE}={shown(self._folder)}: cannot write there ({error.strerror}); name a "
                "folder that can be written, or unset it"
            ) from error
