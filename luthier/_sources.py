"""Sources of records: stores and packs, told apart by what they are."""

from __future__ import annotations

import os

from luthier.autotune import Pack, Store
from luthier.autotune.address import is_server

from ._layers import FilePath


def opened(where: FilePath) -> Store | Pack:
    """What can be asked for its records; raises LogError."""
    if is_server(where):
        return Store.open(where)
    try:
        with open(where, "rb") as file:
            is_pack = file.read(1024).lstrip()[:1] in (b"", b"{")
    except (OSError, ValueError):
        is_pack = "://" in os.fspath(where)  # else the store says what is wrong
    return Pack(where) if is_pack else Store.open(where)
