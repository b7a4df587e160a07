"""From a program and its schedules to an artifact folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import numpy as np

from luthier.frontend.program import Call, Entry, Library, Program
from luthier.schedules import Kernel, ModelError, Schedule, Target, Workload, codegen
from luthier.schedules.ir.core import require
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.placement import Placement
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.target import available_cores
from luthier.schedules.templates import registry
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.toolchain import find_compiler
from luthier.schedules.tvm_late import tvm

from . import layout
from .entries import EntryNote, Step, VariantNote
from .folder import cannot_write, check_output, new_artifact
from .interface import write_interface
from .layout import AnyKernel, Tables, alternatives, kernel_symbols
from .library import link_library
from .manifest import MANIFEST, Manifest, sha256
from .names import accessors, identifier, label
from .notes import KernelEntry, note
from .packings import agreed
from .plan import plan
from .ports import forms, input_ports, output_ports
from .sample import Sample
from .selection import Selections
from .sources import call_sources
from .states import StatePlaces, state_notes
from .weights import WeightPool, write_weights

Box: TypeAlias = tuple[Symbol, ...]
Finish: TypeAlias = Callable[[Path], Mapping[str, Sample]]

_KERNELS_PER_OBJECT = 4
_LONGEST_NAME = 32_000  # bytes of a tensor's; entries of zip files have 16 bits for their length
_LONGEST_ENTRY = 200  # characters of an entry point's, which a file is called by


def build(
    library: Library,
    out: Path,
    target: Target,
    selected: Selections,
    *,
    model_sha256: str | None = None,
    finish: Finish | None = None,
) -> Manifest:
    """Compile ``library`` into the artifact folder ``out``, replacing an artifact there.

    Kernels that are not ``selected`` get their default schedules. ``finish`` is called with the
    folder, which can be loaded, before it takes its place, and gives the samples that are kept in
    it, by entry point; where it raises, nothing is replaced. Raises ArtifactError, ToolchainError,
    ScheduleError (a schedule that does not fit its workload) and ModelError (too many weights).
    """
    check_output(out)
    _check_names(library)
    find_compiler()
    kernels = _kernels_of(library, target, selected)
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
    kernels: Sequence[AnyKernel],
    objects: Sequence[bytes],
    *,
    selected: Selections | None = None,
    versions: Mapping[str, str] | None = None,
    model_sha256: str | None = None,
    finish: Finish | None = None,
) -> Manifest:
    """Link compiled kernels and write the folder; see ``build``.

    ``kernels`` has one kernel for each distinct workload and placement, and phase ``p`` of
    ``kernels[i]`` is the function ``kernel_symbol(i)_p`` of one of the ELF ``objects``, or
    ``kernel_symbol(i, a)_p`` for its alternative ``a``. ``versions`` are those of what compiled
    them. Raises ArtifactError, ToolchainError, ModelError.
    """
    compiler = find_compiler()
    _check_names(library)
    name = identifier(library.name)
    built_with = {**_versions(), **(versions or {}), "compiler": compiler.version}
    with new_artifact(Path(out)) as folder:
        weights_file = folder / "weights.bin"
        with weights_file.open("wb") as file:
            tables = lay_out(library, name, kernels, target, WeightPool(file))
        tables = replace(tables, versions=built_with, model_sha256=model_sha256)
        link_library(tables, weights_file, objects, compiler, folder / f"lib{name}.so")
        entries = describe(tables)
        write_interface(folder, name, entries)
        manifest = Manifest(
            name=name,
            entries=entries,
            target=target,
            model_sha256=model_sha256,
            versions=built_with,
            arena_bytes=tables.arena_bytes,
            scratch_bytes=tables.scratch_bytes,
            weight_bytes=tables.weight_bytes,
            kernels=_notes(library, tables, selected or {}),
            files=_hashes(folder),
        )
        for link, leads_to in manifest.links.items():
            (folder / link).symlink_to(leads_to)
        _write_manifest(folder, manifest)
        if finish is not None:
            manifest = _with_samples(folder, manifest, finish(folder))
    return manifest


def lay_out(
    library: Library, name: str, kernels: Sequence[AnyKernel], target: Target, pool: WeightPool
) -> Tables:
    """The tables of the library; its weights go into ``pool``. Raises ModelError."""
    names = tuple(sorted(_largest(library)))
    index = {(kernel.workload, kernel.placement): i for i, kernel in enumerate(kernels)}
    states = StatePlaces.of(library)

    def variant(program: Program) -> layout.Variant:
        step_kernels = [index[_computed(c), c.placement] for c in program.calls]
        call_kernels = [kernels[i] for i in step_kernels]
        places = write_weights(program, call_kernels, pool)
        return layout.Variant(
            program, step_kernels, plan(program, call_kernels, places, states.offsets)
        )

    def laid_out(title: str, entry: Entry) -> layout.Entry:
        inputs, variants = input_ports(entry), [variant(each) for each in entry.variants]
        largest = entry.variant({s.name: s.most for s in entry.symbols})
        if largest is None:
            raise ModelError(f"the entry point '{title}' has no program for its largest sizes")
        runs = variants[entry.variants.index(largest)]
        found = sorted(set(largest.symbols) - set(largest.given), key=lambda symbol: symbol.name)
        return layout.Entry(
            entry.symbols,
            inputs,
            output_ports(entry),
            forms(entry, inputs),
            variants,
            runs,
            tuple(found),
            state_notes(entry),
            len(entry.lengths),
            entry.takes,
            entry.gives,
        )

    entries = {title: laid_out(title, entry) for title, entry in library.entries.items()}
    for kernel in kernels:
        known = isinstance(kernel, Kernel) or kernel.names == names
        require(known, f"{kernel.workload}: its sizes are not numbered as the library's")
    return Tables(name, entries, kernels, names, target, pool.nbytes, _versions(), states=states)


def _computed(call: Call) -> Workload | OpenWorkload:
    """What a kernel for the call computes."""
    return call.open or call.workload


def _largest(library: Library) -> dict[str, int]:
    """The largest number that each size of the library may be."""
    largest: dict[str, int] = {}
    for symbol in (symbol for program in library.programs for symbol in program.symbols):
        largest[symbol.name] = max(symbol.most, largest.get(symbol.name, 0))
    return largest


def _kernels_of(library: Library, target: Target, selected: Selections) -> list[AnyKernel]:
    """A kernel for each distinct workload and placement; raises ScheduleError."""
    calls = [(call, program.symbols) for program in library.programs for call in program.calls]
    names = tuple(sorted(_largest(library)))
    ranges: dict[tuple[Workload | OpenWorkload, Placement], tuple[Symbol, ...]] = {}
    for call, symbols in calls:
        key = _computed(call), call.placement
        ranges[key] = _hull(ranges.get(key, symbols), symbols)

    shared = agreed(library, target, selected)

    def choose(workload: Workload) -> Schedule:
        chosen = selected.get(workload)
        if chosen:
            return chosen.schedule
        return shared.get(workload) or registry.default(workload, target)

    def kernel(workload: Workload | OpenWorkload, place: Placement, of: Box) -> AnyKernel:
        if isinstance(workload, Workload):
            return registry.instantiate(workload, target, choose(workload), place)
        return instantiate_open(workload, of, target, names=names, choose=choose, placement=place)

    return [kernel(workload, place, of) for (workload, place), of in ranges.items()]


def _hull(one: Box, other: Box) -> Box:
    """The ranges that hold those of two programs, which have the same symbols if both need some."""
    others = {symbol.name: symbol for symbol in other}
    both = ((s, others.pop(s.name, s)) for s in one)
    joined = (Symbol(a.name, min(a.least, b.least), max(a.most, b.most)) for a, b in both)
    return (*joined, *others.values())


def describe(tables: Tables) -> tuple[EntryNote, ...]:
    """The entry points as the artifact's files tell them."""
    return tuple(
        EntryNote(
            name,
            entry.symbols[: len(entry.symbols) - entry.lengths],
            tuple(entry.inputs),
            tuple(entry.outputs),
            tuple(
                VariantNote(variant.program.given, _steps(variant)) for variant in entry.variants
            ),
            entry.found,
            entry.symbols[len(entry.symbols) - entry.lengths :],
            tuple(entry.states),
            entry.takes,
            entry.gives,
        )
        for name, entry in tables.entries.items()
    )


