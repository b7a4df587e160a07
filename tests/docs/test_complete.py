"""A new option, name, exit code or operator needs its lines in the documentation."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from pathlib import Path

import click
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share blocks.py

from blocks import section

import luthier
import luthier.logs
from luthier.cli import INTERNAL, INTERRUPTED, TRACEBACK
from luthier.cli import cli as group
from luthier.commands.logs import logs
from luthier.frontend.control.stages import BY_RULES, CONTROL
from luthier.frontend.onnx.gradients import OPERATORS as GRADIENTS
from luthier.frontend.onnx.microsoft.operators import EARLY, SPELLED
from luthier.frontend.onnx.ml.operators import OPERATORS as ML
from luthier.frontend.onnx.operators import SUPPORTED
from luthier.frontend.onnx.optimizers import OPERATORS as OPTIMIZERS
from luthier.frontend.onnx.texts.computing import OPERATORS as TEXTS
from luthier.frontend.onnx.texts.tokens import OPERATORS as OF_TEXTS
from luthier.schedules import errors
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.kept import VARIABLE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CLI, PYTHON, ARTIFACT, MODELS = (DOCS / f"{n}.md" for n in ("cli", "python", "artifact", "models"))


# ---- the command line ----


COMMANDS = {
    **{name: command for name, command in group.commands.items() if name != "logs"},
    **{f"logs {name}": command for name, command in logs.commands.items()},
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_documented(command):
    text = section(CLI, f"luthier {command}")
    for parameter in COMMANDS[command].params:
        if isinstance(parameter, click.Option):
            for name in parameter.opts:
                assert f"`{name}" in text, f"luthier {command} {name}"
        else:
            name = (parameter.metavar or parameter.human_readable_name).strip("[].")
            name = name.replace("|", r"\|")  # it stands in a table
            assert f"| `{name}` |" in text, f"luthier {command} {name}"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_in_the_documentation_is_there(command):
    text = section(CLI, f"luthier {command}")
    known = {o for p in COMMANDS[command].params for o in p.opts}
    assert set(re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE)) <= known


def test_every_exit_code_is_documented():
    mine = [v for v in vars(errors).values() if isinstance(v, type)]
    classes = [v for v in mine if issubclass(v, errors.LuthierError)]
    codes = {0, INTERNAL, INTERRUPTED, *(c.exit_code for c in classes)}
    table = dict(re.findall(r"^\| (\d+) \| (.*) \|$", section(CLI, "Exit codes"), re.MULTILINE))
    assert {int(code) for code in table} == codes
    for error in classes:
        assert f"`{error.__name__}`" in table[str(error.exit_code)]


def test_environment_variables_are_documented():
    text = section(CLI, "Environment")
    for name in (TRACEBACK, VARIABLE, "CC", "TMPDIR"):
        assert f"`{name}`" in text


# ---- Python ----


@pytest.mark.parametrize("name", luthier.__all__)
def test_every_public_name_is_documented(name):
    assert f"`{name}`" in PYTHON.read_text() or f"`luthier.{name}`" in PYTHON.read_text()


FUNCTIONS = (
    "tune",
    "explain",
    "build",
    "tune_and_build",
    "load",
    "check",
    "bench",
    "target",
    "doctor",
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_documented(name):
    text = section(PYTHON, f"`luthier.{name}`")
    for parameter in inspect.signature(getattr(luthier, name)).parameters:
        assert f"`{parameter}`" in text, f"{name}({parameter})"


RESULTS = (
    "TuneReport",
    "KernelExplanation",
    "BuildReport",
    "LayerHits",
    "CheckReport",
    "BenchReport",
    "Machine",
    "Finding",
)


@pytest.mark.parametrize("name", RESULTS)
def test_every_field_of_a_result_is_documented(name):
    text = section(PYTHON, f"`{name}`")
    for field in dataclasses.fields(getattr(luthier, name)):
        assert f"`{field.name}`" in text, f"{name}.{field.name}"


@pytest.mark.parametrize("name", luthier.logs.__all__)
def test_every_name_of_logs_is_documented(name):
    thing = getattr(luthier.logs, name)
    rows = [r for r in section(PYTHON, "`luthier.logs`").splitlines() if r.startswith("| `")]
    row = next(row for row in rows if f"`{name}" in row)
    parts = (
        [f.name for f in dataclasses.fields(thing)]
        if dataclasses.is_dataclass(thing)
        else inspect.signature(thing).parameters
    )
    for part in parts:
        assert re.search(rf"\b{part}\b", row), f"{name}: {part}"


def test_every_member_of_an_artifact_is_documented():
    text = section(PYTHON, "`Artifact`")
    members = [m for m in vars(luthier.Artifact) if not m.startswith("_")]
    for member in [*members, "folder", "manifest", "threads"]:
        assert f"`{member}" in text or f"`artifact.{member}" in text, member


# ---- the artifact ----

HEADER = (ROOT / "deploy" / "runtime" / "luthier.h").read_text()


def test_every_function_of_the_c_api_is_documented():
    functions = re.findall(r"^static inline [\w *]*?\*?(luthier_\w+)\(", HEADER, re.MULTILINE)
    assert len(functions) == 22
    internal = {"luthier_reject", "luthier_check_model"}
    for name in set(functions) - internal:
        assert f"`{name}`" in ARTIFACT.read_text(), name


def test_every_status_is_documented():
    names = re.search(r"enum luthier_status \{(.*?)\}", HEADER, re.DOTALL)
    assert names
    text = section(ARTIFACT, "Errors")
    for name in re.findall(r"LUTHIER_[A-Z_]+(?=,| = )", names[1]):
        assert f"`{name}`" in text, name


def test_every_file_and_every_field_of_the_manifest_is_documented(tmp_path):
    luthier.build(ROOT / "examples" / "digits" / "digits.onnx", tmp_path / "digits", log=None)
    text = section(ARTIFACT, "What is in the folder")
    for path in (tmp_path / "digits").rglob("*"):
        if not path.is_dir():
            name = str(path.relative_to(tmp_path / "digits"))
            assert f"`{re.sub('-[0-9a-f]{16}', '-<hash>', name)}`" in text, path
    manifest = json.loads((tmp_path / "digits" / "manifest.json").read_text())
    fields = section(ARTIFACT, "The manifest")
    for name in {
        *manifest,
        *(key for kind in ("kernels", "steps", "entries") for key in manifest[kind][0]),
    }:
        assert f"`{name}`" in fields, name


# ---- models ----


def test_supported_operators_are_listed_and_no_others():
    listed = set(re.findall(r"`(\w+)`", section(MODELS, "Operators")))
    known = SUPPORTED | CONTROL | ML.keys() | TEXTS.keys() | OPTIMIZERS.keys() | GRADIENTS.keys()
    known |= {"CastMap", "CategoryMapper", "DictVectorizer", "ZipMap"}
    assert listed == known, f"missing: {sorted(known - listed)}, too many: {sorted(listed - known)}"


def test_operators_of_onnx_runtime_are_listed_and_no_others():
    text, _, _ = section(MODELS, "ONNX Runtime's own operators").partition("\n### ")
    listed = re.findall(r"`(\w+)`", text)
    ours = {name.rpartition(".")[2] for name in BY_RULES if "." in name}
    texts = set(OF_TEXTS) - set(SPELLED)
    assert sorted(listed) == sorted([*SPELLED, *EARLY, *ours, *texts])


def test_element_types_are_listed():
    assert set(re.findall(r"`(\w+)`", section(MODELS, "Element types"))) >= set(DTYPES)


def test_unsupported_operators_are_named():
    text = section(MODELS, "What is not supported")
    for name in "ImageDecoder NonZero Unique".split():
        assert f"`{name}`" in text
        assert name not in SUPPORTED
