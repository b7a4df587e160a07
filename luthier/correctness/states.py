"""A run as the model describes it: what its states hold before and after are inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.deploy import Artifact

from .compare import Outputs


def run_from(artifact: Artifact, inputs: Mapping[str, Any]) -> Outputs:
    """What the artifact gives for inputs among which are the states before, with those after."""
    notes = artifact.state.notes
    if not notes:
        return artifact.run(inputs, texts=False, lists=False)
    kept = {note.name for note in notes}
    artifact.state.reset()
    artifact.state.write({name: array for name, array in inputs.items() if name in kept})
    given = {name: array for name, array in inputs.items() if name not in kept}
    outputs = artifact.run(given, texts=False, lists=False)
    after = artifact.state.read()
    return outputs | {note.becomes: after[note.name] for note in notes}
