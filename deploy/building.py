"""From a program and its schedules to an artifact folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np

from luthier.frontend.program import Library
from luthier.schedules import Kernel, ModelError, Target, codegen
from luthier.schedules.target import available_cores
from luthier.schedules.templates import registry
from luthier.schedules.toolchain import find_compiler
from luthier.schedules.tvm_late import tvm

from .folder import cannot_write, check_output, new_artifact
from .interface import write_interface
from .library import link_library
from .manifest import MANIFEST, SAMPLE, KernelEntry, Manifest, Port, Step, sha256
from .names import identifier, label
from .plan import plan
from .sample import Sample
from .selection import Selections
from .straight_line import check_runs, straight_line
from .tables import Entry, Tables, kernel_symbol
from .weights import WeightPool, write_weights

_KERNELS_PER_OBJECT = 4
_LONGEST_NAME = 32_000  # bytes of a tensor's; entries of zip files have 16 bits for their length


def build(
    library: Library,
    out: Path,
    target: Target,
    selected: Selections,
    *,
    model_sha256: str | None = None,
    finish: Callable[[Path], Sample] | None = None,
) -> Manifest:
    """Compile ``library`` into the artifact folder ``out``, replacing an artifact there.

    Kernels that are not ``selected`` get their default schedules. ``finish`` is called with the
    folder, which can be loaded, before it takes its place, and gives the sample that is kept in it;
    where it raises, nothing is replaced. Raises ArtifactError, ToolchainError, ScheduleError (a
    schedule that does not fit its workload), ModelError (too many weights) and UnsupportedOperator
    (see ``check_runs``).
    """
    check_output(out)
    check_runs(library)
    _check_names(library)
    find_compiler()
    calls = (call for program in library.programs for call in program.calls)
    kernels = []
    for workload, placement in dict.fromkeys((call.workload, call.placement) for call in calls):
        chosen = selected.get(workload)
        schedule = chosen.schedule if chosen else registry.default(workload, target)
        kernels.append(registry.instantiate(workload, target, schedule, placement))
    return assemble(
        library,
        out,
        target,
        kernels,
        _compile(kernels, target, out),
        selected=selected,
        versions={"llvm": str(tvm.get_global_func("target.llvm_version_major")())},
        model_sha256=model_sha256,
        finish=finish,
    )


def assemble(
    library: Library,
    out: Path,
    target: Target,
    kernels: Sequence[Kernel],
    objects: Sequence[bytes],
    *,
    selected: Selections | None = None,
    versions: Mapping[str, str] | None = None,
    model_sha256: str | None = None,
    finish: Callable[[Path], Sample] | None = None,
) -> Manifest:
    """Link compiled kernels and write the folder; see ``build``.

    ``kernels`` has one kernel for each distinct workload and placement, and phase ``p`` of
    ``kernels[i]`` is the function ``kernel_symbol(i)_p`` of one of the ELF ``objects``.
    ``versions`` are those of what compiled them. Raises ArtifactError, ToolchainError, ModelError.
    """
    check_runs(library)
    compiler = find_compiler()
    _check_names(library)
    name = identifier(library.name)
    with new_artifact(Path(out)) as folder:
        weights_file = folder / "weights.bin"
        with weights_file.open("wb") as file:
            tables = lay_out(library, name, kernels, target, WeightPool(file))
        link_library(tables, weights_file, objects, compiler, folder / f"lib{name}.so")
        entry, program = tables.entry, tables.entry.program
        inputs = tuple(Port(n, program.values[v]) for n, v in program.inputs)
        outputs = tuple(Port(n, program.values[v]) for n, v in program.outputs)
        write_interface(folder, name, inputs, outputs)
        counts = Counter(entry.step_kernels)
        manifest = Manifest(
            name=name,
            inputs=inputs,
            outputs=outputs,
            target=target,
            model_sha256=model_sha256,
            versions={**_versions(), **(versions or {}), "compiler": compiler.version},
            arena_bytes=tables.arena_bytes,
            scratch_bytes=tables.scratch_bytes,
            weight_bytes=tables.weight_bytes,
            kernels=tuple(
                _entry(kernel, counts[i], selected or {}) for i, kernel in enumerate(kernels)
            ),
            steps=tuple(
                Step(k, call.source)
                for k, call in zip(entry.step_kernels, straight_line(program), strict=True)
            ),
            files=_hashes(folder),
        )
        for link, leads_to in manifest.links.items():
            (folder / link).symlink_to(leads_to)
        _write_manifest(folder, manifest)
        if finish is not None:
            manifest = _with_sample(folder, manifest, finish(folder))
    return manifest


def lay_out(
    library: Library, name: str, kernels: Sequence[Kernel], target: Target, pool: WeightPool
) -> Tables:
    """The tables of the library; its weights go into ``pool``. Raises ModelError."""
    index = {(kernel.workload, kernel.placement): i for i, kernel in enumerate(kernels)}
    entries = {}
    for each, entry in library.entries.items():
        (program,) = entry.variants
        step_kernels = [index[c.workload, c.placement] for c in straight_line(program)]
        call_kernels = [kernels[i] for i in step_kernels]
        places = write_weights(program, call_kernels, pool)
        entries[each] = Entry(program, step_kernels, plan(program, call_kernels, places))
    return Tables(name, entries, kernels, target.features, target.threads, pool.nbytes)


def _with_sample(folder: Path, manifest: Manifest, sample: Sample) -> Manifest:
    np.savez(folder / SAMPLE, **sample.arrays())  # type: ignore[arg-type]
    with (folder / SAMPLE).open("rb") as file:
        files = {**manifest.files, SAMPLE: sha256(file)}
    whole = replace(manifest, files=dict(sorted(files.items())), sample=sample.note)
    _write_manifest(folder, whole)
    return whole


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=True)
    (folder / MANIFEST).write_text(text + "\n")


def _entry(kernel: Kernel, count: int, selected: Selections) -> KernelEntry:
    chosen = selected.get(kernel.workload)
    source, record = ("record", chosen.record) if chosen else ("default", None)
    return KernelEntry(kernel.workload, kernel.schedule, source, count, record, kernel.placement)


def _compile(kernels: Sequence[Kernel], target: Target, out: Path) -> list[bytes]:
    """ELF objects of the kernels, compiled on all cores: TVM lets go of Python's lock."""
    named = [(kernel_symbol(i), kernel) for i, kernel in enumerate(kernels)]
    parts = [
        dict(named[i : i + _KERNELS_PER_OBJECT]) for i in range(0, len(named), _KERNELS_PER_OBJECT)
    ]
    try:
        with ThreadPoolExecutor(available_cores()) as pool:
            return list(pool.map(lambda part: codegen.compile_object(part, target), parts))
    except OSError as error:
        raise cannot_write(out, error) from error


def _check_names(library: Library) -> None:
    """C strings are UTF-8 and end at a zero byte; a sample's file limits the length."""
    programs = library.programs
    for name, _ in (port for program in programs for port in (*program.inputs, *program.outputs)):
        shown = f"the name '{label(name)}' of an input or output"
        try:
            length = len(name.encode())
        except UnicodeEncodeError as error:
            raise ModelError(f"{shown} is no text that UTF-8 can tell; rename it") from error
        if "\0" in name:
            raise ModelError(f"{shown} has a zero byte; rename it")
        if length > _LONGEST_NAME:
            raise ModelError(f"{shown} is longer than {_LONGEST_NAME} bytes; rename it")


def _versions() -> dict[str, str]:
    packages = {"luthier": "luthier", "tvm": "apache-tvm", "onnx": "onnx"}
    return {name: metadata.version(package) for name, package in packages.items()}


def _hashes(folder: Path) -> dict[str, str]:
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = sha256(file)
    return hashes
