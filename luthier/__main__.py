"""``python -m luthier`` is the ``luthier`` command."""

from .cli import main

main()
