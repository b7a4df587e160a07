"""What may be refused, and the page that says so; anything else that is refused is a find."""

from __future__ import annotations

import re
from collections.abc import Mapping

# By a pattern of the message: the part of docs/models.md that documents it.
DOCUMENTED: Mapping[str, str] = {
    r"has no elements|has no size in dimension": "what has no elements",
    r"it needs float32": "not in average pooling, softmax and normalisation",
    r"element type \w+, which is not supported": "element types",
    r"an input of u?int\d+ is not supported": "of integers",
    r"(alpha|beta)=\S+ of integers is not supported": "with a factor that is none",
    r"a reflection in a dimension of one element": "about the corners of a dimension",
    r"weights known at build time": "with weights computed at run time",
    r"known at build time": "shapes that values decide at run time",
}


def documented(message: str) -> str | None:
    """The documented limit that a message reports; None for any other message."""
    found = (why for said, why in DOCUMENTED.items() if re.search(said, message))
    return next(found, None) if "\n" not in message else None
