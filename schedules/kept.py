"""What was compiled once, kept for later processes in the folder that ``LUTHIER_CACHE`` names.

A file is named by all that decides its content. One that is damaged, or that somebody else may have
written, counts for nothing; nor does a folder that takes nothing stop a build.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

VARIABLE = "LUTHIER_CACHE"
_FORMAT = b"luthier 1"
_DIGEST = hashlib.sha256().digest_size
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def is_kept() -> bool:
    """Whether there is a folder for it."""
    return bool(os.environ.get(VARIABLE))


def kept(key: Iterable[bytes], make: Callable[[], Sequence[bytes]]) -> tuple[bytes, ...]:
    """What ``make`` gave when it was last called with this key, here or in another process.

    ``key`` must have all that decides it. Raises what ``make`` raises.
    """
    if not is_kept():
        return tuple(make())
    folder = Path(os.environ[VARIABLE])
    path = folder / _name(key)
    found = _read(folder, path)
    if found is None:
        found = tuple(make())
        with contextlib.suppress(OSError):
            _write(folder, path, found)
    return found


def _name(key: Iterable[bytes]) -> str:
    whole = hashlib.sha256(_FORMAT)
    for part in key:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


def _read(folder: Path, path: Path) -> tuple[bytes, ...] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not all(map(_is_ours, (os.fstat(descriptor), folder.stat()))):
            return None
        data = file.read()
    body = data[_DIGEST:]
    if hashlib.sha256(body).digest() != data[:_DIGEST]:
        return None
    head, _, rest = body.partition(b"\n")
    parts, begin = [], 0
    for length in json.loads(head):
        parts.append(rest[begin : begin + length])
        begin += length
    return tuple(parts)


def _is_ours(about: os.stat_result) -> bool:
    """Whether this user alone may have written it."""
    return about.st_uid == os.geteuid() and not about.st_mode & _OTHERS


def _write(folder: Path, path: Path, parts: Sequence[bytes]) -> None:
    """All at once, under its name: others may be reading. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    body = b"\n".join((json.dumps([len(part) for part in parts]).encode(), b"".join(parts)))
    descriptor, partial = tempfile.mkstemp(prefix=".new-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
