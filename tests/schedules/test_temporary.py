"""Temporary folders go with their process, or with the next one; nothing else is ever removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from luthier.schedules import temporary
from luthier.schedules.temporary import TemporaryFolder

HOLDER = """
import sys
sys.path[:] = {path!r}
from pathlib import Path
from luthier.schedules.temporary import TemporaryFolder
folder = TemporaryFolder(Path({where!r}), "x.")
(folder.path / "deep").mkdir()
(folder.path / "deep" / "file").write_text("data")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> None:
    temporary._remove_abandoned.cache_clear()


def holder(where: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process with a folder, which it holds until its input ends."""
    code = HOLDER.format(path=sys.path, where=str(where))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_folder_lives_as_long_as_its_context(tmp_path):
    with TemporaryFolder(tmp_path) as folder:
        (folder / "file").write_text("data")
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_moved_away_stays_there(tmp_path):
    with TemporaryFolder(tmp_path) as folder:
        folder.rename(tmp_path / "kept")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_the_next_process_removes_the_folder_of_a_killed_one(tmp_path):
    process, left = holder(tmp_path)
    end(process)
    assert (left / "deep" / "file").exists()
    with TemporaryFolder(tmp_path, "other."):
        assert left.exists(), "its name begins otherwise"
    with TemporaryFolder(tmp_path, "x."):
        assert not left.exists()


def test_the_folder_of_a_living_process_stays(tmp_path):
    process, held = holder(tmp_path)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        with TemporaryFolder(tmp_path, "x.") as ours:
            assert held.exists()
            temporary._remove_abandoned.cache_clear()
            with TemporaryFolder(tmp_path, "x."):
                assert ours.exists()
    finally:
        end(process)


def test_nothing_else_is_removed(tmp_path, monkeypatch):
    mark = temporary._MARK
    target = tmp_path / "data"
    target.mkdir()
    (target / "file").write_text("data")
    (tmp_path / f"{mark}link").symlink_to(target)
    (tmp_path / f"{mark}file").write_text("data")
    (tmp_path / f"my-{mark}x").mkdir()
    (tmp_path / "luthier-tune-old").mkdir()
    theirs = tmp_path / f"{mark}theirs"
    theirs.mkdir()
    before = {p.name for p in tmp_path.iterdir()}
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    TemporaryFolder(tmp_path).close()
    assert {p.name for p in tmp_path.iterdir()} == before
    monkeypatch.undo()
    temporary._remove_abandoned.cache_clear()
    TemporaryFolder(tmp_path).close()
    assert {p.name for p in tmp_path.iterdir()} == before - {theirs.name}
    assert (target / "file").exists()


def test_a_folder_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, taken = temporary._locked, []

    def late(path: Path) -> int | None:
        if len(taken) < 3:
            taken.append(path)
            path.rmdir()
        return lock(path)

    monkeypatch.setattr(temporary, "_locked", late)
    with TemporaryFolder(tmp_path) as folder:
        assert folder.exists()
    assert len(taken) == 3


def test_many_at_once(tmp_path):
    made: list[bool] = []

    def work() -> None:
        for _ in range(50):
            temporary._remove_abandoned.cache_clear()
            with TemporaryFolder(tmp_path) as folder:
                made.append(folder.exists())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [True] * 200
    assert list(tmp_path.iterdir()) == []


def test_no_folder_can_be_made(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        TemporaryFolder(tmp_path / "nowhere")
