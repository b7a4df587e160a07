"""Artifact folders appear whole or not at all, and replace nothing but artifacts."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from luthier.schedules import ArtifactError
from luthier.schedules.redaction import shown
from luthier.schedules.temporary import TemporaryFolder

from .manifest import MANIFEST, Manifest, read_manifest

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def new_artifact(out: Path) -> Iterator[Path]:
    """A fresh folder that becomes ``out`` when the block ends well, and vanishes when it fails.

    An artifact at ``out`` is replaced in one step. Raises ArtifactError where ``out`` is something
    else, holds files that its manifest does not name, or cannot be written.
    """
    target = check_output(out)
    new_parents = [p for p in target.parents if not p.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = TemporaryFolder(target.parent, f".{target.name[:32]}.")
    except OSError as error:
        _remove_empty(new_parents)
        raise cannot_write(target, error) from error
    try:
        yield fresh.path
        fresh.path.chmod(0o777 & ~_umask())
        check_output(target)
        _move(fresh.path, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        fresh.close()
        _remove_empty(new_parents)


def cannot_write(out: Path, error: OSError) -> ArtifactError:
    """The error that says why an artifact cannot be written at ``out``, and what helps."""
    helps = "choose another output folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        helps = f"make room in {shown(out.parent)}, or {helps}"
    elif error.errno == errno.EFBIG:
        helps = "raise the limit of files' sizes (ulimit -f)"
    return ArtifactError(f"cannot write {shown(out)}: {error.strerror or error}; {helps}")


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove those that hold nothing, innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def check_output(out: Path) -> Path:
    """``out`` without links, where an artifact may be written there; raises ArtifactError.

    It may be absent, an empty folder, or an artifact alone. Asked before hours of tuning.
    """
    try:
        target = Path(os.path.realpath(out))
        _check_replaceable(target)
        parent = next(p for p in target.parents if p.exists())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ArtifactError(f"cannot write {shown(out)}: {reason}") from error
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise ArtifactError(f"cannot write to {shown(parent)}; choose another output folder")
    return target


def _check_replaceable(out: Path) -> None:
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise ArtifactError(
            f"{shown(out)} exists and is not a folder; choose another output folder"
        )
    if not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise ArtifactError(
            f"{shown(out)} is not empty and not an artifact; choose another output folder"
        )
    try:
        manifest = read_manifest(out)
    except ArtifactError as error:
        raise ArtifactError(f"{shown(out)} cannot be replaced, remove it first: {error}") from error
    strangers = sorted(_files(out) - _own_files(manifest))
    if strangers:
        stranger = f"'{strangers[0]}', which is not part of the artifact"
        raise ArtifactError(f"{shown(out)} holds {stranger}; move it away first")


def _files(folder: Path) -> set[str]:
    found = set()
    for root, folders, files in os.walk(folder):
        links = [f for f in folders if os.path.islink(os.path.join(root, f))]
        found |= {os.path.relpath(os.path.join(root, f), folder) for f in (*files, *links)}
    return found


def _own_files(manifest: Manifest) -> set[str]:
    return {MANIFEST, *manifest.links, *manifest.files}


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _move(folder: Path, target: Path) -> None:
    """Put ``folder`` in ``target``'s place; what was there is then at ``folder``."""
    if not target.exists():
        folder.rename(target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(folder), os.fsencode(target)
    if libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return
    reason = ctypes.get_errno()
    if reason not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(reason, os.strerror(reason))
    # A file system that cannot exchange: the old artifact is aside for a moment.
    aside = folder.with_name(f"{folder.name}.old")
    target.rename(aside)
    try:
        folder.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(folder)
