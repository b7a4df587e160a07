"""Open sizes and several entry points: from C, C++ and Python, and what the manifest says."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_models
import pytest
from open_models import COLUMNS, MOST_PAST, MOST_TOKENS, W
from sanitized import HERE, SANITIZERS, WARNINGS, Sanitized
from test_c_api import run

from luthier.deploy import Artifact, load, read_manifest
from luthier.deploy.library import POOL, RUNTIME
from luthier.deploy.ports import forms, input_ports
from luthier.frontend.program import Entry, Library
from luthier.schedules import ArtifactError, InputError, ModelError, UsageError
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol

PROMISES = re.findall(r"PROMISE\((\w+)\),", (HERE / "c_open.c").read_text())
NOT_SANITIZED = {
    *("no_allocation_in_a_change", "changes_on_a_stack_of_16_kib", "a_child_while_sizes_change"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("open") / "artifact"
    open_models.build(out)
    return out


@pytest.fixture
def artifact(folder: Path) -> Iterator[Artifact]:
    with load(folder) as loaded:
        yield loaded


def prefill_inputs(batch: int, tokens: int) -> dict[str, Any]:
    rng = np.random.default_rng(batch * 100 + tokens)
    x = rng.standard_normal((batch, tokens, COLUMNS)).astype(np.float32)
    return {"x": x, "mask": np.arange(tokens + 1, dtype=np.float32)}


def check_prefill(artifact: Artifact, batch: int, tokens: int) -> None:
    inputs = prefill_inputs(batch, tokens)
    outputs = artifact.run(inputs)
    assert np.array_equal(outputs["y"], -(inputs["x"] * W))
    assert np.array_equal(outputs["mask"], inputs["mask"])


def check_decode(artifact: Artifact, past: int) -> None:
    cache, x = np.full((past, COLUMNS), 3, np.float32), np.ones((1, COLUMNS), np.float32)
    assert np.array_equal(artifact(cache, x)[0], -np.concatenate([cache, x]))


@pytest.fixture(scope="module")
def program(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("linked") / "program"
    command = ["cc", *WARNINGS, "-DCOUNT_ALLOCATIONS", "-DLINKED", f"-I{folder}"]
    command += [str(HERE / "c_open.c"), f"-L{folder}", "-lopen", "-lpthread"]
    subprocess.run([*command, f"-Wl,-rpath,{folder}", "-o", out], check=True)
    return out


class TestC:
    @pytest.mark.parametrize("promise", PROMISES)
    def test_promise(self, program: Path, promise: str) -> None:
        run(program, promise)

    @pytest.mark.parametrize("sanitizer", SANITIZERS)
    def test_promises_under_sanitizers(
        self, sanitized: Sanitized, tmp_path: Path, c_compiler: str, sanitizer: str
    ) -> None:
        open_models.write_sources(tmp_path)
        program = sanitized.program(c_compiler, sanitizer, "c_open.c", tmp_path)
        run(program, *(p for p in PROMISES if p not in NOT_SANITIZED))

    def test_tables_compile_without_a_warning(self, tmp_path: Path, c_compiler: str) -> None:
        open_models.write_sources(tmp_path)
        strict = [*WARNINGS, "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-O2"]
        command = [c_compiler, *strict, f"-I{RUNTIME}", f"-I{POOL}", "-c", "-o", "/dev/null"]
        subprocess.run([*command, tmp_path / "tables.c"], check=True)

    def test_cpp(self, folder: Path, tmp_path: Path, cxx_compiler: str) -> None:
        command = [cxx_compiler, "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{folder}"]
        command += [str(HERE / "cpp_open.cpp"), f"-L{folder}", "-lopen", f"-Wl,-rpath,{folder}"]
        subprocess.run([*command, "-o", tmp_path / "program"], check=True)
        run(tmp_path / "program")

    def test_exports(self, folder: Path) -> None:
        said = subprocess.run(
            ["nm", "-D", "--defined-only", folder / "libopen.so"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        names = {line.split()[-1].partition("@")[0] for line in said.splitlines()}
        accessors = {"luthier_open", "luthier_open_prefill", "luthier_open_decode"}
        assert names == {"luthier_model", *accessors}


class TestPython:
    def test_sizes_come_from_the_inputs(self, artifact: Artifact) -> None:
        for batch in (1, 2):
            for tokens in (MOST_TOKENS, 0, 1, 4, 4, 5, MOST_TOKENS):
                check_prefill(artifact, batch, tokens)

    def test_what_it_says_of_itself(self, artifact: Artifact) -> None:
        assert list(map(str, artifact.sizes)) == ["batch=1,2", "tokens=0..12"]
        assert artifact.entries == ("prefill", "decode")
        assert [port.type for port in artifact.inputs] == [
            "float32[batch,tokens,11]",
            "float32[tokens+1]",
        ]
        assert artifact.inputs[0].tensor.shape == (2, MOST_TOKENS, COLUMNS)
        assert "x: float32[batch,tokens,11]" in repr(artifact)

    def test_strided_arrays_and_any_number_of_elements(self, artifact: Artifact) -> None:
        inputs = prefill_inputs(2, 6)
        x = np.asfortranarray(inputs["x"])
        assert np.array_equal(artifact.run({**inputs, "x": x})["y"], -(x * W))

    @pytest.mark.parametrize(
        ("x", "mask", "words"),
        [
            ((1, 13, 11), 14, "'tokens' is 13, not in 0..12: input 0 ('x')"),
            ((3, 3, 11), 4, "'batch' is 3, not one of 1, 2"),
            ((1, 3, 11), 5, "input 1 ('mask') is 5 along dimension 0, not 4 (tokens+1)"),
            ((1, 3, 10), 4, "input 0 ('x') is 10 along dimension 2, not 11"),
            ((3, 11), 4, "input 'x' has the shape (3, 11), not (batch, tokens, 11)"),
        ],
    )
    def test_shapes_that_do_not_fit(
        self, artifact: Artifact, x: tuple[int, ...], mask: int, words: str
    ) -> None:
        check_prefill(artifact, 2, 3)
        with pytest.raises(InputError, match=re.escape(words)):
            artifact.run({"x": np.zeros(x, np.float32), "mask": np.zeros(mask, np.float32)})
        check_prefill(artifact, 2, 3)

    def test_a_wrong_type(self, artifact: Artifact) -> None:
        inputs = prefill_inputs(1, 2)
        with pytest.raises(InputError, match="input 'mask' is int64, not float32"):
            artifact.run({**inputs, "mask": inputs["mask"].astype(np.int64)})

    def test_profile(self, artifact: Artifact) -> None:
        assert [step.source for step in artifact.steps] == ["scale", "negate"] * 2
        assert [s > 0 for s in artifact.profile(prefill_inputs(1, 4))] == [True] * 2 + [False] * 2
        assert [s > 0 for s in artifact.profile(prefill_inputs(1, 3))] == [False] * 2 + [True] * 2

    def test_an_entry_point_outlives_the_first(self, folder: Path) -> None:
        artifact = load(folder, threads=2)
        decode = artifact.entry("decode")
        again = decode.entry("prefill")
        assert (decode.threads, decode.name) == (2, "open")
        for past in (MOST_PAST, 0, 5):
            check_decode(decode, past)
            check_prefill(artifact, 1, 4)
            check_prefill(again, 2, 3)
        artifact.close()
        check_decode(decode, 7)
        with pytest.raises(UsageError, match="was closed"):
            artifact.entry("decode")
        decode.close()
        decode.close()
        check_prefill(again, 1, 1)
        again.close()

    def test_an_unknown_entry_point(self, artifact: Artifact) -> None:
        with pytest.raises(UsageError, match=r"no entry point is called 'x'; .*prefill.*decode"):
            artifact.entry("x")

    def test_threads(self, artifact: Artifact) -> None:
        decode, failures = artifact.entry("decode"), []

        def often(check: Any, most: int) -> None:
            try:
                for i in range(100):
                    check(i % most)
            except AssertionError as error:
                failures.append(error)

        threads = [
            threading.Thread(target=often, args=(lambda n: check_prefill(artifact, 1, n), 13)),
            threading.Thread(target=often, args=(lambda n: check_prefill(artifact, 2, n), 12)),
            threading.Thread(target=often, args=(lambda n: check_decode(decode, n), 17)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


class TestVariantsAlone:
    def test_programs_of_fixed_sizes(self, tmp_path: Path) -> None:
        """The inputs' shapes choose among them, though none says which dimension a size is."""
        open_models.build_exact(tmp_path / "out")
        with load(tmp_path / "out") as artifact:
            assert artifact.inputs[0].type == "float32[1,tokens,11]"
            assert artifact.inputs[1].type == "float32[tokens+1]"
            for tokens in (8, 2, 5, 5, 8):
                check_prefill(artifact, 1, tokens)
            with pytest.raises(InputError, match="'tokens' is 4, not one of 2, 5, 8"):
                artifact.run(prefill_inputs(1, 4))
            check_prefill(artifact, 1, 8)

    def test_sizes_that_none_is_for(self, tmp_path: Path) -> None:
        batch, tokens = Symbol.of("batch", (1, 2)), Symbol("tokens", 0, MOST_TOKENS)
        boxes = ((Symbol("batch", 1, 1), tokens), (batch, Symbol("tokens", 12, 12)))
        programs = tuple(
            replace(open_models.prefill(open_models.BATCH, open_models.TOKENS, (batch, tokens)),
                    symbols=box) for box in boxes
        )  # fmt: skip
        library = Library("open", {"prefill": Entry((batch, tokens), programs),
                                   "decode": open_models.library().entries["decode"]})  # fmt: skip
        code = open_models.compile_c(open_models.CODE)
        target, kernels = open_models.TARGET, open_models.KERNELS
        open_models.assemble(library, tmp_path / "out", target, kernels, [code])
        with load(tmp_path / "out") as artifact:
            check_prefill(artifact, 1, 5)
            check_prefill(artifact, 2, MOST_TOKENS)
            words = "'open' was not built for batch=2, tokens=5 together"
            with pytest.raises(InputError, match=words):
                artifact.run(prefill_inputs(2, 5))
            check_prefill(artifact, 1, MOST_TOKENS)


