"""Where records are: a file's path, a database server, or a URL; shown without passwords."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

from luthier.schedules.errors import is_secret, redacted

_SERVER = re.compile(r"\s*postgres(?:ql)?(?:\+[a-z0-9]+)?://", re.IGNORECASE)
_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LIKE_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*:+/", re.IGNORECASE)
# A URL with a password, blanks and quotes in it too. Of a Path one slash of two is left.
_WHOLE = re.compile(r"([a-z][a-z0-9+.-]*:/+[^/@:]*):(.*)@", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r"([?&;]([^?&;=]+)=)([^&;]*)")
_SHORTEST = 3  # characters of a part of a password that a text is searched for


def is_server(where: str | os.PathLike[str]) -> bool:
    """Whether it is the URL of a database server, not a path."""
    return _SERVER.match(str(where)) is not None


def is_url(where: str | os.PathLike[str]) -> bool:
    """Whether it is a URL of any kind."""
    return _URL.match(str(where)) is not None


def shown(where: str | os.PathLike[str]) -> str:
    """A path, or a URL without its password."""
    if not _LIKE_URL.match(str(where)):
        return redacted(str(where))
    text = str(where).strip()
    text = _PARAMETER.sub(lambda m: f"{m[1]}***" if is_secret(m[2]) else m[0], text)
    return redacted(_WHOLE.sub(r"\1:***@", text))


def without_secrets(text: str, where: str | os.PathLike[str]) -> str:
    """What a library says of a URL, without the password, or parts of it if it was misread."""
    url = str(where).strip()
    if not _LIKE_URL.match(url):
        return text
    whole = _WHOLE.match(url)
    found = [whole[2]] if whole else []
    found += [value for _, name, value in _PARAMETER.findall(url) if is_secret(name)]
    found += [each for secret in found for each in (unquote(secret), quote(secret, safe=""))]
    found += [part for secret in found for part in re.split(r"[@/:?#]", secret)]
    for secret in sorted({f for f in found if len(f) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return redacted(text.replace(url, shown(url)))
