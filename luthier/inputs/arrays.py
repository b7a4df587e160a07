"""Named arrays in ``.npz`` files: read without pickle, written in one step."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from luthier.schedules.errors import InputError
from luthier.schedules.files import open_regular, whole_file
from luthier.schedules.redaction import shown

Array = NDArray[Any]


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of an ``.npz`` file by name; raises InputError for anything else."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            if sum(e.file_size for e in archive.infolist()) > psutil.virtual_memory().available:
                raise MemoryError
            return {name.removesuffix(".npy"): _read(archive, name) for name in archive.namelist()}
    except Exception as error:  # zipfile and numpy raise nearly anything for damaged files
        raise InputError(f"{shown(path)}: {_reason(error)}") from error


def load_array(path: str | os.PathLike[str]) -> Array:
    """The array of an ``.npy`` file; raises InputError for anything else."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > psutil.virtual_memory().available:
                raise MemoryError
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
            return array
    except Exception as error:
        raise InputError(f"{shown(path)}: {_reason(error, 'npy', 'save')}") from error


def inputs_of(arrays: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Of an artifact's sample, which has outputs too, the inputs called ``names``; else all."""
    sampled = {name: arrays[f"in:{name}"] for name in names if f"in:{name}" in arrays}
    return dict(arrays) if arrays.keys() & set(names) or not sampled else sampled


def _read(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as entry:
        array: Array = np.lib.format.read_array(entry, allow_pickle=False)
        return array


def _reason(error: Exception, kind: str = "npz", function: str = "savez") -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "its arrays do not fit into memory"
    if "Object arrays" in str(error):
        return "it holds Python objects, which are not read; save arrays of numbers"
    return f"this is not an .{kind} file as numpy.{function} writes them, or it is damaged"


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write an ``.npz`` file that is there whole or not at all; raises InputError."""
    try:
        with whole_file(path) as file:
            _write(file, arrays)
    except OSError as error:
        raise InputError(f"cannot write {shown(path)}: {error.strerror}") from error


def _write(file: Any, arrays: Mapping[str, Array]) -> None:
    # numpy.savez takes the names as keyword arguments, so an array could not be called "file".
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