def _steps(variant: layout.Variant) -> tuple[Step, ...]:
    sources = call_sources(variant.program)
    return tuple(Step(k, s) for k, s in zip(variant.step_kernels, sources, strict=True))


def _notes(library: Library, tables: Tables, selected: Selections) -> tuple[KernelEntry, ...]:
    """What the manifest says of each kernel."""
    largest = _largest(library)
    counts = Counter(next(iter(tables.entries.values())).largest.step_kernels)
    kernels = enumerate(tables.kernels)
    return tuple(note(kernel, counts[i], selected, largest) for i, kernel in kernels)


def _with_samples(folder: Path, manifest: Manifest, samples: Mapping[str, Sample]) -> Manifest:
    files = dict(manifest.files)
    for entry, sample in samples.items():
        name = manifest.sample_file(entry)
        np.savez(folder / name, **sample.arrays())  # type: ignore[arg-type]
        with (folder / name).open("rb") as file:
            files[name] = sha256(file)
    notes = {entry: sample.note for entry, sample in samples.items()}
    whole = replace(manifest, files=dict(sorted(files.items())), samples=notes)
    _write_manifest(folder, whole)
    return whole


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=True)
    (folder / MANIFEST).write_text(text + "\n")


def _compile(kernels: Sequence[AnyKernel], target: Target, out: Path) -> list[bytes]:
    """ELF objects of the kernels, compiled on all cores: TVM lets go of Python's lock."""
    named = [
        (symbol, alternative.kernel)
        for i, kernel in enumerate(kernels)
        for symbol, alternative in zip(kernel_symbols(i, kernel), alternatives(kernel), strict=True)
    ]
    parts = [
        dict(named[i : i + _KERNELS_PER_OBJECT]) for i in range(0, len(named), _KERNELS_PER_OBJECT)
    ]
    try:
        with ThreadPoolExecutor(available_cores()) as pool:
            return list(pool.map(lambda part: codegen.kept_object(part, target), parts))
    except OSError as error:
        raise cannot_write(out, error) from error


