"""Files from outside: what is read is a regular file, and opening it never waits."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, TypeVar

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_Read = TypeVar("_Read", int, bytes)


def open_regular(path: str | os.PathLike[str], *, links: bool = True) -> BinaryIO:
    """The file for reading; without ``links``, not through a symbolic link at its end.

    A pipe, which would be waited for, a socket, a device or a folder raises OSError, as does what
    ``open`` raises it for. Reading raises it where that would wait, as some files of the kernel do.
    Raises ValueError for a path with a zero byte.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    kind = os.stat(path, follow_symlinks=links).st_mode
    if links or not stat.S_ISLNK(kind):  # opening a link says what is wrong with it
        _refuse(kind, path)  # opening a device may do something
    descriptor = os.open(path, flags | (0 if links else os.O_NOFOLLOW))
    try:
        _refuse(os.fstat(descriptor).st_mode, path)
        return io.BufferedReader(Unblocked(descriptor, "rb"))
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write, which is there whole at the end, or not at all.

    Raises OSError, also where there is something that is not a regular file.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(target))
    partial = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
            partial = Path(file.name)
            yield file.file
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o666 & ~_umask())
        partial.replace(target)
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


class Unblocked(io.FileIO):
    """A file that was opened not to block; BlockingIOError where nothing is there to read."""

    def readinto(self, buffer: Buffer, /) -> int:
        """As of FileIO, which gives None there."""
        count: int | None = super().readinto(buffer)
        return _there(count)

    def readall(self) -> bytes:
        """As of FileIO, which gives None there."""
        data: bytes | None = super().readall()
        return _there(data)


def _there(read: _Read | None) -> _Read:
    if read is None:
        raise BlockingIOError(errno.EAGAIN, "it has no end: reading it would wait")
    return read


def _refuse(kind: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(Path(path)))
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "not a regular file", str(Path(path)))
