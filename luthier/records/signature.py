"""Signatures of packs, as OpenSSH makes them: whoever has a key for git has one for packs.

    ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n luthier pack.jsonl     makes pack.jsonl.sig

Who may sign stands in a file of ``allowed_signers`` (see ssh-keygen(1)).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from luthier.schedules.errors import LogError
from luthier.schedules.redaction import shown

NAMESPACE = "luthier"
_SECONDS = 30


def signer(pack: Path, allowed: Path) -> str:
    """Who signed the pack, of those allowed to; raises LogError where nobody did."""
    signature = pack.with_name(pack.name + ".sig")
    for needed in (pack, allowed, signature):
        name = shown(needed)
        if needed.exists() and not needed.is_file():
            raise LogError(f"'{name}' is not a regular file")
        if not needed.exists():
            raise LogError(f"'{name}' is missing; sign the pack with 'ssh-keygen -Y sign'")
    about = ("-n", NAMESPACE, "-s", str(signature), "-f", str(allowed))
    found = _ssh_keygen("find-principals", *about, pack=pack).splitlines()
    for name in found:
        _ssh_keygen("verify", *about, "-I", name, pack=pack)
        return name
    raise LogError(f"'{shown(pack)}' is signed by nobody that '{shown(allowed)}' names")


def _ssh_keygen(command: str, *arguments: str, pack: Path) -> str:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise LogError("signatures need OpenSSH's ssh-keygen; install openssh-client")
    try:
        with pack.open("rb") as data:
            done = subprocess.run(
                [program, "-Y", command, *arguments],
                stdin=data,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LogError(f"cannot verify '{shown(pack)}': {error}") from error
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines() or ["it does not match"]
        raise LogError(f"the signature of '{shown(pack)}' is not valid: {told[0][:200]}")
    return done.stdout
