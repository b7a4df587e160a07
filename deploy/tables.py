"""Writes the library's tables in C; ``runtime/program.h`` says what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.schedules.ir.symbol import Symbol

from .c_array import c_array
from .entries import Port
from .flow_tables import flow_arrays
from .found_tables import found_arrays, refusal_arrays
from .layout import Entry, Tables, Variant, alternatives, kernel_symbol, kernel_symbols
from .names import accessors, c_string, label
from .numbers import VariantNumbers, numbers_of, settle_function
from .state_tables import first_more, state_arrays

__all__ = ["WEIGHTS_SOURCE", "emit", "exports", "kernel_symbol"]

_LONGEST_RANGE = 80  # characters of one in a message


def emit(tables: Tables) -> str:
    """The C source; raises ModelError where sizes are too large for its arithmetic."""
    count = len(tables.entries)
    parts = [
        '#include "program.h"\n',
        "extern const unsigned char luthier_weights[];\n",
        f"static const luthier_model models[{count}];",
        c_array("luthier_model *const", "entries", (f"&models[{e}]" for e in range(count))),
        c_array("char *const", "features", map(c_string, tables.target.features)),
        c_array("char *const", "versions", (c_string(f"{n} {v}") for n, v in _sorted(tables))),
        _kernels(tables),
    ]
    models = []
    for e, (name, entry) in enumerate(tables.entries.items()):
        parts.append(_entry(tables, f"e{e}", entry))
        models.append(_model(tables, f"e{e}", name, entry))
    parts.append(f"static const luthier_model models[{count}] = {{\n{''.join(models)}}};\n")
    parts.append(_accessors(tables))
    return "\n".join(parts)


def _sorted(tables: Tables) -> list[tuple[str, str]]:
    return sorted(tables.versions.items())


def _kernels(tables: Tables) -> str:
    text = ""
    for k, kernel in enumerate(tables.kernels):
        rows = []
        for a, symbol in enumerate(kernel_symbols(k, kernel)):
            phases = len(alternatives(kernel)[a].kernel.phases)
            functions = [f"{symbol}_{p}" for p in range(phases)]
            for function in functions:
                text += f"void {function}(void *const *, void *, int32_t, int32_t);\n"
            text += c_array("luthier_phase_function", f"phases_{k}_{a}", functions)
            rows.append(f"{{all_phases_{k}_{a}, {phases}u}}")
        text += c_array("luthier_alternative", f"kernel_{k}", rows)
    return text


def _entry(tables: Tables, prefix: str, entry: Entry) -> str:
    """What an entry point's model points to."""
    names = [name for variant in entry.variants for name in variant.step_names]
    ports = {"inputs": entry.inputs, "outputs": entry.outputs}
    text = "".join(_tensors(f"{prefix}_{kind}", found) for kind, found in ports.items())
    text += c_array("char *const", f"{prefix}_step_names", map(c_string, names))
    for kind, found in ports.items():
        labels = (c_string(label(port.name)) for port in found)
        text += c_array("char *const", f"{prefix}_{kind}_labels", labels)
    text += _sizes(f"{prefix}_sizes", entry.symbols)
    places = (str(tables.names.index(symbol.name)) for symbol in entry.symbols)
    text += c_array("size_t", f"{prefix}_size_places", places)
    ranges = (c_string(_range(symbol)) for symbol in entry.symbols)
    text += c_array("char *const", f"{prefix}_size_ranges", ranges)
    text += _forms(prefix, entry)
    text += _labels(prefix, entry)
    text += found_arrays(tables, prefix, entry) + state_arrays(tables, prefix, entry)
    rows, first_step, numbers = [], 0, []
    for v, variant in enumerate(entry.variants):
        numbers.append(numbers_of(variant, tables.kernels))
        name = f"{prefix}_v{v}"
        text += _variant(tables, name, variant, numbers[-1])
        text += refusal_arrays(name, variant.program, entry.found)
        rows.append(_variant_row(name, variant, numbers[-1], first_step))
        first_step += len(variant.step_kernels)
    text += c_array("luthier_variant", f"{prefix}_variants", rows)
    return (
        text
        + f"""
static const luthier_program {prefix}_program = {{
    .variants = all_{prefix}_variants,
    .forms = all_{prefix}_forms,
    .size_places = all_{prefix}_size_places,
    .size_ranges = all_{prefix}_size_ranges,
    .input_labels = all_{prefix}_inputs_labels,
    .output_labels = all_{prefix}_outputs_labels,
    .state_labels = all_{prefix}_state_labels,
    .states = all_{prefix}_places,
    .weights = luthier_weights,
    .found = all_{prefix}_found,
    .found_numbers = all_{prefix}_found_numbers,
    .variant_count = {len(rows)},
    .form_count = {len(entry.forms)},
    .found_count = {len(entry.found)},
    .size_count = {len(entry.symbols)},
    .first_more = {first_more(entry)},
    .state_bytes = {tables.states.nbytes}u,
    .library_state_count = {len(tables.states.offsets)},
    .library_size_count = {len(tables.names)},
    .most_references = {max(len(n.references) for n in numbers)},
    .most_loops = {max(variant.plan.loops for variant in entry.variants)},
    .most_numbers = {max(n.length for n in numbers)},
}};
"""
    )


