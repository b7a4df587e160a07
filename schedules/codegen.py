"""From TensorIR phases to machine code: lowering passes, then LLVM."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from .ir.kernel import Kernel
from .kept import is_kept, kept
from .late import late
from .target.target import Target
from .tir.far import far_sources
from .tir.statements import attributed
from .tvm_late import ir, tirx, tvm

tvm_ffi = late("tvm_ffi")

_LLVM_NAMES = {"sse4_1": "sse4.1", "sse4_2": "sse4.2", "bmi1": "bmi"}  # that are not Linux's
_LLVM_NAMES |= {"avx512_vnni": "avx512vnni", "avx_vnni": "avxvnni", "avx512_bf16": "avx512bf16"}
_LLVM_NAMES |= {f"amx_{part}": f"amx-{part}" for part in ("tile", "int8", "bf16")}
# LLVM else takes sums of products apart again, for processors where that waits less.
_TUNINGS = {"avx512_vnni": "fast-dpwssd", "avx_vnni": "fast-dpwssd"}


def llvm_target(target: Target) -> Any:
    """TVM's description of the target.

    The features of the level are spelled out, so that code never depends on more than the level
    promises: a host with AMX or AVX512-FP16 still gives an artifact that any x86-64-v4 runs.
    """
    attributes = [f"+{_LLVM_NAMES.get(f, f)}" for f in target.features]
    attributes += [f"+{_TUNINGS[f]}" for f in target.features if f in _TUNINGS]
    kind = {"kind": "llvm", "mcpu": target.level, "mattr": attributes, "mtriple": target.isa.triple}
    return tvm.target.Target(kind)


def lower(kernels: Mapping[str, Kernel], target: Target) -> Any:
    """One module with a lowered function ``name_i`` for phase ``i`` of each kernel."""
    functions = {}
    for name, kernel in kernels.items():
        for i, phase in enumerate(kernel.phases):
            symbol = f"{name}_{i}"
            functions[symbol] = phase.func.with_attr("global_symbol", symbol)
    llvm = llvm_target(target)
    bound = tirx.transform.BindTarget(llvm.with_host(llvm))(tvm.IRModule(functions))
    lowered = tvm.transform.Sequential(
        [
            tirx.transform.NarrowDataType(32),
            tirx.transform.VectorizeLoop(True),
            tirx.transform.UnrollLoop(),
            tirx.transform.StmtSimplify(),
            tirx.transform.LowerIntrin(),
        ]
    )(bound)
    for variable, function in lowered.functions.items():
        names: list[Any] = []
        tvm_ffi.structural_walk(function.body, (ir.StringImm, names.append))
        body = function.body
        for source in far_sources({str(name.value) for name in names}):
            body = attributed("pragma_import_llvm", source, body)
        if body is not function.body:
            lowered.update_func(variable, function.with_body(body))
    return lowered


def compile_object(kernels: Mapping[str, Kernel], target: Target) -> bytes:
    """An ELF object with the C function ``name_i`` for phase ``i`` of each kernel.

    Raises OSError where files may not be as large.
    """
    return _emitted(lower(kernels, target), target)


def kept_object(kernels: Mapping[str, Kernel], target: Target) -> bytes:
    """The same, or what an earlier process kept of it; see ``kept``."""
    if not is_kept():
        return compile_object(kernels, target)
    module = lower(kernels, target)
    code = tvm.ir.save_json(module), str(llvm_target(target)), metadata.version("apache-tvm")
    return kept([part.encode() for part in code], lambda: [_emitted(module, target)])[0]


def _emitted(module: Any, target: Target) -> bytes:
    """The ELF object of a lowered module."""
    compiled = tvm.get_global_func("target.build.llvm")(module, llvm_target(target))
    # LLVM ends the process where it cannot write. So it writes to a file in memory, not on a disk,
    # which may be full, and nothing larger than the process's limit allows.
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and _most_bytes(compiled.inspect_source("s")) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    with os.fdopen(os.memfd_create("kernels.o"), "rb") as file:
        compiled.write_to_file(f"/proc/self/fd/{file.fileno()}", "o")
        return file.read()


def _most_bytes(assembly: str) -> int:
    """No object of this assembly is larger.

    A line of text is seldom shorter than what it stands for, though a symbol or a relocation, which
    a short line may bring, takes 24 bytes.
    """
    zeros = sum(map(int, re.findall(r"\.(?:zero|skip|space|fill)\s+(\d+)", assembly)))
    aligned = 64 * assembly.count(".p2align")
    return 2 * len(assembly) + zeros + aligned + 4096
