"""The manifest: what an artifact is, in JSON, for people and programs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from luthier.schedules import ArtifactError, LuthierError, Target
from luthier.schedules.files import open_regular
from luthier.schedules.redaction import shown
from luthier.schedules.target import ACCURACIES, DEFAULT_ACCURACY

from .entries import EntryNote, Port, Step, VariantNote, step_from_json, steps_to_json
from .notes import KernelEntry
from .sample import SampleNote
from .typed import each, mapping, matching, parse, text, whole

MANIFEST = "manifest.json"
SCHEMA = "luthier-artifact"
VERSION = 2
_READ = (1, VERSION)  # version 1 has one entry point, and no open sizes
_FIRST = "run"
_MOST_BYTES = 64 << 20
_FILE_NAME = re.compile(r"([A-Za-z0-9_]+/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Manifest:
    """Everything but the library itself. ``files`` are SHA-256 by path; bytes are per instance,
    scratch per thread; ``samples`` are by entry point, without what has none, or an older one.
    """

    name: str
    entries: tuple[EntryNote, ...]
    target: Target
    model_sha256: str | None
    versions: Mapping[str, str]
    arena_bytes: int
    scratch_bytes: int
    weight_bytes: int
    kernels: tuple[KernelEntry, ...]
    files: Mapping[str, str]
    samples: Mapping[str, SampleNote] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Of the first entry point."""
        return self.entries[0].inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Of the first entry point."""
        return self.entries[0].outputs

    @property
    def steps(self) -> tuple[Step, ...]:
        """Of the first entry point, those of all its variants."""
        return self.entries[0].steps

    @property
    def sample(self) -> SampleNote | None:
        """Of the first entry point."""
        return self.samples.get(self.entries[0].name)

    def sample_file(self, entry: str) -> str:
        """The file with an entry point's sample."""
        return "sample.npz" if entry == self.entries[0].name else f"sample-{entry}.npz"

    @property
    def library(self) -> str:
        """The library's file."""
        return f"lib{self.name}.so"

    @property
    def links(self) -> dict[str, str]:
        """Other names of files, and what they lead to.

        ``model.so`` leads to a name that no other build has: the loader takes a path that it has
        seen for the library which it then found there, though another has taken its place.
        """
        build = f"lib{self.name}-{self.files.get(self.library, '')[:16]}.so"
        return {"model.so": build, build: self.library, f"{self.name}.h": "model.h"}

    def to_json(self) -> dict[str, Any]:
        """The form that ``manifest.json`` has."""
        first = self.entries[0].name
        others = {name: note.to_json() for name, note in self.samples.items() if name != first}
        return {
            "schema": SCHEMA,
            "schema_version": VERSION,
            "name": self.name,
            "inputs": [port.to_json() for port in self.inputs],
            "outputs": [port.to_json() for port in self.outputs],
            "target": self.target.to_json(),
            "features": list(self.target.features),
            "threads": self.target.threads,
            "accuracy": self.target.accuracy,
            "model_sha256": self.model_sha256,
            "versions": dict(self.versions),
            "arena_bytes": self.arena_bytes,
            "scratch_bytes": self.scratch_bytes,
            "weight_bytes": self.weight_bytes,
            "files": dict(self.files),
            "sample": None if self.sample is None else self.sample.to_json(),
            "samples": others,
            "kernels": [kernel.to_json() for kernel in self.kernels],
            "steps": steps_to_json(self.steps),
            "entries": [entry.to_json() for entry in self.entries],
        }

    @staticmethod
    def from_json(data: Any) -> Manifest:
        """Read ``to_json``'s form from untrusted data; raises ArtifactError."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ArtifactError(f"its schema is not '{SCHEMA}'")
        version = data.get("schema_version")
        if type(version) is not int or version not in _READ:
            raise ArtifactError(
                f"its schema version is {version!s:.40}, this Luthier reads {VERSION}; build the "
                "artifact again"
            )
        try:
            return _from_json(data)
        except KeyError as error:
            raise ArtifactError(f"malformed: it has no {error}; build it again") from error
        except (TypeError, ValueError, ArithmeticError, AttributeError, LuthierError) as error:
            raise ArtifactError(f"malformed: {error!s:.200}; build it again") from error


def _from_json(data: Mapping[str, Any]) -> Manifest:
    kernels = each(KernelEntry.from_json, data["kernels"])
    entries = _entries(data)
    if any(step.kernel >= len(kernels) for entry in entries for step in entry.steps):
        raise ValueError("a step names a kernel that is not there")
    return Manifest(
        name=matching("[a-z0-9_]{1,65}", data["name"]),
        entries=entries,
        target=replace(Target.from_json(mapping(data["target"])), accuracy=_accuracy(data)),
        model_sha256=None if data["model_sha256"] is None else _digest(data["model_sha256"]),
        versions={text(k): text(v) for k, v in mapping(data["versions"]).items()},
        arena_bytes=whole(data["arena_bytes"]),
        scratch_bytes=whole(data["scratch_bytes"]),
        weight_bytes=whole(data["weight_bytes"]),
        kernels=kernels,
        files={_file_name(k): _digest(v) for k, v in mapping(data["files"]).items()},
        samples=_samples(data, [entry.name for entry in entries]),
    )


def _samples(data: Mapping[str, Any], entries: Sequence[str]) -> dict[str, SampleNote]:
    """The first's, which is all that older manifests have, then the others'."""
    first, others = data.get("sample"), mapping(data.get("samples", {}))
    if not others.keys() <= set(entries[1:]):
        raise ValueError("a sample is of an entry point that is not there")
    noted = others if first is None else {entries[0]: first, **others}
    return {name: SampleNote.from_json(mapping(note)) for name, note in noted.items()}


def _entries(data: Mapping[str, Any]) -> tuple[EntryNote, ...]:
    if data["schema_version"] == VERSION:
        entries = each(EntryNote.from_json, data["entries"])
        if not entries or len({entry.name for entry in entries}) != len(entries):
            raise ValueError("it has no entry points, or two of one name")
        _check_first(data, entries[0].to_json(), entries[0].steps)
        return entries
    inputs, outputs = (
        each(lambda port: Port.from_json(port, {}), data[kind]) for kind in ("inputs", "outputs")
    )
    variant = VariantNote((), each(step_from_json, data["steps"]))
    return (EntryNote(_FIRST, (), inputs, outputs, (variant,)),)


def _check_first(data: Mapping[str, Any], first: Mapping[str, Any], steps: Sequence[Step]) -> None:
    """What stands outside of the entry points, for readers of one, is that of the first."""
    said = {**first, "steps": steps_to_json(steps)}
    for kind in ("inputs", "outputs", "steps"):
        if json.dumps(data[kind]) != json.dumps(said[kind]):
            raise ValueError(f"its {kind} are not those of its first entry point")


def _accuracy(data: Mapping[str, Any]) -> str:
    """Of the build; older manifests do not say it."""
    return matching("|".join(ACCURACIES), data.get("accuracy", DEFAULT_ACCURACY))


def _digest(value: Any) -> str:
    return matching("[0-9a-f]{64}", value)


def _file_name(value: Any) -> str:
    return matching(_FILE_NAME.pattern, value)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact's folder; raises ArtifactError."""
    path = folder / MANIFEST
    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{shown(path)}: {reason}; is this an artifact?") from error
    if len(data) > _MOST_BYTES:
        raise ArtifactError(f"{shown(path)} is larger than {_MOST_BYTES >> 20} MiB")
    try:
        parsed = parse(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{shown(path)} is no JSON; build the artifact again") from error
    try:
        return Manifest.from_json(parsed)
    except (ArtifactError, RecursionError) as error:
        raise ArtifactError(f"{shown(path)}: {error}") from error


def sha256(file: BinaryIO) -> str:
    """Of the rest of an open file, in hex."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