def _tensors(name: str, ports: Sequence[Port]) -> str:
    text = ""
    for i, port in enumerate(ports):
        text += c_array("int64_t", f"{name}_shape_{i}", map(str, port.tensor.shape))
        text += c_array("char *const", f"{name}_dims_{i}", map(c_string, port.shape_texts))
    rows = (
        f"{{{c_string(port.name)}, all_{name}_shape_{i}, {len(port.tensor.shape)}, "
        f"LUTHIER_{port.element.upper()}, {port.tensor.nbytes}u, all_{name}_dims_{i}}}"
        for i, port in enumerate(ports)
    )
    return text + c_array("luthier_tensor", name, rows)


def _labels(prefix: str, entry: Entry) -> str:
    """The texts for which numbers of outputs stand."""
    text = ""
    for i, port in enumerate(entry.outputs):
        text += c_array("char *const", f"{prefix}_labels_{i}", map(c_string, port.labels))
    rows = (f"all_{prefix}_labels_{i}" for i in range(len(entry.outputs)))
    text += c_array("char *const *const", f"{prefix}_labels", rows)
    counts = (str(len(port.labels)) for port in entry.outputs)
    return text + c_array("size_t", f"{prefix}_label_counts", counts)


def _sizes(name: str, symbols: Sequence[Symbol]) -> str:
    text, rows = "", []
    for i, symbol in enumerate(symbols):
        text += c_array("int64_t", f"{name}_exact_{i}", map(str, symbol.exact))
        row = f"{c_string(symbol.name)}, {symbol.least}, {symbol.most}, all_{name}_exact_{i}"
        rows.append(f"{{{row}, {len(symbol.exact)}}}")
    return text + c_array("luthier_size", name, rows)


def _range(symbol: Symbol) -> str:
    if not symbol.exact:
        return f"in {symbol.least}..{symbol.most}"
    text = f"one of {', '.join(map(str, symbol.exact))}"
    return text if len(text) <= _LONGEST_RANGE else f"{text[: _LONGEST_RANGE - 3]}..."


def _forms(prefix: str, entry: Entry) -> str:
    text, rows = "", []
    for i, form in enumerate(entry.forms):
        text += c_array("int64_t", f"{prefix}_terms_{i}", map(str, form.terms))
        rows.append(f"{{{form.port}, {form.axis}, all_{prefix}_terms_{i}}}")
    return text + c_array("luthier_form", f"{prefix}_forms", rows)


def _variant(tables: Tables, name: str, variant: Variant, numbers: VariantNumbers) -> str:
    plan, symbols = variant.plan, {s.name: s for s in variant.program.symbols}
    text = _sizes(f"{name}_box", variant.program.given)
    constant = numbers.constant
    text += c_array("int64_t", f"{name}_numbers", map(str, constant or ()))
    if constant is None:
        text += settle_function(f"settle_{name}", numbers, tables.names, symbols)
    steps = zip(variant.step_kernels, numbers.first_numbers, strict=True)
    text += c_array("luthier_step", f"{name}_steps", (f"{{all_kernel_{k}, {n}}}" for k, n in steps))
    text += flow_arrays(name, plan, numbers)
    text += c_array("uint64_t", f"{name}_input_places", (f"{p}u" for p in plan.input_places))
    return text + c_array(
        "uint64_t", f"{name}_output_places", (f"{p}u" for p in plan.output_places)
    )


