"""What Linux lets a process use only once it asked."""

from __future__ import annotations

import ctypes
import os

from ..errors import TargetError
from .target import Target

# See ``deploy/runtime/cpu.c``, which asks for libraries.
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18


def request(target: Target) -> None:
    """Ask for what kernels for ``target`` use, before they run in this process; raises TargetError
    where that is refused."""
    if "amx_tile" not in target.features:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = (_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)
    if libc.syscall(*map(ctypes.c_long, numbers)) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise TargetError(f"the system does not let this process use amx_tile: {reason}")
