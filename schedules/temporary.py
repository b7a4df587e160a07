"""Folders for a while: they go with the process that made them, or else with a later one's.

A process that is killed cannot clean up. So each folder is locked while its process lives, and
whoever makes one next in the same place removes those that no process holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MARK = "luthier-tmp-"  # in names, for nothing else is ever removed
_TRIES = 20
_open: dict[Path, None] = {}


class TemporaryFolder:
    """A new folder, until it is closed; a context manager that gives its path."""

    def __init__(self, parent: Path | None = None, prefix: str = "") -> None:
        """In ``parent`` (default: where ``TMPDIR`` says), its name begins with ``prefix``.

        Raises OSError.
        """
        where, begin = str(parent or tempfile.gettempdir()), prefix + _MARK
        _remove_abandoned(where, begin)
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=begin, dir=where))
            self._lock = _locked(self.path)
            if self._lock is not None and self.path.exists():
                _open[self.path] = None
                return
            self.close()  # somebody took it for abandoned before it was locked
        raise FileExistsError(f"cannot make a folder of one's own in {where}")

    def close(self) -> None:
        """Remove it, if it is still there; harmless when repeated."""
        shutil.rmtree(self.path, ignore_errors=True)
        _open.pop(self.path, None)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Path:
        """Its path."""
        return self.path

    def __exit__(self, *ended: object) -> None:
        """Remove it."""
        self.close()


def remove_all() -> None:
    """Remove the folders of this process, before it ends without closing them."""
    for path in list(_open):
        shutil.rmtree(path, ignore_errors=True)


@functools.lru_cache(maxsize=64)
def _remove_abandoned(where: str, begin: str) -> None:
    """Remove folders of this user's that no process holds; once in this process."""
    for path in _folders(where, begin):
        lock = _locked(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _folders(where: str, begin: str) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            if not entry.name.startswith(begin):
                continue
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid():
                    yield Path(entry.path)


def _locked(path: Path) -> int | None:
    """A descriptor that locks the folder; None where another holds it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
