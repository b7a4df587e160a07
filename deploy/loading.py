"""Opens an artifact's library, and what it says of itself."""

from __future__ import annotations

import _ctypes
import ctypes
import itertools
import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from luthier.schedules import ArtifactError, Tensor
from luthier.schedules.files import open_regular
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.redaction import shown

from . import binding
from .entries import TEXT, EntryNote, Port
from .manifest import Manifest, sha256
from .states import StateNote

_loads = itertools.count()


def verified_library(folder: Path, manifest: Manifest, stack: ExitStack) -> BinaryIO:
    """The open library; every file of the artifact is there and as it was built."""
    required = (manifest.library, "model.h", "luthier.hpp")
    missing = [name for name in required if name not in manifest.files]
    if missing:
        raise ArtifactError(
            f"{shown(folder)}: the manifest does not name {missing[0]}; build it again"
        )
    library = stack.enter_context(_open(folder / manifest.library))
    for name, digest in manifest.files.items():
        if name == manifest.library:
            same = sha256(library) == digest
        else:
            with _open(folder / name) as file:
                same = sha256(file) == digest
        if not same:
            raise ArtifactError(
                f"{shown(folder / name)} was changed after the build; build it again"
            )
    return library


def _open(path: Path) -> BinaryIO:
    """A regular file, and not through a link; raises ArtifactError."""
    try:
        return open_regular(path, links=False)
    except OSError as error:
        raise ArtifactError(f"{shown(path)}: {error.strerror}; build the artifact again") from error


class LoadedLibrary:
    """A library for as long as anything refers to it, and its entry points by name."""

    def __init__(self, folder: Path, manifest: Manifest, file: BinaryIO) -> None:
        """Loads an open file; raises ArtifactError where it is not the manifest's library."""
        path = folder / manifest.library
        self._file = os.dup(file.fileno())  # open for as long as the library has its path
        try:
            self._library = ctypes.CDLL(_new_path(self._file))
        except OSError as error:
            os.close(self._file)
            raise ArtifactError(f"{shown(path)} cannot be loaded: {error}") from error
        try:
            self._read(folder, manifest, path)
        except ArtifactError:
            self.close()
            raise

    def _read(self, folder: Path, manifest: Manifest, path: Path) -> None:
        first = _descriptor(self._library, path)
        self.models = {_name(model): model for model in _models(first)}
        described = [_note(model) for model in self.models.values()]
        if described != [_outline(entry) for entry in manifest.entries]:
            raise ArtifactError(
                f"{shown(folder)}: manifest.json and {manifest.library} describe different models; "
                "build it again"
            )

    def close(self) -> None:
        """Unload it, though something may refer to it; a second call does nothing."""
        if hasattr(self, "_library"):
            _ctypes.dlclose(self._library._handle)
            os.close(self._file)
            del self._library

    __del__ = close


def _new_path(descriptor: int) -> str:
    """A path of the file that this process has never used.

    The loader takes a path that it has seen for the library that it found there; another may have
    been built there since, and the numbers of descriptors come again.
    """
    written = "".join("./" if digit == "0" else ".//" for digit in f"{next(_loads):b}")
    return f"/proc/self/fd/{written}{descriptor}"


def _descriptor(library: ctypes.CDLL, path: Path) -> binding.CModel:
    try:
        function = library.luthier_model
    except AttributeError as error:
        raise ArtifactError(f"{shown(path)} exports no luthier_model") from error
    function.restype = ctypes.POINTER(binding.CModel)
    model: binding.CModel = function().contents
    if model.abi != binding.ABI:
        raise ArtifactError(
            f"{shown(path)} has ABI {model.abi}, this Luthier {binding.ABI}; build it again"
        )
    return model


def _models(first: binding.CModel) -> list[binding.CModel]:
    """Those of all entry points."""
    addresses = (first.entries[i] for i in range(first.entry_count))
    return [binding.CModel.from_address(address) for address in addresses]


def _name(model: binding.CModel) -> str:
    name: str = model.entry.decode()
    return name


Outline = tuple[
    str, tuple[Symbol, ...], tuple[Port, ...], tuple[Port, ...], int, tuple[StateNote, ...]
]


def _note(model: binding.CModel) -> Outline:
    """What a library says of an entry point."""
    sizes = tuple(_symbol(model.sizes[i]) for i in range(model.size_count))
    inputs = tuple(_port(model.inputs[i]) for i in range(model.input_count))
    outputs = tuple(
        replace(_port(model.outputs[i]), labels=_labels(model, i))
        for i in range(model.output_count)
    )
    states = tuple(_state(model.states[i]) for i in range(model.state_count))
    return _name(model), sizes, inputs, outputs, model.step_count, states


def _outline(entry: EntryNote) -> Outline:
    """The same of a manifest's."""
    states = tuple(replace(state, length="") for state in entry.states)
    inputs, outputs = (
        tuple(replace(port, processing="", keys=()) for port in ports)
        for ports in (entry.inputs, entry.outputs)
    )
    return entry.name, entry.sizes, inputs, outputs, len(entry.steps), states


def _labels(model: binding.CModel, output: int) -> tuple[str, ...]:
    found, count = model.output_labels[output], model.output_label_counts[output]
    return tuple(found[i].decode() for i in range(count))


def _symbol(size: binding.CSize) -> Symbol:
    exact = tuple(size.exact[i] for i in range(size.exact_count))
    return Symbol(size.name.decode(), size.least, size.most, exact)


def _state(state: binding.CState) -> StateNote:
    shape = tuple(state.shape[i] for i in range(state.rank))
    tensor = Tensor(shape, binding.DTYPES[state.dtype - 1])
    axis = None if state.axis < 0 else state.axis
    return StateNote(state.name.decode(), state.becomes.decode(), tensor, axis)


def _port(tensor: binding.CTensor) -> Port:
    shape = tuple(tensor.shape[i] for i in range(tensor.rank))
    dims = tuple(tensor.dims[i].decode() for i in range(tensor.rank))
    fixed = dims == tuple(map(str, shape))
    dtype = binding.DTYPES[tensor.dtype - 1]
    is_text = dtype == TEXT
    held = Tensor(shape, "uint8" if is_text else dtype)
    return Port(tensor.name.decode(), held, () if fixed else dims, text=is_text)