class TestManifest:
    def test_says_what_is_open(self, folder: Path) -> None:
        data = json.loads((folder / "manifest.json").read_text())
        prefill, decode = data["entries"]
        assert (prefill["name"], prefill["sizes"]) == ("prefill", ["batch=1,2", "tokens=0..12"])
        assert data["inputs"] == prefill["inputs"]
        assert prefill["inputs"][0] == {
            "name": "x", "dtype": "float32", "shape": [2, 12, 11], "bytes": 1056,
            "dims": ["batch", "tokens", "11"],
        }  # fmt: skip
        boxes = [variant["sizes"] for variant in prefill["variants"]]
        assert boxes == [["batch=1..1", "tokens=4..4"], ["batch=1,2", "tokens=0..12"]]
        assert [s["kernel"] for s in data["steps"]] == [4, 5, 0, 1]
        assert decode["outputs"][0]["dims"] == ["past+1", "11"]
        kernel = data["kernels"][0]
        assert "batch,tokens,11" in kernel["open"]
        assert [a["conditions"] for a in kernel["alternatives"]] == [
            ["batch*tokens%2 == 0", "tokens > 2"],
            [],
        ]
        assert [k["count"] for k in data["kernels"]] == [1, 1, 0, 0, 0, 0]

    def test_is_read_as_it_is_written(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        assert manifest.to_json() == json.loads((folder / "manifest.json").read_text())
        assert manifest.kernels[0].workload == open_models.scale(2, 12)

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            ("sizes", ["batch=1,2", "batch=0..12"]),
            ("sizes", ["batch=2,1", "tokens=0..12"]),
            ("sizes", ["batch=1,2", "tokens=12..0"]),
            ("sizes", ["batch=1,2"]),
            ("sizes", [1]),
            ("variants", []),
            ("variants", [{"sizes": ["tokens=0..12"], "steps": []}]),
            ("name", "a-b"),
            ("name", "decode"),
            *(
                ("dims", dims)
                for dims in (
                    *(["batch", "tokens"], ["2", "12", "11"], ["batch", "tokens", "width"]),
                    *(["batch", "1+tokens", "11"], ["batch", "tokens//0", "11"], "batch"),
                    *(["batch", "(" * 300 + "1" + ")" * 300, "11"], ["batch", "9" * 500, "11"]),
                )
            ),
        ],
    )
    def test_nonsense(self, folder: Path, tmp_path: Path, place: str, value: Any) -> None:
        data = json.loads((folder / "manifest.json").read_text())
        entry = data["entries"][0]
        (entry["inputs"][0] if place == "dims" else entry)[place] = value
        data["inputs"] = entry["inputs"]
        (tmp_path / "manifest.json").write_text(json.dumps(data))
        with pytest.raises(ArtifactError, match=r"malformed|recursion") as failure:
            read_manifest(tmp_path)
        assert len(str(failure.value)) < 600
        assert "\n" not in str(failure.value)


