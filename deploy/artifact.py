"""Artifacts in Python: load a folder, run its model on arrays."""

from __future__ import annotations

import _ctypes
import ctypes
import itertools
import os
import threading
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from ctypes import byref, c_void_p
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from numpy.typing import NDArray

from luthier.schedules import (
    ArtifactError,
    InputError,
    LuthierError,
    TargetError,
    Tensor,
    UsageError,
    arguments,
)
from luthier.schedules.errors import printable
from luthier.schedules.files import open_regular
from luthier.schedules.redaction import shown
from luthier.schedules.target import available_cores

from . import binding
from .arrays import Arguments
from .manifest import Manifest, Port, read_manifest, sha256

Array = NDArray[Any]
_MOST_THREADS = 1024
_loads = itertools.count()


def load(path: str | os.PathLike[str], *, threads: int | None = None) -> Artifact:
    """Open the artifact folder ``path`` for runs with ``threads`` threads.

    By default there are as many threads as the model was built for, at most one for each core that
    this process may use. Raises ArtifactError (incomplete, changed, not an artifact),
    TargetError (this CPU lacks features), UsageError (impossible number of threads).

    The hashes detect accidents, not malice: a folder from elsewhere runs as code of its author.
    """
    folder = Path(arguments.path("path", path))
    if threads is not None:
        threads = arguments.integer("threads", threads, 1, _MOST_THREADS)
    manifest = read_manifest(folder)
    with ExitStack() as stack:
        library = _verified_library(folder, manifest, stack)
        artifact = Artifact(folder, manifest, library, threads)
        stack.pop_all()
    return artifact


def _verified_library(folder: Path, manifest: Manifest, stack: ExitStack) -> BinaryIO:
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


_artifacts: weakref.WeakSet[Artifact] = weakref.WeakSet()


def _in_child() -> None:
    """A thread that was in a run stayed with the parent, and with it the lock that it held."""
    for artifact in list(_artifacts):
        artifact._lock = threading.Lock()


os.register_at_fork(after_in_child=_in_child)


