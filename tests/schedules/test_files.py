"""What is not a regular file is refused at once."""

from __future__ import annotations

import io
import os
import socket
import tempfile
from pathlib import Path

import pytest

from luthier.schedules.files import Unblocked, open_regular


def test_a_regular_file_is_read_also_through_a_link(tmp_path):
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"data"
    with open_regular(tmp_path / "file", links=False) as file:
        assert file.read() == b"data"
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "link", links=False)


def test_anything_else_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to the pipe").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "to the pipe", "/dev/null", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(tmp_path / name)
    with pytest.raises(OSError, match="Is a directory"):
        open_regular(tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "missing")
    with pytest.raises(ValueError, match="null"):
        open_regular("zero\0byte")


def test_a_socket_is_refused():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(Path(folder) / "socket"))  # a short path, as sockets need
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(Path(folder) / "socket")


@pytest.mark.parametrize("size", [1, 4096, -1])
def test_reading_never_waits(size):
    """Some of the kernel's files are called regular, and wait: /proc/kmsg."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    with io.BufferedReader(Unblocked(reading, "rb")) as file:
        with pytest.raises(BlockingIOError, match="would wait"):
            file.read(size)
        os.write(writing, b"data")
        os.close(writing)
        assert file.read() == b"data"