class TestShapesThatTellSizes:
    def test_of_fixed_variants_alone(self) -> None:
        """Their numbers say which size each dimension is."""
        entry = open_models.exact_library().entries["run"]
        inputs = input_ports(entry)
        assert [port.dims for port in inputs] == [("1", "tokens", "11"), ("tokens+1",)]
        assert [form.terms for form in forms(entry, inputs)] == [(0, 0, 1), (1, 0, 1)]

    def test_only_sums_and_multiples_tell_them(self) -> None:
        entry = open_models.library().entries["prefill"]
        a, b = Size.named("batch"), Size.named("tokens")
        shape = (2 * a + b - 3, b // 2, 3 * (a - b), a * b, 5)
        port = replace(input_ports(entry)[0], dims=tuple(map(str, shape)))
        assert [(f.axis, f.terms) for f in forms(entry, [port])] == [
            (0, (-3, 2, 1)),
            (2, (0, 3, -3)),
        ]


class TestWhatIsRefused:
    def build(self, library: Library, tmp_path: Path) -> None:
        with pytest.raises(ModelError) as failure:
            open_models.assemble(
                library, tmp_path / "out", open_models.TARGET, open_models.KERNELS, []
            )
        self.said = str(failure.value)
        assert not list(tmp_path.iterdir())

    def test_entry_points_of_one_name_in_c(self, tmp_path: Path) -> None:
        decode = open_models.library().entries["decode"]
        self.build(Library("open", {"Run": decode, "run": decode}), tmp_path)
        assert "two entry points of Run, run have one name in C" in self.said

    def test_no_program_for_the_largest_sizes(self, tmp_path: Path) -> None:
        entry = open_models.library().entries["prefill"]
        library = Library("open", {"prefill": replace(entry, variants=entry.variants[:1])})
        self.build(library, tmp_path)
        assert "'prefill' has no program for its largest sizes" in self.said


def test_an_older_header_refuses_the_library_and_the_reverse(folder: Path, tmp_path: Path) -> None:
    """Neither runs code of the other; the first number of a model is the ABI in all versions."""
    older = (HERE / "abi_1.h").read_text()
    (tmp_path / "older.h").write_text(older)
    (tmp_path / "main.c").write_text(OLDER)
    command = ["cc", *WARNINGS, "-I.", "main.c", f"-L{folder}", "-lopen", f"-Wl,-rpath,{folder}"]
    subprocess.run([*command, "-o", "older"], cwd=tmp_path, check=True)
    run(tmp_path / "older")
    (tmp_path / "main.c").write_text(NEWER)
    command = ["cc", *WARNINGS, f"-I{folder}", "main.c", "-o", "newer"]
    subprocess.run(command, cwd=tmp_path, check=True)
    run(tmp_path / "newer")


OLDER = """\
#include "older.h"
#include <string.h>
const luthier_model *luthier_open(void);
int main(void)
{
    luthier_options options = {LUTHIER_ABI, 2, NULL};
    luthier_instance *instance;
    luthier_error error;
    luthier_status status = luthier_create(luthier_open(), &options, &instance, &error);
    return status != LUTHIER_WRONG_ABI || strstr(error.message, "different versions") == NULL;
}
"""
NEWER = """\
#include "model.h"
#include <string.h>
static const struct { uint32_t abi; int32_t threads; const char *name; } old = {1, 2, "old"};
int main(void)
{
    const luthier_model *model = (const luthier_model *)(const void *)&old;
    luthier_instance *instance;
    luthier_error error;
    if (luthier_create(model, NULL, &instance, &error) != LUTHIER_WRONG_ABI)
        return 1;
    if (luthier_create_beside(model, NULL, &instance, &error) != LUTHIER_WRONG_ABI)
        return 2;
    return luthier_find_entry(model, "run") != NULL;
}
"""


def test_options_of_before_compile_without_a_warning(
    folder: Path, c_compiler: str, cxx_compiler: str
) -> None:
    source = '#include "model.h"\nluthier_options options = {LUTHIER_ABI, 2, NULL};\n'
    flags = [*WARNINGS[1:], "-Wmissing-field-initializers", "-fsyntax-only", f"-I{folder}", "-"]
    for compiler, language in ((c_compiler, ["-xc"]), (cxx_compiler, ["-xc++", "-std=c++11"])):
        subprocess.run([compiler, *language, *flags], input=source, text=True, check=True)


def test_the_manifest_is_the_librarys(folder: Path, tmp_path: Path) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    data["entries"][1]["sizes"] = ["past=0..15"]
    data["entries"][1]["variants"][0]["sizes"] = ["past=0..15"]
    for path in folder.rglob("*"):
        target = tmp_path / path.relative_to(folder)
        if path.is_dir():
            target.mkdir()
        elif path.name != "manifest.json":
            target.write_bytes(path.read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="describe different models"):
        load(tmp_path)


def test_by_dlopen(folder: Path) -> None:
    """The first entry point leads to all."""
    library = ctypes.CDLL(str(folder / "libopen.so"))
    library.luthier_model.restype = library.luthier_open_prefill.restype = ctypes.c_void_p
    assert library.luthier_model() == library.luthier_open_prefill()
