"""Objects need no more than libc and libm, and no more than their level's instructions."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from caller import LEVELS, TARGETS, schedules
from graphs import random_graph
from test_elementwise import BINARY, UNARY, binary, unary
from workloads import Builder, conv, conv_transpose, matmul, pool

from luthier.schedules import Target
from luthier.schedules.codegen import compile_object, llvm_target
from luthier.schedules.templates.registry import instantiate

PAD = (1, 1, 1, 1)
LIBC = {"memcpy", "memmove", "memset"}
# Of x86-64-v2 fma; of lanes that arithmetic of vectors does not reach fmod, sin, cos and tan.
LIBM = """
    ceil cos floor fma fmod nearbyint pow rint round roundeven sin sincos sqrt tan trunc
""".split()
ALLOWED = LIBC | {name + suffix for name in LIBM for suffix in ("", "f")}


def softmax():
    b = Builder()
    b.add("softmax", b.input((5, 70)), axis=1)
    return b.workload


WORKLOADS = [
    conv((1, 9, 9, 17), 19, (3, 3), pads=PAD, after="swish"),
    conv((1, 9, 9, 17), 17, (3, 3), pads=PAD, groups=17, after="clip"),
    conv_transpose((1, 4, 4, 5), 9, (3, 3), strides=(2, 2), after="gelu"),
    matmul((7, 33), (33, 65), after="scaled"),
    pool("max_pool2d", (1, 9, 9, 17), (3, 3)),
    softmax(),
    *(random_graph(seed) for seed in range(6)),
    *(unary(op, dtypes[0]) for op, dtypes in UNARY.items()),
    *(binary(op, dtypes[0]) for op, dtypes in BINARY.items()),
    *(unary(op, "float64") for op in ("exp", "erf", "sinh", "asin", "atanh")),
    unary("tanh", "float16"),
]


@pytest.fixture(scope="module", params=LEVELS)
def built(request, tmp_path_factory):
    """The level, and an object of all the workloads' defaults."""
    target = TARGETS[request.param]
    kernels = {}
    for i, workload in enumerate(WORKLOADS):
        for j, schedule in enumerate(schedules(workload, target, 0)):
            kernels[f"k{i}_{j}"] = instantiate(workload, target, schedule)
    path = tmp_path_factory.mktemp("codegen") / "kernels.o"
    path.write_bytes(compile_object(kernels, target))
    return request.param, path, kernels


def output(*command: object) -> str:
    found = shutil.which(str(command[0]))
    assert found, f"these tests need {command[0]}, of binutils"
    done = subprocess.run(
        [found, *map(str, command[1:])], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_nothing_is_undefined_but_libm_and_what_compilers_call(built):
    _, path, _ = built
    undefined = {line.split()[-1] for line in output("nm", "-u", path).splitlines()}
    assert undefined <= ALLOWED, undefined - ALLOWED


def test_every_phase_is_a_function_of_its_own(built):
    _, path, kernels = built
    lines = [line.split() for line in output("nm", "--defined-only", path).splitlines()]
    functions = {name for *_, kind, name in lines if kind == "T"}
    assert functions == {f"{name}_{i}" for name, k in kernels.items() for i in range(len(k.phases))}


def test_no_data_is_writable(built):
    """Kernels of one library run in several threads at once."""
    _, path, _ = built
    lines = [line.split() for line in output("nm", path).splitlines()]
    assert not [name for *_, kind, name in lines if kind in "BbDdCc"]


def test_instructions_are_those_of_the_level(built):
    level, path, _ = built
    code = output("objdump", "-d", "--no-show-raw-insn", path)
    mnemonics = {m[1] for m in re.finditer(r"^\s+[0-9a-f]+:\s+([a-z0-9]+)", code, re.M)}
    assert any(m.startswith("mul") for m in mnemonics) or level != "x86-64-v2"
    vex = {m for m in mnemonics if m.startswith("v") and not m.startswith("ver")}
    if level == "x86-64-v2":
        assert not vex
        assert "ymm" not in code
    else:
        assert any(m.startswith("vfmadd") for m in vex)
        assert "ymm" in code
    assert ("zmm" in code) == (level == "x86-64-v4")
    assert bool(re.search(r"%k[1-7]", code)) == (level == "x86-64-v4")


def test_a_level_is_never_more_than_its_name_says():
    """Tuning for a processor's name would allow all its instructions."""
    for level in LEVELS:
        kind = llvm_target(Target(level, "sapphirerapids", 1))
        assert str(kind.attrs["mcpu"]) == level
        assert not any("amx" in str(a) or "fp16" in str(a) for a in kind.attrs["mattr"])


def test_code_is_the_same_every_time():
    workload, target = WORKLOADS[0], TARGETS["x86-64-v3"]
    kernels = {"k": instantiate(workload, target, next(schedules(workload, target, 0)))}
    again = {"k": instantiate(workload, target, next(schedules(workload, target, 0)))}
    assert compile_object(kernels, target) == compile_object(again, target)
