"""Where records are: a file's path, a database server, or a URL."""

from __future__ import annotations

import os
import re

_SERVER = re.compile(r"\s*postgres(?:ql)?(?:\+[a-z0-9]+)?://", re.IGNORECASE)
_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_server(where: str | os.PathLike[str]) -> bool:
    """Whether it is the URL of a database server, not a path."""
    return _SERVER.match(str(where)) is not None


def is_url(where: str | os.PathLike[str]) -> bool:
    """Whether it is a URL of any kind."""
    return _URL.match(str(where)) is not None
