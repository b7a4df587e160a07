"""No error, name or report shows a password, however its URL is spelled."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

import pytest

import luthier
from luthier import logs
from luthier.autotune import Pack, Store, write_pack
from luthier.autotune.records.address import is_server
from luthier.cli import main
from luthier.deploy.folder import check_output
from luthier.schedules import LogError, LuthierError
from luthier.schedules.redaction import shown, without_secrets

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
    "postgresql://me:a?s3cret@127.0.0.1:1/x",
    "postgresql://me:a#s3cret/@s3cret@127.0.0.1:1/x",
    "postgresql://me:a%40s3cret@127.0.0.1:1/x",
    "http://me:s3cret@s3cret/s3cret@127.0.0.1:1/pack.jsonl",
)
QUERIES = (
    "postgresql://127.0.0.1:1/x?user=me&password=s3cret",
    "POSTGRESQL://127.0.0.1:1/x?user=me&PASSWORD=s3cret&sslpassword=s3cret",
    "postgresql://127.0.0.1:1/x?pass%77ord=s3cret@s3cret",
    "postgresql://me@127.0.0.1:1/x?sslmode=disable&password=s3cret/s3cret&application_name=x",
    "https://127.0.0.1:1/pack.jsonl?X-Amz-Credential=s3cret&X-Amz-Signature=s3cret",
    "https://127.0.0.1:1/pack.jsonl?sv=2024&sig=s3cret",
    "https://127.0.0.1:1/pack.jsonl?access_token=s3cret",
    "https://s3cret@127.0.0.1:1/pack.jsonl",
    "memory://nowhere/pack.jsonl?token=s3cret",
)


@pytest.mark.parametrize("url", [*SERVERS, *OTHERS, *UNESCAPED])
def test_a_url_is_shown_without_its_password(url):
    for text in (url, str(Path(url))):
        assert "cret" not in shown(text)
        assert "me:***@" in shown(text)
    if " " not in url.strip():
        assert "cret" not in str(LuthierError(f"something about '{url}' failed"))


@pytest.mark.parametrize("url", QUERIES)
def test_a_url_s_other_secrets_do_not_show(url):
    for text in (url, str(Path(url)), f"simplecache::{url}"):
        assert "cret" not in shown(text)
        assert "cret" not in str(LuthierError(f"cannot read '{text}': {text} is not there"))
    assert "127.0.0.1:1/" in shown(url) or "memory://nowhere/" in shown(url)


@pytest.mark.parametrize(
    "said",
    [
        "failed to resolve host 's3cret@127.0.0.1': Name or service not known",
        'invalid port number: "s3cret@127.0.0.1:1"',
        "postgresql://me:a@s3cret@127.0.0.1:1/x is not there",
        "no file a%40s3cret",
    ],
)
def test_a_library_that_misreads_a_url_shows_no_part_of_the_password(said):
    hidden = without_secrets(said, "postgresql://me:a@s3cret@127.0.0.1:1/x")
    assert "cret" not in hidden
    assert hidden.split()[:2] == said.split()[:2] or "***" in hidden.split()[0]
    assert without_secrets(said, "pack.jsonl") == said


@pytest.mark.parametrize("url", [*SERVERS, *OTHERS, *UNESCAPED, *QUERIES])
def test_no_command_and_no_traceback_shows_one(url, capfd, monkeypatch):
    monkeypatch.setenv("LUTHIER_TRACEBACK", "1")
    for command in (
        ("logs", "stats", url),
        ("logs", "merge", url, "-o", url),
        ("logs", "verify", url, "--json"),
        ("logs", "stats", "a", url),
        ("logs", "best", "--log", url, "--json"),
        ("build", "none.onnx", "-o", "out", "--pack", url),
        ("target", url),
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code in (2, 3, 4)
        shown = "".join(capfd.readouterr())
        assert "cret" not in shown
        assert shown.startswith("luthier: error: ")


@pytest.mark.parametrize("url", [SERVERS[0], OTHERS[0], UNESCAPED[1], QUERIES[0], QUERIES[4]])
def test_a_program_s_traceback_shows_none(url):
    for opened in (Store.open, lambda w: [*Pack(w).records()], lambda w: write_pack(w, [])):
        with pytest.raises(LogError) as caught:
            opened(url)
        assert "cret" not in "".join(traceback.format_exception(caught.value))


def test_hiding_takes_linear_time():
    for text in (
        "a" * 10**6,
        "a:/" * 300_000,
        "http://" * 100_000,
        "?a=" * 300_000,
        "@" * 10**6,
        "@a:/u:" * 100_000,
    ):
        begin = time.monotonic()
        str(LuthierError(text))
        shown(text)
        without_secrets("x", text)
        assert time.monotonic() - begin < 20


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


# Taken for paths, as a model's or a folder's are; some have blanks in their passwords.
TAKEN_FOR_PATHS = (
    "postgresql://me:s3cret@127.0.0.1:1/x",
    "postgresql:/me:s3cret@127.0.0.1:1/x",
    "postgresql://me:a@cret1/x cret2@127.0.0.1:1/x",
    "https://me:s3cret@127.0.0.1:1/m.onnx?token=s3cret",
    "simplecache::http://me:s3cret@127.0.0.1:1/x",
    "simplecache::http://me:s3 cret@127.0.0.1:1/x",
    "host=127.0.0.1 user=me password=s3cret",
    "host=127.0.0.1 user=me password='s3 cret'",
)


@pytest.mark.parametrize("url", TAKEN_FOR_PATHS)
@pytest.mark.parametrize(
    "call",
    [
        lambda url: luthier.build(url, out="out"),
        lambda url: luthier.build("none.onnx", out="out", log=url),
        lambda url: luthier.build("none.onnx", out="out", packs=[url]),
        lambda url: luthier.build("none.onnx", out="out", packs=[f"{url}\0"]),
        luthier.load,
        logs.stats,
        lambda url: logs.merge([url], out="out"),
        lambda url: logs.merge([], out=f"{url}/x/y"),
        lambda url: check_output(Path(f"file/{url}")),
    ],
)
def test_a_url_taken_for_a_path_does_not_show_in_a_cause(call, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(LuthierError) as caught:
        call(url)
    assert "cret" not in "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:
        assert "cret" not in f"{error} {error!r} {error.args} {getattr(error, 'filename', '')}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_cause_keeps_what_is_no_password():
    with pytest.raises(LuthierError) as caught:
        luthier.load("no/such: folder@x")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert "no/such: folder@x" in str(caught.value.__cause__)
    assert caught.value.__cause__.errno == 2


@pytest.mark.parametrize("scheme", ["file", "FILE", "local"])
def test_a_pack_s_file_is_not_named_by_a_password(scheme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in (
        f"{scheme}://me:s3cret@{tmp_path}/p.jsonl",
        f"{scheme}://me:s3cret@host/p.jsonl",
        f"{scheme}://{tmp_path}/p.jsonl?token=s3cret",
    ):
        for use in (lambda w: write_pack(w, []), lambda w: [*Pack(w).records()]):
            with pytest.raises(LogError, match="give the pack's path") as caught:
                use(url)
            assert "cret" not in "".join(traceback.format_exception(caught.value))
    assert not list(tmp_path.iterdir())
    assert write_pack(f"{scheme.lower()}://{tmp_path}/p.jsonl", []) == set()
