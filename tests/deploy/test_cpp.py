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


MODES = {
    "without exceptions": ("-fno-exceptions",),
    "without RTTI": ("-fno-rtti",),
    "without either": ("-fno-exceptions", "-fno-rtti"),
    "with both": (),
}


@pytest.mark.parametrize("mode", MODES)
def test_without_exceptions_and_rtti(
    artifact_folder: Path, tmp_path: Path, cxx_compiler: str, mode: str
) -> None:
    program = tmp_path / "program"
    command = [cxx_compiler, "-std=c++17", *STRICT, *MODES[mode], f"-I{artifact_folder}"]
    command += [str(HERE / "cpp_no_exceptions.cpp"), f"-L{artifact_folder}", "-lsmall"]
    subprocess.run([*command, f"-Wl,-rpath,{artifact_folder}", "-o", program], check=True)
    done = bare(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


STRICT = "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror".split()
STANDARDS = {
    "c": ("c99", "c11", "c17", "gnu11"),
    "c++": ("c++11", "c++14", "c++17", "c++20", "gnu++17"),
}


def test_headers_in_every_standard_without_a_warning(
    artifact_folder: Path, c_compiler: str, cxx_compiler: str
) -> None:
    for language, standards in STANDARDS.items():
        compiler = c_compiler if language == "c" else cxx_compiler
        for standard in standards:
            header = "luthier.hpp" if standard in ("c++17", "c++20", "gnu++17") else "small.h"
            text = f"#include <{header}>\n#include <{header}>\n#include <small.h>\n"
            text += "const luthier_model *m(void);\n"
            text += "const luthier_model *m(void) { return luthier_small(); }\n"
            flags = [f"-std={standard}", *STRICT, "-O1", f"-I{artifact_folder}", "-x", language]
            command = [compiler, *flags, "-c", "-", "-o", "/dev/null"]
            subprocess.run(command, input=text, text=True, check=True)


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
    source.write_text("#include <small.h>\nint main(void) { return luthier_small()->abi != 2; }\n")
    command = ["cc", "-Wall", "-Werror", str(source), *flags, f"-Wl,-rpath,{moved}"]
    subprocess.run([*command, "-o", tmp_path / "program"], check=True)
    assert bare(tmp_path / "program").returncode == 0


INSTALL = """\
cmake_minimum_required(VERSION 3.21)
project(app C)
find_package(small 2.0 CONFIG REQUIRED)
find_package(other 2 CONFIG REQUIRED)
add_executable(app main.c)
target_link_libraries(app PRIVATE small::small other::other)
set_target_properties(app PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
install(TARGETS app)
install(IMPORTED_RUNTIME_ARTIFACTS small::small other::other)
"""
TWO = """\
#include <other.h>
#include <small.h>
#include <string.h>
int main(void)
{
    return strcmp(luthier_small()->name, "small") != 0 ||
           strcmp(luthier_other()->name, "other") != 0;
}
"""


def test_cmake_installs_a_whole_library(
    artifact_folder: Path, other_folder: Path, tmp_path: Path
) -> None:
    artifacts = [tmp_path / "artifacts" / name for name in ("small", "other")]
    for source, copy in zip((artifact_folder, other_folder), artifacts, strict=True):
        shutil.copytree(source, copy, symlinks=True)
    (tmp_path / "main.c").write_text(TWO)
    (tmp_path / "CMakeLists.txt").write_text(INSTALL)
    build, installed = tmp_path / "build", tmp_path / "installed"
    configure = ["cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_INSTALL_PREFIX={installed}"]
    configure += [f"-DCMAKE_PREFIX_PATH={';'.join(map(str, artifacts))}"]
    for command in (configure, ["cmake", "--build", build], ["cmake", "--install", build]):
        subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(tmp_path / "artifacts")
    libraries = sorted((installed / "lib").iterdir())
    assert [p.name for p in libraries] == ["libother.so", "libsmall.so"]
    assert not any(p.is_symlink() for p in libraries)
    assert bare(installed / "bin" / "app").returncode == 0


VERSIONS = {
    "": True,
    "2": True,
    "2.0": True,
    "2.0.0": True,
    "2.0.0 EXACT": True,
    "2...<3": True,
    "1.9...2.0.0": True,
    "1": False,
    "2.1": False,
    "3": False,
    "2.0.1 EXACT": False,
    "1.1...<2.0.0": False,
    "2.1...4": False,
}


def test_versions_of_the_cmake_package(artifact_folder: Path, tmp_path: Path) -> None:
    """The package's version is that of the C API."""
    lines = ["cmake_minimum_required(VERSION 3.19)", "project(versions NONE)"]
    for i, version in enumerate(VERSIONS):
        lines += ["unset(small_DIR CACHE)", f"find_package(small {version} CONFIG QUIET)"]
        lines += [f'message(STATUS "asked {i}: ${{small_FOUND}} ${{small_VERSION}}")']
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    command = ["cmake", "-S", tmp_path, "-B", tmp_path / "b"]
    command += [f"-DCMAKE_PREFIX_PATH={artifact_folder}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [line.split(": ")[1].split()[0] for line in said.splitlines() if "asked" in line]
    assert dict(zip(VERSIONS, [f in ("1", "TRUE") for f in found], strict=True)) == VERSIONS


# Headers, libraries, keywords, macros, options of the linker, and what is long.
NAMES = (
    *("features", "time", "m", "c", "pthread", "luthier.hpp", "int", "linux", "libsmall", "9lives"),
    *("stdc++", "-Wl,-x", "x" * 300),
)
NAMED = """\
#include <{name}.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
int main(void) {{ return luthier_{name}()->abi != 2 || sqrt((double)time(NULL)) < 0; }}
"""


def test_any_name_suits_the_documented_command(tmp_path: Path) -> None:
    for i, title in enumerate(NAMES):
        folder = tmp_path / str(i)
        name = two_inputs(title).build(folder).name
        (tmp_path / "main.c").write_text(NAMED.format(name=name))
        for compiler, language in (("cc", "c"), ("c++", "c++")):
            command = [compiler, "-x", language, "main.c", "-x", "none", f"-I{folder}"]
            command += [f"-L{folder}", f"-l{name}", "-lm", f"-Wl,-rpath,{folder}", "-o", "main"]
            done = subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, ""), (title, name)
        assert bare(tmp_path / "main").returncode == 0, title
        assert (folder / "pkgconfig" / f"{name}.pc").exists()
        assert (folder / "cmake" / f"{name}Config.cmake").exists()