def _check_names(library: Library) -> None:
    """C strings are UTF-8 and end at a zero byte; a sample's file limits the length."""
    for name in library.entries:
        if len(name) > _LONGEST_ENTRY:
            raise ModelError(
                f"the name of the entry point '{label(name)}' is longer than {_LONGEST_ENTRY} "
                "characters; rename it"
            )
    functions = accessors(identifier(library.name), list(library.entries))
    if len({function.upper() for function in functions}) != len(functions):
        names = ", ".join(library.entries)
        raise ModelError(f"two entry points of {names} have one name in C; rename one")
    for name in _port_names(library):
        shown = f"the name '{label(name)}' of an input or output"
        try:
            length = len(name.encode())
        except UnicodeEncodeError as error:
            raise ModelError(f"{shown} is not a text that UTF-8 can tell; rename it") from error
        if "\0" in name:
            raise ModelError(f"{shown} has a zero byte; rename it")
        if length > _LONGEST_NAME:
            raise ModelError(f"{shown} is longer than {_LONGEST_NAME} bytes; rename it")


def _port_names(library: Library) -> Iterator[str]:
    for program in library.programs:
        yield from (name for name, _ in (*program.inputs, *program.outputs))
        yield from (name for state in program.states for name in (state.name, state.becomes))


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