class Artifact:
    """A loaded model. Runs from several threads take turns and do not hold Python's lock."""

    def __init__(
        self, folder: Path, manifest: Manifest, library: BinaryIO, threads: int | None
    ) -> None:
        """Use ``load``. ``library`` is the open library, which the artifact then owns."""
        self.folder = folder
        self.manifest = manifest
        self._lock = threading.Lock()
        self._takes, self._gives = Arguments(manifest.inputs), Arguments(manifest.outputs)
        self._error = binding.CError()
        self._instance = c_void_p()
        self._file = library
        path = folder / manifest.library
        try:
            self._library = ctypes.CDLL(_new_path(library))
        except OSError as error:
            raise ArtifactError(f"{shown(path)} cannot be loaded: {error}") from error
        try:
            self._model = _descriptor(self._library, path)
            self._call = self._model.run  # looking it up makes a new object
            _check_ports(folder, manifest, self._model)
            self._create(threads)
            _artifacts.add(self)
        except LuthierError:
            _ctypes.dlclose(self._library._handle)
            raise

    def _create(self, threads: int | None) -> None:
        if threads is None:
            threads = min(self.manifest.target.threads, available_cores())
        self.threads = threads
        options = binding.COptions(binding.ABI, threads, None)
        error = binding.CError()
        status = self._model.create(
            ctypes.addressof(self._model), byref(options), byref(self._instance), byref(error)
        )
        if status == binding.CPU_TOO_OLD:
            raise TargetError(f"{shown(self.folder)}: {_text(error)}")
        if status != binding.OK:
            raise LuthierError(f"{shown(self.folder)}: {_text(error)}")

    @property
    def name(self) -> str:
        """The model's name in C."""
        return self.manifest.name

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Names and types of the inputs, in order."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Names and types of the outputs, in order."""
        return self.manifest.outputs

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run on arrays by input name (NumPy or DLPack); gives arrays by output name.

        Raises InputError for wrong names, shapes or dtypes, UsageError on a closed artifact.
        """
        outputs = self._run(self._checked(inputs), None)
        return dict(zip(self._gives.names, outputs, strict=True))

    def __call__(self, *inputs: Any) -> tuple[Array, ...]:
        """Run on arrays in the model's order; gives all outputs in the model's order."""
        if len(inputs) != len(self.inputs):
            raise InputError(f"{len(inputs)} inputs given, '{self.name}' has {len(self.inputs)}")
        return tuple(self._run(self._takes.checked(inputs), None))

    def profile(self, inputs: Mapping[str, Any]) -> list[float]:
        """Run once and give the seconds of each of ``manifest.steps``."""
        seconds = (ctypes.c_double * len(self.manifest.steps))()
        self._run(self._checked(inputs), seconds)
        return list(seconds)

    def checked(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The inputs as NumPy arrays by name; raises InputError for what ``run`` refuses."""
        return dict(zip(self._takes.names, self._checked(inputs), strict=True))

    def _checked(self, inputs: Mapping[str, Any]) -> list[Array]:
        if type(inputs) is not dict and not isinstance(inputs, Mapping):
            raise InputError("inputs are given as a mapping from input names to arrays")
        names = self._takes.names
        for name in inputs:
            if name not in names:
                raise InputError(f"no input is called {name!r}; there are {names}")
        for name in names:
            if name not in inputs:
                raise InputError(f"input {name!r} is missing")
        return self._takes.checked([inputs[name] for name in names])

    def _run(self, inputs: list[Array], seconds: Any) -> list[Array]:
        outputs, error = self._gives.empty(), self._error
        with self._lock:
            if not self._instance:
                raise UsageError(f"{shown(self.folder)} was closed; load it again")
            status = self._call(
                self._instance,
                self._takes.table(inputs),
                len(inputs),
                self._gives.table(outputs),
                len(outputs),
                seconds,
                byref(error),
            )
            if status != binding.OK:
                raise LuthierError(f"{shown(self.folder)}: {_text(error)}")
        return outputs

    def close(self) -> None:
        """Free the instance and unload the library; a second call does nothing."""
        with self._lock:
            if self._instance:
                self._model.destroy(self._instance)
                self._instance = c_void_p()
                _ctypes.dlclose(self._library._handle)
                self._file.close()

    def __enter__(self) -> Artifact:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_library"):
            self.close()

    def __repr__(self) -> str:
        takes = ", ".join(f"{p.name}: {p.tensor}" for p in self.inputs)
        gives = ", ".join(f"{p.name}: {p.tensor}" for p in self.outputs)
        return printable(f"<Artifact {self.name}({takes}) -> {gives}>")


def _new_path(file: BinaryIO) -> str:
    """A path of the file that this process has never used.

    The loader takes a path that it has seen for the library that it found there; another may have
    been built there since, and the numbers of descriptors come again.
    """
    written = "".join("./" if digit == "0" else ".//" for digit in f"{next(_loads):b}")
    return f"/proc/self/fd/{written}{file.fileno()}"


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


def _check_ports(folder: Path, manifest: Manifest, model: binding.CModel) -> None:
    """The manifest and the library describe the same tensors; raises ArtifactError."""
    inputs = tuple(_port(model.inputs[i]) for i in range(model.input_count))
    outputs = tuple(_port(model.outputs[i]) for i in range(model.output_count))
    described = manifest.inputs, manifest.outputs, len(manifest.steps)
    if described != (inputs, outputs, model.step_count):
        raise ArtifactError(
            f"{shown(folder)}: manifest.json and {manifest.library} describe different models; "
            "build it again"
        )


def _port(tensor: binding.CTensor) -> Port:
    shape = tuple(tensor.shape[i] for i in range(tensor.rank))
    return Port(tensor.name.decode(), Tensor(shape, binding.DTYPES[tensor.dtype - 1]))


def _text(error: binding.CError) -> str:
    return bytes(error.message).decode("utf-8", "replace")
