"""C++ programs: the header, two models in one program, and the example with CMake."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_models import COLUMNS, ROWS, two_inputs

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "cpp"


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "with space"
    two_inputs("other", weight=3.0).build(folder)
    return folder


def bare(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run without any environment."""
    return subprocess.run(
        [program, *arguments], env={}, capture_output=True, text=True, timeout=60, check=False
    )


def test_two_models_in_one_program(
    artifact_folder: Path, other_folder: Path, tmp_path: Path, cxx_compiler: str
) -> None:
    program = tmp_path / "program"
    folders = (artifact_folder, other_folder)
    command = [cxx_compiler, "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow"]
    command += [f"-I{f}" for f in folders] + [str(HERE / "cpp_api.cpp")]
    command += [f"-L{f}" for f in folders] + ["-lsmall", "-lother", "-lpthread"]
    command += [f"-Wl,-rpath,{f}" for f in folders]
    subprocess.run([*command, "-o", program], check=True)
    done = bare(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def build_example(folder: Path, compiler: str, artifact: Path, model: str) -> Path:
    configure = ["cmake", "-S", EXAMPLE, "-B", folder, f"-DCMAKE_CXX_COMPILER={compiler}"]
    configure += [f"-DMODEL={model}", f"-DCMAKE_PREFIX_PATH={artifact}"]
    configure += ["-DCMAKE_CXX_FLAGS=-Werror"]
    for command in (configure, ["cmake", "--build", folder]):
        subprocess.run(command, check=True, capture_output=True)
    return folder / "classify"


def test_example(artifact_folder: Path, tmp_path: Path, cxx_compiler: str) -> None:
    program = build_example(tmp_path / "build", cxx_compiler, artifact_folder, "small")
    done = bare(program)
    assert done.returncode == 0
    assert "small: " in done.stdout
    assert "ms a run" in done.stdout

    x = np.ones((ROWS, COLUMNS), np.float32)
    x[30, 4] = 100
    x.tofile(tmp_path / "x.bin")
    np.zeros_like(x).tofile(tmp_path / "y.bin")
    done = bare(program, str(tmp_path / "x.bin"), str(tmp_path / "y.bin"))
    assert f"[{30 * COLUMNS + 4}] 1000\n" in done.stdout  # 100 * 2 * (4 + 1)

    for arguments, words in (
        (["x.bin"], "2 inputs"),
        (["none", "none"], "cannot read none"),
        ([str(tmp_path / "x.bin"), __file__], "input 'y' needs 1628"),
    ):
        done = bare(program, *arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_example_needs_nothing_but_the_system(artifact_folder: Path, tmp_path: Path) -> None:
    program = build_example(tmp_path / "build", "c++", artifact_folder, "small")
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0].split("/")[-1].split(".")[0] for line in needed.splitlines()}
    system = {"linux-vdso", "libstdc++", "libgcc_s", "libc", "libm", "ld-linux-x86-64"}
    assert names <= system | {"libsmall"}


def test_cmake_package_may_be_moved_and_says_what_is_missing(
    other_folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(other_folder, moved, symlinks=True)
    assert bare(build_example(tmp_path / "a", "c++", moved, "other")).returncode == 0
    (moved / "luthier.hpp").unlink()
    with pytest.raises(subprocess.CalledProcessError) as failure:
        build_example(tmp_path / "b", "c++", moved, "other")
    assert "luthier.hpp is missing" in " ".join(failure.value.stderr.decode().split())


def test_pkg_config(artifact_folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(artifact_folder, moved, symlinks=True)
    environment = {**os.environ, "PKG_CONFIG_PATH": str(moved / "pkgconfig")}
    pkg_config = shutil.which("pkg-config") or "pkgconf"  # of the system, or the one of PyPI
    flags = subprocess.run(
        [pkg_config, "--cflags", "--libs", "small"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    source = tmp_path / "main.c"
    source.write_text("#include <small.h>\nint main(void) { return luthier_small()->abi != 1; }\n")
    command = ["cc", "-Wall", "-Werror", str(source), *flags, f"-Wl,-rpath,{moved}"]
    subprocess.run([*command, "-o", tmp_path / "program"], check=True)
    assert bare(tmp_path / "program").returncode == 0
