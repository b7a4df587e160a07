"""Full disks, limits of files' sizes, and interrupts: one line, and no files are left."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from small_models import SmallModel

from luthier.deploy import Sample, build, load
from luthier.frontend.program import Call, Library, Program
from luthier.schedules import ArtifactError, Tensor, Workload, node
from luthier.schedules.codegen import compile_object
from luthier.schedules.execute import link
from luthier.schedules.target import host
from luthier.schedules.templates.registry import default, instantiate
from luthier.schedules.toolchain import find_compiler

HERE = Path(__file__).parent
MATRIX = Tensor((64, 50))
TANH = Workload((MATRIX,), (False,), (node("tanh", (0,), MATRIX),))


@pytest.fixture
def file_limit() -> Iterator[Callable[[int], None]]:
    """Sets the largest size that this process may give to a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_of_file_sizes(small: SmallModel, tmp_path: Path, file_limit) -> None:
    sample = Sample({"x": np.random.default_rng(0).random(20_000)}, {})
    small.build(tmp_path / "whole", finish=lambda _: {"run": sample})
    sizes = [p.stat().st_size for p in (tmp_path / "whole").rglob("*") if p.is_file()]
    limits = sorted({0, 1, 100, 4096, *(size - 1 for size in sizes), *sizes, 2 * max(sizes)})
    refused = f"cannot write {tmp_path / 'some' / 'out'}: File too large; raise the limit"
    built = []
    for limit in limits:
        file_limit(limit)
        try:
            small.build(tmp_path / "some" / "out", finish=lambda _: {"run": sample})
            said = ""
        except ArtifactError as error:
            said = str(error)
        file_limit(-1)
        assert said.startswith(refused if said else ""), limit
        assert (tmp_path / "some").exists() == (not said), limit
        if not said:
            built.append(limit)
            load(tmp_path / "some" / "out").close()
            shutil.rmtree(tmp_path / "some")
    assert built == [limit for limit in limits if limit >= built[0]]
    assert max(sizes) <= built[0] <= 2 * max(sizes)


def real_program() -> Program:
    return Program(
        "real", (MATRIX, MATRIX), (("x", 0),), (("y", 1),), {}, {}, (Call(TANH, (0,), 1),)
    )


def test_llvm_ends_no_process_where_files_may_not_be_large(tmp_path: Path, file_limit) -> None:
    target = host(1)
    for limit in (0, 1, 1000, 5000):
        file_limit(limit)
        with pytest.raises(ArtifactError, match=r"out: File too large; raise the limit"):
            build(Library.of(real_program()), tmp_path / "out", target, {})
        file_limit(-1)
        assert not list(tmp_path.iterdir())
    file_limit(10_000_000)
    build(Library.of(real_program()), tmp_path / "out", target, {})


def test_the_estimated_size_of_an_object_is_never_too_small(file_limit) -> None:
    """Just below that limit LLVM would be called, and would end this process if it were wrong."""
    target = host(1)
    kernel = instantiate(TANH, target, default(TANH, target))
    size = len(compile_object({"k": kernel}, target))
    written = []
    for limit in range(size // 2, 8 * size, size // 4):
        file_limit(limit)
        with contextlib.suppress(OSError):
            compile_object({"k": kernel}, target)
            written.append(limit)
        file_limit(-1)
    assert written
    assert written[0] > size


def test_no_folder_for_temporary_files_is_needed(
    small: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    build(Library.of(real_program()), tmp_path / "out", host(1), {})


# ---- a full disk ----

FILL = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from small_models import two_inputs
from luthier.deploy import Sample
from luthier.schedules import ArtifactError
small, out = two_inputs(), Path(sys.argv[2]) / "out"
sample = Sample({"x": np.random.default_rng(0).random(10_000)}, {})
for kilobytes in sys.argv[3:]:
    size = f"remount,size={kilobytes}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", out.parent], check=True)
    try:
        small.build(out, finish=lambda _: {"run": sample})
        print("built")
    except ArtifactError as error:
        print(error)
    print(os.listdir(out.parent))
"""


def test_a_full_disk(tmp_path: Path) -> None:
    sizes = (8, 32, 64, 112, 140, 1000)
    mount = f'mount -t tmpfs none {tmp_path} || exit 77; exec "$@"'
    own = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    fill = [sys.executable, "-W", "error", "-c", FILL, HERE, tmp_path, *map(str, sizes)]
    done = subprocess.run(
        [*own, "sh", "-c", mount, "sh", *fill], capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or done.stderr.startswith("unshare: "):
        pytest.skip("nobody but root may mount here; test_a_compiler_on_a_full_disk runs")
    said = f"cannot write {tmp_path / 'out'}: No space left on device; make room in {tmp_path}"
    refused = [f"{said}, or choose another output folder", "[]"]
    assert done.stderr == ""
    assert done.stdout.splitlines() == refused * (len(sizes) - 1) + ["built", "['out']"]


COMPLAINTS = {
    "/usr/bin/ld: final link failed: No space left on device": "No space left on device",
    "as: /tmp/c.o: Disk quota exceeded": "Disk quota exceeded",
    "cc: fatal error: ld terminated with signal 25 [File size limit exceeded]": "File too large",
}


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_a_compiler_on_a_full_disk(
    small: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str
) -> None:
    script = tmp_path / "compiler"
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo cc && exit\n'
                      f"echo '{complaint}' >&2\nexit 1\n")  # fmt: skip
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    with pytest.raises(ArtifactError, match=f"cannot write .*out: {COMPLAINTS[complaint]}; "):
        small.build(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["compiler"]
    with pytest.raises(OSError, match=COMPLAINTS[complaint]):
        find_compiler().run(["a.c"], tmp_path)


def test_a_linker_on_a_full_disk(tmp_path: Path, file_limit) -> None:
    kernel = instantiate(TANH, host(1), default(TANH, host(1)))
    (tmp_path / "k.o").write_bytes(compile_object({"k": kernel}, host(1)))
    file_limit(1000)
    with pytest.raises(OSError, match="File too large"):
        link([tmp_path / "k.o"], tmp_path / "k.so")


# ---- interrupts ----

SLOW = """#!/bin/sh
[ "$1" = --version ] && echo cc && exit
echo half > "$TMPDIR/half.o"
sleep 1000 &
echo $! > {pids}
wait
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_ends_the_compiler_and_all_its_files(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Neither what the compiler started nor a file of it is left, wherever that was."""
    script, pids, temporary = (tmp_path / name for name in ("compiler", "pids", "tmp"))
    script.write_text(SLOW.format(pids=pids))
    script.chmod(0o755)
    temporary.mkdir()
    model = HERE.parents[1] / "examples" / "digits" / "digits.onnx"
    out = tmp_path / "work" / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "luthier", "build", model, "-o", out],
        cwd=tmp_path,
        env={**os.environ, "CC": str(script), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores it, and so would the command.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not (pids.exists() and pids.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    sleeper = psutil.Process(int(pids.read_text()))
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip().startswith("luthier: error: interrupted")
    psutil.wait_procs([sleeper], timeout=10)
    assert not sleeper.is_running()
    assert not out.parent.exists()
    assert not list(tmp_path.rglob("half.o"))
