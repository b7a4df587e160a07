"""What may be refused, and the page that says so; anything else that is refused is a find."""

from __future__ import annotations

import re
from collections.abc import Mapping

# By a pattern of the message: the part of docs/models.md that documents it.
DOCUMENTED: Mapping[str, str] = {
    r"has no elements|has no size in dimension": "what has no elements",
    r"element type \w+, which is not supported": "element types",
    r"an input of u?int\d+ is not supported": "of integers",
    r"(alpha|beta)=\S+ of integers is not supported": "with a factor that is none",
    r"cannot be converted to ONNX operator set": "an operator set that onnx cannot convert",
    r"at first and .* after an iteration": "a carried value whose type changes, or whose shape",
    r"in one branch and .* in the other": "`if` whose branches give different ranks or",
    r"which is found in it, each time anew": "whose results have other sizes each time",
    r"known at build time": "shapes that values decide at run time",
}

# The same of named sizes, and docs/sizes.md.
OF_SIZES: Mapping[str, str] = {
    r"no few programs run the model for all of its sizes": (
        "a model that is another for so many sizes that no few programs run it"
    ),
    r"have too many choices together": "million choices of all ranges together",
    r"give (a bound|bounds), such as --bound": "for others give it: `--bound",
}


# The same of models whose runs find sizes.
OF_FOUND: Mapping[str, str] = {
    "|".join(
        (
            r"not valid ONNX",
            r"does not (reshape|broadcast)",
            r"go with its indices",
            r"its condition is .* along \d+ elements",
            r"it scans .* elements at once",
            r"its lengths are .* not one a row",
            r"a window of \d+ along dimension",
        )
    ): "what is valid for one number of them alone",
    r"one program cannot run the model for all sizes that it may find": (
        "what follows no known rule from such a size"
    ),
}


def documented(message: str, *, finds: bool = False) -> str | None:
    """The documented limit that a message reports, for models that find sizes or others; None for
    any other message."""
    every = {**DOCUMENTED, **OF_SIZES, **(OF_FOUND if finds else {})}
    found = (why for said, why in every.items() if re.search(said, message))
    return next(found, None) if "\n" not in message else None
