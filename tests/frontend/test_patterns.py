"""Automata of regular expressions accept what Python's own patterns do."""

from __future__ import annotations

import random
import re

import pytest

from luthier.frontend.patterns.automaton import Automaton, automaton
from luthier.frontend.patterns.syntax import PatternError


def accepts(made: Automaton, text: str) -> bool:
    state = made.begin
    for byte in text.encode():
        state = int(made.table[state, made.classes[byte]])
    return state >= made.accepts


PATTERNS = [
    "", "a", "ab|a", "a*b+c?", "(a|b)*abb", "a{2,3}b{2}c{1,}", "[a-c]+", "[^a-c]+", ".", ".*",
    r"\d+\.\d*", r"[\w.]+@[\w.]+", r"\s*\S+\s*", "(?i)aB[c-d]", "(?i:a)b", "(?s).b", "^ab$",
    r"\Aab\z", "^(a|^b)c", "a$b|c", "(?:ab)+", "(?P<name>a)b", "[]a]+", "[a-]+", r"[\]\-\\]+",
    r"\ba+\b.*",
    "(?m)a$\\n^b", "(?ms)^a.*$c*", "(?m)(^a$\\n?)+", "(?m)a^|^$|b$",
    "(?m)(?-m:^)a|\\n^b", r"(?m)\b^a$.*",
    r".*\b", r"a\Bb|c\B-", r"(\ba|b\b|[. ])*", r"^\bab|\b^c",
    "é+[а-я]*", "[^é]", "😀|語", r"\x41\x{e9}", r"\101", r"a\.b\*", "a{,2}", "a{", "x*y*z*",
    "(a?){3}",
    "(|a)b", "(a*)*", "((a|b)c){2}", r"[[:alpha:]]+[[:digit:]]?", r"[[:^space:]]+", "a|b|", "()",
]  # fmt: skip
OTHER = {
    r"\Aab\z": r"\Aab\Z", "^(a|^b)c": "(a|b)c", r"\x41\x{e9}": "Aé", r"\101": "A",
    r"[[:alpha:]]+[[:digit:]]?": "[A-Za-z]+[0-9]?", r"[[:^space:]]+": r"[^\t\n\v\f\r ]+",
    "a{,2}": re.escape("a{,2}"), "a{": re.escape("a{"), "a$b|c": "c",
    r"\s*\S+\s*": r"[\t\n\f\r ]*[^\t\n\f\r ]+[\t\n\f\r ]*",
}  # fmt: skip
"""How Python says what it has another syntax for."""
LETTERS = ["a", "b", "c", "A", "B", "x", "y", "z", "1", "9", ".", "@", "-", "]", "\\", "{", ",",
           "2",
           "}", " ", "\n", "_", "é", "я", "語", "😀"]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_they_accept_what_python_does(pattern: str) -> None:
    made, rng = automaton(pattern), random.Random(pattern)
    python = re.compile(
        OTHER.get(pattern, pattern), re.ASCII if re.search(r"\\[wbB]", pattern) else 0
    )
    few = [c for c in LETTERS if c in pattern] or ["a", "b"]
    texts = ["", *LETTERS, pattern]
    for letters in (few, LETTERS, ["a", "b", "c", "1"]):
        texts += ["".join(rng.choices(letters, k=rng.randint(1, 7))) for _ in range(300)]
    for text in texts:
        assert accepts(made, text) == bool(python.fullmatch(text)), (pattern, text)


def test_letters_by_their_category() -> None:
    made = automaton(r"\p{Lu}\pL*\PN")
    assert accepts(made, "Éa語!")
    assert not accepts(made, "éa!")
    assert not accepts(made, "Éa4")
    assert not accepts(automaton(r"\p{^Lu}"), "É")


def test_a_quoted_part() -> None:
    assert accepts(automaton(r"\Qa.b*\E+c"), "a.b**c")
    assert not accepts(automaton(r"\Qa.b*\E"), "axb")


def test_bytes_that_are_no_text_match_nothing() -> None:
    made = automaton("(?s).*")
    for wrong in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"a\x80"):
        state = made.begin
        for byte in wrong:
            state = int(made.table[state, made.classes[byte]])
        assert state < made.accepts


WRONG = {
    "(a": "a '\\)' is missing", "a)": "closes nothing", "*a": "repeats nothing", "a**": "repeated",
    "[a": "ends too early", "[b-a]": "before it begins", "a{5,2}": "not a number of times",
    "a{2000}": "not a number of times",
    r"\p{Greek}": "general categories", r"\1": "what a group took", r"\y": "not known",
    "(?=a)": "not known", "(?<!a)b": "is missing|not known|repeats",
    r"\x{110000}": "not a letter's number",
    "(" * 100 + ")" * 100: "nested", "a" * 5000: "longer than", "[[:none:]]": "not known",
    "((a{1000}){1000}){1000}": "places", "(a|b)*a(a|b){14}": "too large", r"\C": "single byte",
}  # fmt: skip


@pytest.mark.parametrize("pattern", WRONG)
def test_what_is_wrong_or_not_supported_is_said(pattern: str) -> None:
    with pytest.raises(PatternError, match=WRONG[pattern]) as refused:
        automaton(pattern)
    assert "\n" not in str(refused.value)
