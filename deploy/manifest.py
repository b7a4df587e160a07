"""The manifest: what an artifact is, in JSON, for people and programs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from luthier.schedules import ArtifactError, LuthierError, Schedule, Target, Tensor, Workload
from luthier.schedules.files import open_regular
from luthier.schedules.ir.placement import DENSE, PLACEMENT, Placement
from luthier.schedules.redaction import shown
from luthier.schedules.target import ACCURACIES, DEFAULT_ACCURACY

from .sample import SampleNote
from .typed import each, mapping, matching, parse, text, whole

MANIFEST = "manifest.json"
SAMPLE = "sample.npz"
SCHEMA = "luthier-artifact"
VERSION = 1
_MOST_BYTES = 64 << 20
_PITCH = re.compile(r"(?<=\]):[1-9][0-9]{0,17}(?=\")")
_FILE_NAME = re.compile(r"([A-Za-z0-9_]+/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Port:
    """An input or output: its name in the model, and its type."""

    name: str
    tensor: Tensor


@dataclass(frozen=True)
class KernelEntry:
    """A kernel of the library; ``source`` is "record" or "default", ``count`` its calls.

    ``record`` is the hash of the tuning record that the schedule came from.
    """

    workload: Workload
    schedule: Schedule
    source: str
    count: int
    record: str | None = None
    placement: Placement = DENSE


@dataclass(frozen=True)
class Step:
    """A call: the index of its kernel, and the model's nodes that it computes."""

    kernel: int
    source: str


@dataclass(frozen=True)
class Manifest:
    """Everything but the library itself. ``files`` are SHA-256 by path; bytes are per instance,
    scratch per thread; ``sample`` is None where there is no sample, or an older one.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    target: Target
    model_sha256: str | None
    versions: Mapping[str, str]
    arena_bytes: int
    scratch_bytes: int
    weight_bytes: int
    kernels: tuple[KernelEntry, ...]
    steps: tuple[Step, ...]
    files: Mapping[str, str]
    sample: SampleNote | None = None

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
        return {
            "schema": SCHEMA,
            "schema_version": VERSION,
            "name": self.name,
            "inputs": [_port_to_json(p) for p in self.inputs],
            "outputs": [_port_to_json(p) for p in self.outputs],
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
            "kernels": [_kernel_to_json(k) for k in self.kernels],
            "steps": [{"kernel": s.kernel, "source": s.source} for s in self.steps],
        }

    @staticmethod
    def from_json(data: Any) -> Manifest:
        """Read ``to_json``'s form from untrusted data; raises ArtifactError."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ArtifactError(f"its schema is not '{SCHEMA}'")
        version = data.get("schema_version")
        if type(version) is not int or version != VERSION:
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


def _port_to_json(port: Port) -> dict[str, Any]:
    tensor = port.tensor
    return {
        "name": port.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "bytes": tensor.nbytes,
    }


def _kernel_to_json(entry: KernelEntry) -> dict[str, Any]:
    return {
        "key": entry.workload.key,
        "workload": entry.workload.to_json(),
        "schedule": entry.schedule.to_json(),
        "source": entry.source,
        "record": entry.record,
        "count": entry.count,
        "placement": str(entry.placement),
    }


def _from_json(data: Mapping[str, Any]) -> Manifest:
    kernels = each(_kernel_from_json, data["kernels"])
    steps = each(lambda s: Step(whole(s["kernel"]), text(s["source"])), data["steps"])
    if any(step.kernel >= len(kernels) for step in steps):
        raise ValueError("a step names a kernel that is not there")
    sample = data.get("sample")
    return Manifest(
        name=matching("[a-z0-9_]{1,65}", data["name"]),
        inputs=each(_port_from_json, data["inputs"]),
        outputs=each(_port_from_json, data["outputs"]),
        target=replace(Target.from_json(mapping(data["target"])), accuracy=_accuracy(data)),
        model_sha256=None if data["model_sha256"] is None else _digest(data["model_sha256"]),
        versions={text(k): text(v) for k, v in mapping(data["versions"]).items()},
        arena_bytes=whole(data["arena_bytes"]),
        scratch_bytes=whole(data["scratch_bytes"]),
        weight_bytes=whole(data["weight_bytes"]),
        kernels=kernels,
        steps=steps,
        files={_file_name(k): _digest(v) for k, v in mapping(data["files"]).items()},
        sample=None if sample is None else SampleNote.from_json(mapping(sample)),
    )


def _accuracy(data: Mapping[str, Any]) -> str:
    """Of the build; older manifests do not say it."""
    return matching("|".join(ACCURACIES), data.get("accuracy", DEFAULT_ACCURACY))


def _port_from_json(data: Any) -> Port:
    shape = ",".join(map(str, each(whole, data["shape"])))
    whole(data["bytes"])  # which follows from the type
    return Port(text(data["name"]), Tensor.parse(f"{text(data['dtype'])}[{shape}]"))


def _kernel_from_json(data: Any) -> KernelEntry:
    workload, placement = mapping(data["workload"]), data.get("placement", "")
    if "placement" not in data:  # older manifests say it after the tensors' types
        workload = parse(_PITCH.sub("", json.dumps(workload)).encode())
    return KernelEntry(
        workload=Workload.from_json(workload),
        schedule=Schedule.from_json(mapping(data["schedule"])),
        source=matching("record|default", data["source"]),
        count=whole(data["count"]),
        record=None if data["record"] is None else matching("[0-9a-f]{16}", data["record"]),
        placement=Placement.parse(matching(PLACEMENT, placement)),
    )


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
