"""No error, name or report shows a password, however its URL is spelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.autotune import Pack, Store
from luthier.autotune.database import is_server, shown
from luthier.schedules import LogError, LuthierError

# Nobody listens at these; each has the same password, which ends at the last @.
SERVERS = (
    "postgresql://me:s3cret@127.0.0.1:1/x",
    "POSTGRESQL://me:s3cret@127.0.0.1:1/x",
    "PostgreSQL+PsycoPG://me:s3cret@127.0.0.1:1/x",
    "Postgres://me:s3cret@127.0.0.1:1/x",
    "  postgresql://me:s3cret@127.0.0.1:1/x",
)
OTHERS = (
    "HTTP://me:s3cret@127.0.0.1:1/pack.jsonl",
    "S3://me:s3cret@bucket/pack.jsonl",
    "mysql://me:s3cret@127.0.0.1:1/x",
    "MySQL://me:s3cret@127.0.0.1:1/x",
    "nonsense://me:s3 'cret@host:port/x",
    "postgresql:/me:s3cret@127.0.0.1:1/x",
)
UNESCAPED = (
    "postgresql://me:a/s3cret@127.0.0.1:1/x",
    "postgresql://me:a@s3cret@127.0.0.1:1/x",
)


@pytest.mark.parametrize("url", [*SERVERS, *OTHERS, *UNESCAPED])
def test_a_url_is_shown_without_its_password(url):
    for text in (url, str(Path(url))):
        assert "cret" not in shown(text)
        assert "me:***@" in shown(text)
    if " " not in url.strip():
        assert "cret" not in str(LuthierError(f"something about '{url}' failed"))


@pytest.mark.parametrize("url", SERVERS)
def test_a_scheme_is_a_server_s_in_any_case(url):
    assert is_server(url)


@pytest.mark.parametrize("url", ["Postgresql://me:s3cret@:port/x", *OTHERS])
@pytest.mark.parametrize("as_path", [False, True])
def test_opening_shows_no_password(url, as_path):
    where = Path(url) if as_path else url
    for opened in (
        Store.open,
        lambda w: Store.open(w, create=True),
        lambda w: [*Pack(w).records()],
    ):
        with pytest.raises(LogError) as caught:
            opened(where)
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["a path/with: signs@x", "C:/x:y", "x@y", "logs/a:b"])
def test_what_is_no_url_is_shown_as_it_is(text):
    assert shown(text) == text
    assert str(LuthierError(text)) == text
