"""What the installed ONNX Runtime has kernels for on processors is imported."""

from __future__ import annotations

from onnx import defs
from registry import forms, kernels

from luthier.frontend.control.stages import BY_RULES, CONTROL, FINDERS
from luthier.frontend.onnx.microsoft.domain import DOMAIN
from luthier.frontend.onnx.microsoft.operators import EARLY, OLD_NORMS, SPELLED
from luthier.frontend.onnx.ml.operators import OPERATORS as ML
from luthier.frontend.onnx.operators import SUPPORTED
from luthier.frontend.onnx.texts.computing import OPERATORS as TEXTS
from luthier.frontend.onnx.texts.tokens import OPERATORS as OF_TEXTS

COPIES = {"MemcpyFromHost", "MemcpyToHost"}  # between processors, which no model has
BEFORE = {"CastMap", "CategoryMapper", "DictVectorizer", "ZipMap"}  # gone once a model is read
ANY_NUMBER = {"IsAllFinite", "QLinearConcat"}


def names(domain: str) -> set[str]:
    return {kernel.op for kernel in kernels() if kernel.domain == domain}


def expanded() -> set[str]:
    """What the standard defines by others."""
    schemas = defs.get_all_schemas_with_history()
    return {s.name for s in schemas if s.has_function or s.has_context_dependent_function}


def test_operators_of_the_standard_are_imported() -> None:
    ours = {*SUPPORTED, *CONTROL, *FINDERS, *BY_RULES, *TEXTS, *EARLY, *OLD_NORMS}
    assert names("") - ours - expanded() == COPIES


def test_operators_of_onnx_ml_are_imported() -> None:
    assert names("ai.onnx.ml") <= ML.keys() | BEFORE


def test_operators_of_onnx_runtime_are_imported() -> None:
    by_rules = {name.rpartition(".")[2] for name in BY_RULES if name.startswith(DOMAIN)}
    assert names(DOMAIN) <= SPELLED.keys() | OF_TEXTS.keys() | by_rules


def test_their_inputs_and_attributes_are_known() -> None:
    """So that a new version of an operator is noticed."""
    known = forms(DOMAIN)
    for name in names(DOMAIN) & SPELLED.keys():
        spelled, form = SPELLED[name], known[name]
        assert form.attributes <= spelled.attributes, name
        assert name in ANY_NUMBER or form.inputs is None or spelled.inputs == form.inputs, name
