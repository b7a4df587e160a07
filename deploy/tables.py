"""Writes the model as constant C tables; ``runtime/program.h`` says what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from luthier.frontend.program import Program
from luthier.schedules import Kernel, Tensor

from .names import c_string, label
from .plan import Plan, Reference
from .straight_line import straight_line


@dataclass(frozen=True)
class Entry:
    """An entry point: ``step_kernels[c]`` is the index of call ``c``'s kernel in the tables'."""

    program: Program
    step_kernels: Sequence[int]
    plan: Plan

    @property
    def step_names(self) -> list[str]:
        """A name for each call, for people."""
        return [call.source or str(call.workload) for call in straight_line(self.program)]


@dataclass(frozen=True)
class Tables:
    """What the C tables say: entry points by name, over the same kernels and weights.

    The runtime has an instance run one after the other, in one arena.
    """

    name: str
    entries: Mapping[str, Entry]
    kernels: Sequence[Kernel]
    features: Sequence[str]
    threads: int
    weight_bytes: int

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch for each thread."""
        return max((k.scratch for k in self.kernels), default=0)

    @property
    def entry(self) -> Entry:
        """The one that the runtime runs; see ``check_runs``."""
        (entry,) = self.entries.values()
        return entry

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena of an instance, which all entry points share."""
        return max(entry.plan.arena_bytes for entry in self.entries.values())


def kernel_symbol(index: int) -> str:
    """The name of a kernel's functions, without the number of the phase."""
    return f"luthier_kernel_{index}"


def _array(kind: str, name: str, rows: Iterable[str]) -> str:
    """A definition of ``all_<name>``, or a null pointer called that where there are no rows."""
    body = "".join(f"    {row},\n" for row in rows)
    if not body:
        return f"#define all_{name} NULL\n"
    return f"static const {kind} all_{name}[] = {{\n{body}}};\n"


def _tensors(name: str, tensors: Sequence[tuple[str, Tensor]]) -> str:
    shapes = "".join(
        _array("int64_t", f"{name}_shape_{i}", map(str, tensor.shape))
        for i, (_, tensor) in enumerate(tensors)
    )
    rows = (
        f"{{{c_string(title)}, all_{name}_shape_{i}, {len(tensor.shape)}, "
        f"LUTHIER_{tensor.dtype.upper()}, {tensor.nbytes}u}}"
        for i, (title, tensor) in enumerate(tensors)
    )
    return shapes + _array("luthier_tensor", name, rows)


def _phases(kernels: Sequence[Kernel]) -> str:
    text = ""
    for k, kernel in enumerate(kernels):
        names = [f"{kernel_symbol(k)}_{p}" for p in range(len(kernel.phases))]
        for symbol in names:
            text += f"void {symbol}(void *const *, void *, int32_t, int32_t);\n"
        rows = (f"{{{n}, {p.chunks}}}" for n, p in zip(names, kernel.phases, strict=True))
        text += _array("luthier_phase", f"phases_{k}", rows)
    return text


def _steps(entry: Entry, kernels: Sequence[Kernel]) -> str:
    rows, first = [], 0
    for k, buffers in zip(entry.step_kernels, entry.plan.buffers, strict=True):
        rows.append(f"{{all_phases_{k}, {len(kernels[k].phases)}u, {first}u}}")
        first += len(buffers)
    return _array("luthier_step", "steps", rows)


def _reference(reference: Reference) -> str:
    return f"{{{reference.at}u, {reference.offset}u, LUTHIER_IN_{reference.space}}}"


def emit(tables: Tables) -> str:
    """The C source."""
    entry = tables.entry
    program, plan = entry.program, entry.plan
    references = [r for buffers in plan.buffers for r in buffers]
    inputs = [(n, program.values[v]) for n, v in program.inputs]
    outputs = [(n, program.values[v]) for n, v in program.outputs]
    parts = [
        '#include "program.h"\n',
        "extern const unsigned char luthier_weights[];\n",
        _tensors("inputs", inputs),
        _tensors("outputs", outputs),
        _array("char *const", "step_names", map(c_string, entry.step_names)),
        _array("char *const", "input_labels", (c_string(label(n)) for n, _ in inputs)),
        _array("char *const", "output_labels", (c_string(label(n)) for n, _ in outputs)),
        _array("char *const", "features", map(c_string, tables.features)),
        _phases(tables.kernels),
        _steps(entry, tables.kernels),
        _array(
            "luthier_reference",
            "references",
            map(_reference, references),
        ),
        _array(
            "luthier_copy",
            "copies",
            (f"{{{_reference(r)}, {k}}}" for r, k in plan.copies),
        ),
        _array("uint64_t", "input_places", (f"{p}u" for p in plan.input_places)),
        _array("uint64_t", "output_places", (f"{p}u" for p in plan.output_places)),
        _model(tables, len(references)),
    ]
    return "\n".join(parts)


def _model(tables: Tables, references: int) -> str:
    entry = tables.entry
    program = entry.program
    return f"""\
static const luthier_program program = {{
    .steps = all_steps,
    .references = all_references,
    .copies = all_copies,
    .input_places = all_input_places,
    .output_places = all_output_places,
    .input_labels = all_input_labels,
    .output_labels = all_output_labels,
    .weights = luthier_weights,
    .reference_count = {references},
    .copy_count = {len(entry.plan.copies)},
}};

static const luthier_model model = {{
    .abi = LUTHIER_ABI,
    .threads = {tables.threads},
    .name = {c_string(tables.name)},
    .inputs = all_inputs,
    .outputs = all_outputs,
    .step_names = all_step_names,
    .features = all_features,
    .input_count = {len(program.inputs)},
    .output_count = {len(program.outputs)},
    .step_count = {len(program.steps)},
    .feature_count = {len(tables.features)},
    .weight_bytes = {tables.weight_bytes}u,
    .arena_bytes = {tables.arena_bytes}u,
    .scratch_bytes = {tables.scratch_bytes}u,
    .create = luthier_runtime_create,
    .destroy = luthier_runtime_destroy,
    .run = luthier_runtime_run,
    .status_text = luthier_runtime_status_text,
    .pool_create = luthier_runtime_pool_create,
    .pool_destroy = luthier_runtime_pool_destroy,
    .program = &program,
}};

/* For dlopen, and for linking; in C the first name would clash with the type's. */
__attribute__((visibility("default"))) const luthier_model *by_any_name(void)
    __asm__("luthier_model");
__attribute__((visibility("default"))) const luthier_model *luthier_{tables.name}(void);

const luthier_model *by_any_name(void)
{{
    return &model;
}}

const luthier_model *luthier_{tables.name}(void)
{{
    return &model;
}}
"""


WEIGHTS_SOURCE = """\
    .section .rodata
    .balign 64
    .globl luthier_weights
    .hidden luthier_weights
luthier_weights:
    .incbin "weights.bin"
    .byte 0
    .section .note.GNU-stack,"",@progbits
"""

EXPORTS = "{{ global: luthier_model; luthier_{name}; local: *; }};\n"
