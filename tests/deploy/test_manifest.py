"""Manifests from strangers: every value, replaced by every kind of nonsense."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import open_models
import pytest

from luthier.deploy import read_manifest
from luthier.schedules import ArtifactError

DEEP: Any = []
for _ in range(500):
    DEEP = [DEEP]
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 1 << 62, 1 << 63, 1 << 64, 10**300, -(10**300)),
    *(float("inf"), float("-inf"), float("nan"), 1e308, "", "1", "x" * 10_000, "\ud800", "a\0b"),
    *("\n\x1b[2J", "../../etc/passwd", "0" * 64, [], [[]], [None], {}, {"": {}}, DEEP),
)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a JSON document are."""
    yield path
    pairs: Any = ()
    if isinstance(data, dict):
        pairs = data.items()
    elif isinstance(data, list):
        pairs = enumerate(data)
    for key, value in pairs:
        yield from places(value, (*path, key))


def with_value(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy_of(data)
    changed[path[0]] = with_value(data[path[0]], path[1:], value)
    return changed


def copy_of(data: Any) -> Any:
    return dict(data) if isinstance(data, dict) else list(data)


def fixed_by_other_values(path: tuple[Any, ...]) -> bool:
    """Values that are there for other readers, and follow from those that are read."""
    return path[0] in ("features", "threads") or path[-1] in ("key", "bytes")


def is_older(path: tuple[Any, ...], value: Any) -> bool:
    """Manifests of the first version are read, which said less."""
    return path == ("schema_version",) and type(value) is int and value == 1


def test_any_value_in_any_place_of_a_manifest(artifact_folder: Path, tmp_path: Path) -> None:
    """It is refused in one line, or it is a value that the place may have."""
    whole = json.loads((artifact_folder / "manifest.json").read_text())
    assert not whole["sample"]["tolerances"]
    tolerance = {"rtol": 1e-3, "atol": 0.0, "share": 0, "why": "float32"}
    whole["sample"]["tolerances"]["x"] = tolerance
    check_any_value(whole, tmp_path)


def test_the_same_where_sizes_are_open(tmp_path: Path) -> None:
    """Of what is said of these."""
    open_models.build(tmp_path / "out")
    whole = json.loads((tmp_path / "out" / "manifest.json").read_text())
    tolerance = {"rtol": 1e-3, "atol": 0.0, "share": 0, "why": "float32"}
    whole["samples"] = {"decode": {"source": "nobody", "tolerances": {"y": tolerance}}}
    whole["kernels"] = whole["kernels"][:1]
    del whole["entries"][0]["variants"][0]
    for variant in (v for entry in whole["entries"] for v in entry["variants"]):
        for step in variant["steps"]:
            step["kernel"] = 0
    whole["steps"] = [s for v in whole["entries"][0]["variants"] for s in v["steps"]]
    check_any_value(whole, tmp_path, only=("entries", "kernels", "samples"))


def check_any_value(whole: Any, tmp_path: Path, only: Container[str] | None = None) -> None:
    accepted = []
    for path in places(whole):
        if only is not None and (not path or path[0] not in only):
            continue
        for value in HOSTILE:
            (tmp_path / "manifest.json").write_text(json.dumps(with_value(whole, path, value)))
            try:
                manifest = read_manifest(tmp_path)
            except ArtifactError as error:
                said = str(error)
                if "\n" in said or len(said) > 600 or "\x1b" in said:
                    accepted.append((path, said))
                continue
            if fixed_by_other_values(path) or is_older(path, value):
                continue
            shown = json.loads(json.dumps(manifest.to_json()))
            for key in path:
                shown = shown[key]
            if path[0] in ("sample", "samples"):
                same = shown == value or (isinstance(value, str) and value.startswith(shown))
            else:
                same = shown == value and type(shown) is type(value)
            if not same:
                accepted.append((path, value))
    assert accepted == []


NUMBERS = ("arena_bytes", "scratch_bytes", "weight_bytes")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "text", ["Infinity", "-Infinity", "NaN", "1e400", "-1", "true", '"1"', "1.5", "9" * 5000, "[1]"]
)
def test_invalid_sizes(artifact_folder: Path, tmp_path: Path, name: str, text: str) -> None:
    manifest = (artifact_folder / "manifest.json").read_text()
    changed = re.sub(rf'("{name}": )\d+', lambda found: found[1] + text, manifest)
    assert changed != manifest
    (tmp_path / "manifest.json").write_text(changed)
    with pytest.raises(ArtifactError, match=r"malformed: .* is not a whole number|is no JSON"):
        read_manifest(tmp_path)


def test_a_duplicate_name(artifact_folder: Path, tmp_path: Path) -> None:
    manifest = (artifact_folder / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace('"name":', '"name": "x", "name":', 1))
    with pytest.raises(ArtifactError, match="is no JSON"):
        read_manifest(tmp_path)


def test_an_older_manifest_says_where_rows_lie_in_the_types_of_tensors(
    artifact_folder: Path, tmp_path: Path
) -> None:
    data = json.loads((artifact_folder / "manifest.json").read_text())
    data["schema_version"] = 1
    del data["entries"]
    for kernel in data["kernels"]:
        del kernel["placement"]
        kernel["workload"]["nodes"][-1]["out"] += ":4096"
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    assert read_manifest(tmp_path) == read_manifest(artifact_folder)
