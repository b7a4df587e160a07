"""Sources of records: stores and packs, told apart by what they are."""

from __future__ import annotations

from luthier.autotune import Pack, Store
from luthier.autotune.records.address import is_server, is_url
from luthier.autotune.records.lines import first_byte
from luthier.schedules.files import open_regular

from .layers import FilePath


def opened(where: FilePath) -> Store | Pack:
    """What can be asked for its records; raises LogError."""
    if is_server(where):
        return Store.open(where)
    try:
        with open_regular(where) as file:
            is_pack = first_byte(file.read(1024)) in (b"", b"{")
    except (OSError, ValueError):
        is_pack = is_url(where)  # else the store says what is wrong
    return Pack(where) if is_pack else Store.open(where)
