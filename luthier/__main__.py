"""``python -m luthier``, which is the ``luthier`` command."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from .commands import interrupts


def main() -> NoReturn:
    """Run the command line; an interrupt counts before it is imported, too."""
    interrupts.leave_at_once()
    from .cli import main as run  # noqa: PLC0415

    try:
        run()
    except SystemExit as ended:
        if not interrupts.came():
            raise
        sys.stdout.flush()  # and no more: what was interrupted may not end well
        os._exit(ended.code if isinstance(ended.code, int) else 1)


if __name__ == "__main__":
    main()
