"""Where the reading of images fits. There are no knobs."""

from __future__ import annotations

from ..abilities import Abilities, around
from ..alone import Alone


class Images(Alone):
    """A file from its beginning to its end, by one thread."""

    name = "images"
    version = 1
    anchors = around(decode_image=Abilities(epilogue=False, any_type=True))
