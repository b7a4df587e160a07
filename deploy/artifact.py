"""Artifacts in Python: load a folder, run its model on arrays."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import byref, c_void_p
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from luthier.frontend.program import Argument
from luthier.schedules import InputError, LuthierError, TargetError, UsageError, arguments
from luthier.schedules.errors import printable
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.redaction import shown
from luthier.schedules.target import available_cores

from . import binding
from .arrays import Arguments
from .entries import EntryNote, Port, Step
from .found_outputs import FoundOutputs
from .grouping import Grouping
from .loading import LoadedLibrary, verified_library
from .manifest import Manifest, read_manifest
from .maps import Maps
from .memory import Memory
from .open_shapes import OpenShapes
from .small import Small, all_small
from .texts import Texts

Array = NDArray[Any]
_MOST_THREADS = 1024


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
        library = LoadedLibrary(folder, manifest, verified_library(folder, manifest, stack))
    if threads is None:
        threads = min(manifest.target.threads, available_cores())
    options = binding.COptions(binding.ABI, threads, None)

    def create(model: Any, instance: Any, error: Any) -> int:
        status: int = model.create(ctypes.addressof(model), byref(options), instance, error)
        return status

    try:
        return Artifact(folder, manifest, library, manifest.entries[0], threads, create)
    except LuthierError:
        library.close()
        raise


_artifacts: weakref.WeakSet[Artifact] = weakref.WeakSet()


def _in_child() -> None:
    """A thread that was in a run stayed with the parent, and with it the lock that it held."""
    for artifact in list(_artifacts):
        artifact._lock = threading.Lock()


os.register_at_fork(after_in_child=_in_child)


class Artifact:
    """A loaded model. Runs from several threads take turns and do not hold Python's lock."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        library: LoadedLibrary,
        entry: EntryNote,
        threads: int,
        create: Callable[[binding.CModel, Any, Any], int],
    ) -> None:
        """Use ``load``. ``create`` makes the instance: of a model, at a place, with an error."""
        self.folder, self.manifest, self.threads = folder, manifest, threads
        self._library, self._note = library, entry
        self._model = library.models[entry.name]
        self._call = self._model.run  # looking it up makes a new object
        self._lock = threading.Lock()
        is_open = bool(entry.sizes or entry.lengths)
        self._open = OpenShapes(self._model, entry) if is_open else None
        self._found = FoundOutputs(self._model, entry) if entry.found else None
        self._takes = self._open.takes if self._open else Arguments(entry.inputs)
        self._gives = self._open.gives if self._open else Arguments(entry.outputs)
        self._apart = Grouping(entry.takes) if entry.takes else None
        self._together = Grouping(entry.gives) if entry.gives else None
        self._maps, self._texts = Maps(entry.inputs), Texts(entry.inputs, entry.outputs)
        self._error = binding.CError()
        self._error_address = ctypes.addressof(self._error)
        self._instance = c_void_p()
        status = create(self._model, byref(self._instance), byref(self._error))
        if status == binding.CPU_TOO_OLD:
            raise TargetError(f"{shown(folder)}: {binding.text(self._error)}")
        if status != binding.OK:
            raise LuthierError(f"{shown(folder)}: {binding.text(self._error)}")
        self._small = None if self._open else self._of_small(self._takes.shapes)
        _artifacts.add(self)

    def entry(self, name: str) -> Artifact:
        """Another entry point of the library, with the same threads and working memory.

        Runs of both take turns; each has sizes of its own and is closed by itself, in any order.
        Raises UsageError where there is none of this name, or this artifact was closed.
        """
        notes = {entry.name: entry for entry in self.manifest.entries}
        if name not in notes:
            raise UsageError(f"no entry point is called {name!r}; there are {list(notes)}")
        with self._lock:
            if not self._instance:
                raise self._closed()

            def create(model: Any, instance: Any, error: Any) -> int:
                address = ctypes.addressof(model)
                status: int = model.create_beside(address, self._instance, instance, error)
                return status

            shared = self.folder, self.manifest, self._library, notes[name], self.threads
            return Artifact(*shared, create)

    @property
    def entries(self) -> tuple[str, ...]:
        """The names of all entry points of the library; ``load`` gives the first."""
        return tuple(entry.name for entry in self.manifest.entries)

    @property
    def sizes(self) -> tuple[Symbol, ...]:
        """The sizes that are open, each with its range; ``run`` takes them from the inputs."""
        return self._note.sizes

    @property
    def state(self) -> Memory:
        """What this entry point keeps from run to run."""
        return Memory(self._model, self._note.states, self._held)

    @contextmanager
    def _held(self) -> Iterator[c_void_p]:
        """The instance, which nobody else uses meanwhile."""
        with self._lock:
            if not self._instance:
                raise self._closed()
            yield self._instance

    @property
    def steps(self) -> tuple[Step, ...]:
        """What ``profile`` times."""
        return self._note.steps

    @property
    def name(self) -> str:
        """The model's name in C."""
        return self.manifest.name

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Names and types of the inputs, in order."""
        return self._note.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Names and types of the outputs, in order."""
        return self._note.outputs

    @property
    def takes(self) -> tuple[Argument, ...]:
        """The model's own inputs, of which a sequence is several of ``inputs``; none where each is
        one."""
        return self._note.takes

    @property
    def gives(self) -> tuple[Argument, ...]:
        """The same of the outputs."""
        return self._note.gives

    def run(
        self, inputs: Mapping[str, Any], *, texts: bool = True, lists: bool = True
    ) -> dict[str, Any]:
        """Run on arrays by input name (NumPy or DLPack); gives arrays by output name.

        A sequence is a list of arrays, an optional value that is absent is None; unless ``lists``
        are wanted, each tensor of a sequence has its own name among the outputs. Texts are arrays
        of ``str``, or lists; those of outputs are the numbers of labels, or rows of bytes, unless
        ``texts`` are wanted. Raises InputError for wrong names, shapes or dtypes, UsageError on a
        closed artifact.
        """
        with self._lock:
            small = self._small
            if small is not None and type(inputs) is dict and small.take(inputs):
                given = small.give()
                status = self._call(*small.arguments)
                if status != binding.OK:
                    raise self._failed(status)
                return given
        outputs = self._run(self._checked(inputs), None)
        if texts:
            outputs = self._texts.given(outputs)
        if lists and self._together is not None:
            return self._together.together(outputs)
        return dict(zip(self._gives.names, outputs, strict=True))

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Run on arrays in the model's order; gives all outputs in the model's order."""
        names = self._takes.names if self._apart is None else self._apart.names
        if len(inputs) != len(names):
            raise InputError(f"{len(inputs)} inputs given, '{self.name}' has {len(names)}")
        return tuple(self.run(dict(zip(names, inputs, strict=True))).values())

    def profile(self, inputs: Mapping[str, Any]) -> list[float]:
        """Run once and give the seconds of each of ``steps``; 0 for those of other sizes."""
        seconds = (ctypes.c_double * len(self.steps))()
        self._run(self._checked(inputs), seconds)
        return list(seconds)

    def checked(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The inputs as NumPy arrays by name; raises InputError for what ``run`` refuses."""
        return dict(zip(self._takes.names, self._checked(inputs), strict=True))

    def _checked(self, inputs: Mapping[str, Any]) -> list[Array]:
        if type(inputs) is not dict and not isinstance(inputs, Mapping):
            raise InputError("inputs are given as a mapping from input names to arrays")
        if self._apart is not None:
            inputs = self._apart.apart(inputs)
        names = self._takes.names
        if inputs.keys() != self._takes.together:
            for name in inputs:
                if name not in names:
                    raise InputError(f"no input is called {name!r}; there are {names}")
            for name in names:
                if name not in inputs:
                    raise InputError(f"input {name!r} is missing")
        return self._arrays([inputs[name] for name in names])

    def _arrays(self, inputs: Sequence[Any]) -> list[Array]:
        """Inputs in order as the library takes them."""
        return self._takes.checked(self._texts.taken(self._maps.taken(inputs)))

    def _run(self, inputs: list[Array], seconds: Any) -> list[Array]:
        error = self._error
        with self._lock:
            if not self._instance:
                raise self._closed()
            if self._open is not None and self._open.differ(inputs):
                self._small = None  # whatever happens
                self._open.fit(self._instance, inputs, error)
                self._small = self._of_small([array.shape for array in inputs])
            self._takes.name(inputs)
            outputs = self._gives.empty()
            status = self._call(
                self._instance,
                self._takes.address,
                len(inputs),
                self._gives.address,
                len(outputs),
                seconds,
                self._error_address,
            )
            if status != binding.OK:
                raise self._failed(status)
            if self._found is not None:
                outputs = self._found.cut(self._instance, outputs, error)
        return outputs

    def _failed(self, status: int) -> LuthierError:
        """What a run says of why it failed."""
        kind = InputError if status == binding.BAD_SIZE else LuthierError
        return kind(f"{shown(self.folder)}: {binding.text(self._error)}")

    def _of_small(self, shapes: Sequence[tuple[int, ...]]) -> Small | None:
        """For inputs of these shapes, which are the instance's of the moment, unless some array is
        not small or not what the library has in its place."""
        note, ports = self._note, (*self._note.inputs, *self._note.outputs)
        if note.takes or note.gives or note.found or note.lengths:
            return None
        if any(port.text or port.labels for port in ports):
            return None
        takes, gives = self._takes.named(shapes), self._gives.named(self._gives.shapes)
        if self._instance.value is None or not all_small(takes) or not all_small(gives):
            return None
        return Small(self._instance.value, takes, gives, self._error_address)

    def _closed(self) -> UsageError:
        return UsageError(f"{shown(self.folder)} was closed; load it again")

    def close(self) -> None:
        """Free the instance, and unload the library after its last; a second call does nothing."""
        with self._lock:
            if self._instance:
                self._small = None
                self._model.destroy(self._instance)
                self._instance = c_void_p()
                del self._library

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
        if hasattr(self, "_instance"):
            self.close()

    def __repr__(self) -> str:
        takes = ", ".join(f"{p.name}: {p.type}" for p in self.inputs)
        gives = ", ".join(f"{p.name}: {p.type}" for p in self.outputs)
        return printable(f"<Artifact {self.name}({takes}) -> {gives}>")
