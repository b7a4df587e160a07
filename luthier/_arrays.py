"""Named arrays in ``.npz`` files: read without pickle, written in one step."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.errors import InputError

Array = NDArray[Any]
_BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of an ``.npz`` file by name; raises InputError for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds one array without a name; save it with numpy.savez")
            return {name: file[name] for name in file.files}
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise InputError(f"{path}: {reason or 'this is no .npz file, or it is damaged'}") from error


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write an ``.npz`` file that is there whole or not at all; raises InputError."""
    target = Path(path)
    partial = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
            partial = Path(file.name)
            _write(file, arrays)
        partial.chmod(0o666 & ~_umask())
        partial.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _write(file: Any, arrays: Mapping[str, Array]) -> None:
    # numpy.savez takes the names as keyword arguments, so an array could not be called "file".
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
