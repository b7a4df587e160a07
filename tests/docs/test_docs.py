"""Every command and snippet of the documentation runs, in order, in a folder with a small model.

What a command prints is compared with the page, numbers and ``...`` apart.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share blocks.py

from blocks import Block, blocks

ROOT = Path(__file__).parents[2]
# tests/torch runs these, where torch and keras are.
ELSEWHERE = [ROOT / "docs" / name for name in ("keras.md", "pytorch.md")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if page not in ELSEWHERE]

# Lines that begin so are not run here: they take minutes, and other tests test the same.
NOT_RUN = ("make ", "bash .ci/run")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def runs_here(line: str) -> bool:
    return not line.startswith(NOT_RUN)


def run_sh(block: Block, folder: Path, names: dict[str, object]) -> None:
    command = "\n".join(filter(runs_here, block.text.splitlines()))
    done = shell(command, folder)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


def run_console(block: Block, folder: Path, names: dict[str, object]) -> None:
    """Lines after ``$ `` are commands; what follows is what they print."""
    assert block.text.startswith("$ "), f"{block}: a console block begins with a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        done = shell(command, folder)
        shown = done.stdout or done.stderr
        assert matches(wanted, shown), f"{block}: {command}\n{shown}\n--- on the page:\n{wanted}"
        fails = wanted.startswith("luthier: error: ")
        assert (done.returncode != 0) == fails, f"{block}: {command}\n{done.stderr}"


def matches(wanted: str, shown: str) -> bool:
    """Whether two texts are the same but for numbers, spaces, and what ``...`` stands for."""
    plain = (re.escape(general(part)) for part in wanted.strip().split("..."))
    return re.fullmatch(".*".join(plain), general(shown.strip()), re.DOTALL) is not None


def general(text: str) -> str:
    text = re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", text)
    return re.sub(r"[ \t]+", " ", text)


def run_python(block: Block, folder: Path, names: dict[str, object]) -> None:
    exec(compile(block.text, str(block), "exec"), names)


def write_file(block: Block, folder: Path, names: dict[str, object]) -> None:
    assert block.file, f"{block}: say which file this is, as in ```{block.language} main.cpp"
    path = folder / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)


def read_json(block: Block, folder: Path, names: dict[str, object]) -> None:
    json.loads(block.text)


def leave(block: Block, folder: Path, names: dict[str, object]) -> None:
    """Figures and listings: nothing to run."""


RUNNERS: dict[str, Callable[[Block, Path, dict[str, object]], None]] = {
    "sh": run_sh,
    "console": run_console,
    "python": run_python,
    "c": write_file,
    "cpp": write_file,
    "cmake": write_file,
    "json": read_json,
    "text": leave,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader stands: a model, and the examples of the repository."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "digits" / "digits.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(folder, page):
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        assert block.language in RUNNERS, f"{block}: ```{block.info} is not a language known here"
        RUNNERS[block.language](block, folder, names)


def test_each_exempt_command_is_on_some_page():
    lines = [
        line for page in PAGES for b in blocks(page) if b.language == "sh"
        for line in b.text.splitlines()
    ]  # fmt: skip
    for begin in NOT_RUN:
        assert any(line.startswith(begin) for line in lines), f"{begin!r} is on no page any more"


@pytest.mark.parametrize(
    "page", [*PAGES, *ELSEWHERE, ROOT / "CHANGELOG.md"], ids=lambda page: page.stem
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    ("wanted", "shown", "same"),
    [
        ("built in 1.5 s", "built in 0.123 s", True),
        ("built in 1.5 s", "built in 2 minutes", False),
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a", False),
        ("a ... c", "a b\nb c", True),
        ("a ... c", "a b d", False),
        ("x   1", "x 22", True),
    ],
)
def test_outputs_are_compared_but_for_numbers(wanted, shown, same):
    assert matches(wanted, shown) is same
