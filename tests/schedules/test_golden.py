"""Templates generate what ``golden/`` holds: a change to one shows in its review.

After a change that is meant, ``python tests/schedules/golden.py`` writes the files again.
"""

from __future__ import annotations

import pytest
from golden import FOLDER, NAMES, SCRIPTS, TILES, text

from luthier.schedules.templates.registry import TEMPLATES

OTHERS = {"relax"}  # TVM's own, not ours to review


@pytest.mark.parametrize("name", NAMES)
def test_the_generated_schedule_is_the_reviewed_one(name):
    reviewed = (FOLDER / f"{name}.txt").read_text()
    assert text(name) == reviewed, "where it is meant, run python tests/schedules/golden.py"


def test_every_file_is_compared():
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.txt" for name in NAMES}


def test_every_template_has_a_file():
    shown = {template for _, template in (SCRIPTS | TILES).values()}
    assert shown | OTHERS == {t.name for t in TEMPLATES}
