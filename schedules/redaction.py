"""Text without the passwords of the URLs in it, for messages, names and reports."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

_WORD = re.compile(r"[^\s'\"]+")
_SCHEME = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}:/+", re.IGNORECASE)
_PARAMETER_IN_TEXT = re.compile(r"([?&;]([^\s?&;='\"]+)=)[^\s&;'\"]*")
_OPTION = re.compile(r"\b((?:ssl)?password\s?=\s?)(?:'[^']*'|[^\s'&;]+)", re.IGNORECASE)
_SECRET = re.compile(
    r"passw|passphrase|pwd|secret|token|signature|credential|(api|access|account|auth)[-_]?key|"
    r"^(sig|key)$",
    re.IGNORECASE,
)
# A URL with a password, blanks and quotes in it too, anywhere in a path: where it is taken for one,
# the working folder comes first and one slash of two is left.
_WHOLE = re.compile(rf"({_SCHEME.pattern}[^/@:]*):(.*)@", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r"([?&;]([^?&;=]+)=)([^&;]*)")
_SHORTEST = 3  # characters of a part of a password that a text is searched for


def is_secret(parameter: str) -> bool:
    """Whether a parameter of a URL with such a name, percent-encoded or not, is a password."""
    return _SECRET.search(unquote(parameter)) is not None


def redacted(text: str) -> str:
    """``text`` with the passwords of all URLs in it replaced by ``***``; takes linear time."""
    hidden = _PARAMETER_IN_TEXT.sub(lambda m: f"{m[1]}***" if is_secret(m[2]) else m[0], text)
    hidden = _WORD.sub(lambda word: _without_password(word[0]), hidden)
    return _OPTION.sub(r"\1***", hidden)


def _without_password(word: str) -> str:
    """A word that may be a URL: its password ends at the last @, whatever it holds.

    pathlib leaves one slash of two. A user without a password is a token in the web's URLs.
    """
    end = word.rfind("@")
    for scheme in _SCHEME.finditer(word, 0, max(0, end)):
        begin = scheme.end()
        colon = word.find(":", begin, end)
        if colon >= 0 and not {"/", "@"} & set(word[begin:colon]):
            return f"{word[:colon]}:***{word[end:]}"
        is_token = scheme[0].lower().startswith("http") and "/" not in word[begin:end]
        if colon < 0 and is_token:
            return f"{word[:begin]}***{word[end:]}"
    return word


def shown(where: str | os.PathLike[str]) -> str:
    """A path, or a URL without its password."""
    text = str(where)
    if not _SCHEME.search(text):
        return redacted(text)
    text = text.strip()
    text = _PARAMETER.sub(lambda m: f"{m[1]}***" if is_secret(m[2]) else m[0], text)
    end = text.rfind("@") + 1  # to search no further keeps the time linear
    return redacted(_WHOLE.sub(r"\1:***@", text[:end]) + text[end:])


def without_secrets(text: str, where: str | os.PathLike[str]) -> str:
    """What a library says of a URL, without the password, or parts of it if it was misread."""
    url = str(where).strip()
    if not _SCHEME.search(url):
        return text
    whole = _WHOLE.search(url, 0, url.rfind("@") + 1)
    found = [whole[2]] if whole else []
    found += [value for _, name, value in _PARAMETER.findall(url) if is_secret(name)]
    found += [each for secret in found for each in (unquote(secret), quote(secret, safe=""))]
    found += [part for secret in found for part in re.split(r"[@/:?#]", secret)]
    for secret in sorted({f for f in found if len(f) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return redacted(text.replace(url, shown(url)))
