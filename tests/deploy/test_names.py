"""Names of models and tensors, whatever they are, in files, in C and in messages."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import SmallModel

from luthier.deploy import Artifact, binding, load
from luthier.deploy.library import POOL, RUNTIME
from luthier.deploy.names import accessors, c_comment, c_string, identifier
from luthier.frontend.program import Call, Program
from luthier.schedules import ModelError
from luthier.schedules.errors import printable


def nothing_left(folder: Path, *names: str) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)


@given(st.text())
def test_identifiers_suit_c(text: str) -> None:
    name = identifier(text)
    assert re.fullmatch("[a-z0-9_]{1,65}", name)
    assert identifier(name.rstrip("_")) == identifier(identifier(name.rstrip("_")).rstrip("_"))


def test_identifiers() -> None:
    names = ["ResNet-18", "model", "run", "9lives", "模型", "", "../../etc", "kernel_0_0", "a" * 64]
    assert [identifier(n) for n in names] == [
        "resnet_18", "model_", "run_", "9lives", "unnamed", "unnamed", "etc", "kernel_0_0_",
        "a" * 64,
    ]  # fmt: skip


def test_long_names_stay_apart() -> None:
    names = [identifier(f"{'very-' * 20}long-{part}") for part in ("encoder", "decoder")]
    assert all(len(name) <= 64 for name in names)
    assert names[0] != names[1]
    assert len(identifier("a" * 70_000)) == 64


def test_no_model_takes_a_name_of_the_api() -> None:
    headers = [*RUNTIME.glob("*.h"), *POOL.glob("*.h")]
    used = {n for h in headers for n in re.findall(r"\bluthier_([a-z_0-9]+)\b", h.read_text())}
    assert len(used) > 40
    for name in (*used, "luthier"):
        assert identifier(name) != name, name


def test_accessors_of_entry_points() -> None:
    assert accessors("chat", ["run"]) == {"luthier_chat": 0}
    assert accessors("set", ["sizes", "x"]) == {
        "luthier_set": 0, "luthier_set_sizes_": 0, "luthier_set_x": 1
    }  # fmt: skip


EVERYTHING = """
#include <assert.h>
#include <complex.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fenv.h>
#include <inttypes.h>
#include <iso646.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <regex.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <tgmath.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>
#include <immintrin.h>
"""


def test_no_model_takes_a_name_of_the_system(c_compiler: str) -> None:
    """All headers that the usual ones bring, and all libraries that every program is linked to."""
    flags = ["-std=gnu11", "-mavx512f", "-E", "-x", "c", "-"]
    text = subprocess.run(
        [c_compiler, *flags], input=EVERYTHING, capture_output=True, text=True, check=True
    ).stdout
    plain = "|".join(re.escape(folder) for folder in include_folders(c_compiler))
    headers = set(re.findall(rf'"(?:{plain})/([a-z0-9_]+)\.h"', text))
    assert {"stdint", "features", "time", "math", "immintrin"} <= headers
    link = [c_compiler, "-###", "-pthread", "-lm", "-ldl", "-lrt", "-x", "c", "/dev/null"]
    said = subprocess.run(link, capture_output=True, text=True, check=True).stderr
    libraries = set(re.findall(r' "?-l([a-z0-9_+]+)"?(?= )', said))
    assert {"c", "m"} <= libraries
    for name in headers | libraries:
        assert identifier(name) != name, name


def include_folders(compiler: str) -> list[str]:
    said = subprocess.run(
        [compiler, "-E", "-v", "-x", "c", "/dev/null"], capture_output=True, text=True, check=True
    ).stderr
    listed = said.partition("search starts here:\n#include <...>")[2].partition("End of search")[0]
    return [line.strip() for line in listed.splitlines()[1:]]


@given(st.text())
def test_comments_and_strings_hold(text: str) -> None:
    assert "*/" not in c_comment(text)
    assert "\n" not in c_comment(text)
    assert re.fullmatch(r'"([ !#-&(-\[\]-~\'>@=<;:/.,-]|\\[0-7]{3})*"', c_string(text))


HOSTILE = (
    'quote" backslash\\ newline\n */ /* ??/ ??) %s $name ${PATH} \u2028 é 模',
    "",
    "../../../etc/passwd",
    "\x1b[2J\x9b31m\r\b\x7f\u202e %n%n%n",
    "很长的名字😀" * 500,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_reach_their_user(small: SmallModel, tmp_path: Path, name: str) -> None:
    program = small.program
    named = Program(
        name=name,
        values=program.values,
        inputs=((name, 0), ("y", 1)),
        outputs=((name, 3), *program.outputs[1:]),
        constants=program.constants,
        views=program.views,
        steps=tuple(Call(c.workload, c.args, c.result, name) for c in program.calls),
    )
    SmallModel(named, small.kernels, small.code).build(tmp_path / "out")
    nothing_left(tmp_path, "out")
    header = (tmp_path / "out" / "model.h").read_text()
    subprocess.run(
        ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-xc", "-"],
        input=header, text=True, check=True,
    )  # fmt: skip
    with load(tmp_path / "out") as artifact:
        x = np.ones((37, 11), np.float32)
        assert name in artifact.run({name: x, "y": x})
        for wrong in (0, 1):
            message = message_for_wrong_sizes(artifact, wrong)
            assert len(message) < 248
            said = message.decode()  # no character was cut
            assert said.isprintable()
            assert printable(name)[:20] in said
            assert artifact.inputs[0].name == name


def message_for_wrong_sizes(artifact: Artifact, wrong: int) -> bytes:
    """What the library says where input 0 (or output 0) has no bytes."""
    model, error = artifact._model, binding.CError()
    tables = []
    for ports in (artifact.inputs, artifact.outputs):
        table = (binding.CBuffer * len(ports))()
        for buffer, port in zip(table, ports, strict=True):
            buffer.bytes = port.tensor.nbytes
            buffer.data = ctypes.addressof(ctypes.create_string_buffer(1))
        tables.append(table)
    tables[wrong][0].bytes = 0
    sizes = len(tables[0]), len(tables[1])
    status = model.run(
        artifact._instance, tables[0], sizes[0], tables[1], sizes[1], None, ctypes.byref(error)
    )
    assert status in (5, 6)
    return bytes(error.message)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a\0b", "zero byte"),
        ("a\ud800b", "is not a text that UTF-8 can tell"),
        ("n" * 70_000, "'nnnnn.*nnn...' of an input or output is longer than"),
    ],
)
def test_names_that_cannot_be_stored(
    small: SmallModel, tmp_path: Path, name: str, words: str
) -> None:
    p = small.program
    named = Program("p", p.values, ((name, 0), ("y", 1)), p.outputs, p.constants, p.views, p.calls)
    with pytest.raises(ModelError, match=words) as failure:
        SmallModel(named, small.kernels, small.code).build(tmp_path / "out")
    assert len(str(failure.value)) < 300
