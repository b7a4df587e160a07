"""How many threads a C program's instance has by default, where its control groups limit it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from luthier.deploy.library import POOL, RUNTIME

HERE = Path(__file__).parent
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quota") / "quota"
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{RUNTIME}", f"-I{POOL}"]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    subprocess.run([*command, HERE / "quota.c", RUNTIME / "quota.c", "-o", out], check=True)
    return out


def granted(program: Path, root: Path, files: Mapping[str, str], cores: int = 8) -> int:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    command = [program, root, str(cores)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


LIMITS: dict[str, tuple[dict[str, str], int]] = {
    "no groups": ({}, 8),
    "no limit": ({f"{V2}/cpu.max": "max 100000\n"}, 8),
    "three cores": ({f"{V2}/cpu.max": "300000 100000\n"}, 3),
    "two and a half": ({f"{V2}/cpu.max": "250000 100000\n"}, 2),
    "half a core": ({f"{V2}/cpu.max": "50000 100000\n"}, 1),
    "more than there are": ({f"{V2}/cpu.max": "9900000 100000\n"}, 8),
    "empty": ({f"{V2}/cpu.max": ""}, 8),
    "nonsense": ({f"{V2}/cpu.max": "a lot\n"}, 8),
    "a period of nothing": ({f"{V2}/cpu.max": "100000 0\n"}, 8),
    "no number holds it": ({f"{V2}/cpu.max": "9" * 40 + " 100000\n"}, 8),
    "a service in a slice": (
        {
            "proc/self/cgroup": "0::/user.slice/work.service\n",
            f"{V2}/user.slice/cpu.max": "300000 100000\n",
            f"{V2}/user.slice/work.service/cpu.max": "max 100000\n",
        },
        3,
    ),
    "the least counts": (
        {
            "proc/self/cgroup": "0::/a/b",
            f"{V2}/a/cpu.max": "500000 100000\n",
            f"{V2}/a/b/cpu.max": "200000 100000\n",
        },
        2,
    ),
    "version 1 without a limit": (
        {f"{V1}/cpu.cfs_quota_us": "-1\n", f"{V1}/cpu.cfs_period_us": "100000\n"},
        8,
    ),
    "version 1": (
        {f"{V1}/cpu.cfs_quota_us": "200000\n", f"{V1}/cpu.cfs_period_us": "100000\n"},
        2,
    ),
    "version 1, in a group": (
        {
            "proc/self/cgroup": "5:memory:/job\n4:cpuset:/job\n3:cpuacct,cpu:/job\n0::/\nodd\n",
            f"{V1}/job/cpu.cfs_quota_us": "100000\n",
            f"{V1}/job/cpu.cfs_period_us": "100000\n",
        },
        1,
    ),
    "another controller's group": (
        {
            "proc/self/cgroup": "5:memory:/job\n4:cpuset:/job\n",
            f"{V1}/job/cpu.cfs_quota_us": "100000\n",
            f"{V1}/job/cpu.cfs_period_us": "100000\n",
        },
        8,
    ),
    "a path without end": ({"proc/self/cgroup": f"0::{'/deep' * 2000}\n"}, 8),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_quota(program: Path, tmp_path: Path, limit: str) -> None:
    files, cores = LIMITS[limit]
    assert granted(program, tmp_path, files) == cores


def test_a_quota_never_adds_cores(program: Path, tmp_path: Path) -> None:
    assert granted(program, tmp_path, {f"{V2}/cpu.max": "400000 100000\n"}, cores=2) == 2
