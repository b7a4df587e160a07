"""Files from outside: what is read is a regular file, and opening it never waits."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str], *, links: bool = True) -> BinaryIO:
    """The file for reading; without ``links``, not through a symbolic link at its end.

    A pipe, which would be waited for, a socket, a device or a folder raises OSError, as does what
    ``open`` raises it for. Raises ValueError for a path with a zero byte.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    kind = os.stat(path, follow_symlinks=links).st_mode
    if links or not stat.S_ISLNK(kind):  # opening a link says what is wrong with it
        _refuse(kind, path)  # opening a device may do something
    descriptor = os.open(path, flags | (0 if links else os.O_NOFOLLOW))
    try:
        _refuse(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse(kind: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(Path(path)))
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "not a regular file", str(Path(path)))