def _variant_row(name: str, variant: Variant, numbers: VariantNumbers, first_step: int) -> str:
    moving = sum(r.space in ("INPUT", "OUTPUT") for r in numbers.references)
    settle = f"settle_{name}" if numbers.constant is None else "NULL"
    return f"""{{
        .box = all_{name}_box,
        .numbers = all_{name}_numbers,
        .settle = {settle},
        .steps = all_{name}_steps,
        .references = all_{name}_references,
        .moving = all_{name}_moving,
        .instructions = all_{name}_instructions,
        .slides = all_{name}_slides,
        .loops = all_{name}_loops,
        .copies = all_{name}_copies,
        .input_places = all_{name}_input_places,
        .output_places = all_{name}_output_places,
        .refusals = all_{name}_refusals,
        .refusal_count = {len(variant.program.refuses)},
        .first_step = {first_step},
        .step_count = {len(variant.step_kernels)},
        .instruction_count = {len(variant.plan.instructions)},
        .reference_count = {len(numbers.references)},
        .moving_count = {moving},
        .loop_count = {variant.plan.loops},
        .copy_count = {len(variant.plan.copies)},
    }}"""


def _model(tables: Tables, prefix: str, name: str, entry: Entry) -> str:
    sha256 = "NULL" if tables.model_sha256 is None else c_string(tables.model_sha256)
    return f"""    {{
        .abi = LUTHIER_ABI,
        .threads = {tables.target.threads},
        .name = {c_string(tables.name)},
        .inputs = all_{prefix}_inputs,
        .outputs = all_{prefix}_outputs,
        .step_names = all_{prefix}_step_names,
        .features = all_features,
        .sizes = all_{prefix}_sizes,
        .input_count = {len(entry.inputs)},
        .output_count = {len(entry.outputs)},
        .step_count = {sum(len(v.step_kernels) for v in entry.variants)},
        .feature_count = {len(tables.target.features)},
        .size_count = {len(entry.symbols) - entry.lengths},
        .weight_bytes = {tables.weight_bytes}u,
        .arena_bytes = {tables.arena_bytes}u,
        .scratch_bytes = {tables.scratch_bytes}u,
        .create = luthier_runtime_create,
        .destroy = luthier_runtime_destroy,
        .run = luthier_runtime_run,
        .status_text = luthier_runtime_status_text,
        .pool_create = luthier_runtime_pool_create,
        .pool_destroy = luthier_runtime_pool_destroy,
        .create_beside = luthier_runtime_create_beside,
        .set_sizes = luthier_runtime_set_sizes,
        .set_shapes = luthier_runtime_set_shapes,
        .get_sizes = luthier_runtime_get_sizes,
        .input_shape = luthier_runtime_input_shape,
        .output_shape = luthier_runtime_output_shape,
        .entry = {c_string(name)},
        .entries = all_entries,
        .entry_count = {len(tables.entries)},
        .luthier = {c_string(tables.versions.get("luthier", ""))},
        .model_sha256 = {sha256},
        .level = {c_string(tables.target.level)},
        .accuracy = {c_string(tables.target.accuracy)},
        .versions = all_versions,
        .version_count = {len(tables.versions)},
        .states = all_{prefix}_states,
        .state_count = {len(entry.states)},
        .reset = luthier_runtime_reset,
        .state_length = luthier_runtime_state_length,
        .read_state = luthier_runtime_read_state,
        .write_state = luthier_runtime_write_state,
        .copy_states = luthier_runtime_copy_states,
        .program = &{prefix}_program,
        .output_labels = all_{prefix}_labels,
        .output_label_counts = all_{prefix}_label_counts,
    }},
"""


def _accessors(tables: Tables) -> str:
    """For dlopen, and for linking; in C the first name would clash with the type's."""
    visible = '__attribute__((visibility("default"))) const luthier_model'
    text = f'{visible} *by_any_name(void)\n    __asm__("luthier_model");\n'
    names = accessors(tables.name, list(tables.entries))
    for function in names:
        text += f"{visible} *{function}(void);\n"
    for function, e in {"by_any_name": 0, **names}.items():
        text += f"\nconst luthier_model *{function}(void)\n{{\n    return &models[{e}];\n}}\n"
    return text


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


def exports(tables: Tables) -> str:
    """The linker's version script: what the library shows of itself."""
    shown = ["luthier_model", *accessors(tables.name, list(tables.entries))]
    return f"{{ global: {' '.join(f'{name};' for name in shown)} local: *; }};\n"
