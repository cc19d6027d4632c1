"""Our rows against those of the original project's rules: equal, except for the differences that docs/selection.md lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snipmill.config import LookTable, SelectTable
from snipmill.randomness import rank
from snipmill.records import Row
from snipmill.selection.sanitize import sanitize
from snipmill.selection.styles import resolve_look
from snipmill.stages.select_rows import select_rows
from tests.conftest import RESPONSE
from tests.selection import original_rules

WORDS = st.text("abc .,\n", max_size=20)
CODE = st.sampled_from(
    (
        "def f(x):\n    return x",
        "def g(x, y):\n    # both\n    return x + y",
        "class A:\n    pass",
        "x = 1",
        "import math",
    )
)
TESTS = st.sampled_from(
    (
        "assert f(1) == 1",
        "assert f(1) == 1\nassert f(2) == 2",
        "def test():\n    assert f(1) == 1",
        "def test():\n    assert f(1) == 1\n\ntest()",
        "import math\nfrom math import pi",
        "print(f(1))",
        "x = 1\nassert x",
        "",
    )
)
BLOCK = st.builds("```{}\n{}\n```".format, st.sampled_from(["python", "Python", "js", "text"]), CODE)
BODY = st.builds("{}\n{}\n{}".format, WORDS, BLOCK | WORDS, BLOCK | WORDS)
TESTS_BODY = st.builds("{}\n```{}\n{}\n```\n{}".format, WORDS, st.sampled_from(["python", "js"]), TESTS, WORDS | BLOCK)


@st.composite
def responses(draw: st.DrawFn) -> str:
    """Four sections, most of them in order, with what a weak model writes into them."""
    names = draw(st.permutations(original_rules.TAGS) | st.just(list(original_rules.TAGS)))
    bodies = [draw(TESTS_BODY if name == "[Tests]" else BODY) for name in names]
    parts = [f"{name}\n{body}" for name, body in zip(names, bodies, strict=True)]
    if draw(st.integers(0, 9)) == 0:
        parts.pop(draw(st.integers(0, 3)))
    return "\n\n".join(parts)


def ours(response: str, style: str = "raw", **changes: object) -> str | None:
    row = Row(id="r", seed="", concepts=[], instruction="Do it.", response=response)
    out = sanitize(row, resolve_look(style, LookTable(**changes)), 1)  # type: ignore[arg-type]
    return out.response if isinstance(out, Row) else None


@settings(max_examples=500)
@given(responses(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_the_same_rows_with_the_same_text(
    response: str, raw: bool, reasoning: bool, explanation: bool, tests: bool
) -> None:
    expected = original_rules.render(response, raw=raw, reasoning=reasoning, explanation=explanation, tests=tests)
    kept = ours(
        response, "raw" if raw else "plain",
        reasoning=float(reasoning), explanation=float(explanation), tests="keep" if tests else "drop",
    )  # fmt: skip
    if expected is None or kept is None:
        assert expected == kept
    elif raw:
        assert kept == expected
    else:  # without tags, an empty section leaves empty lines there
        assert [part for part in kept.split("\n\n") if part.strip()] == [
            part for part in expected.split("\n\n") if part.strip()
        ]


FUNCTION = st.sampled_from(
    [f"```python\ndef {name}(x):\n    return {value}\n```" for name in "fgh" for value in (1, 2)]
)


@given(
    st.lists(st.tuples(st.sampled_from(["Do a.", "Do  a.", "Do b.", "Do c.", "Do d."]), FUNCTION), max_size=12),
    st.booleans(),
)
def test_the_same_rows_are_chosen(pairs: list[tuple[str, str]], names: bool) -> None:
    """In one order, that of our ranks; the original shuffles by another generator."""
    rows = [Row(id=f"r-{n}", seed=f"{n}", concepts=[], instruction=i, response=r) for n, (i, r) in enumerate(pairs)]
    rows.sort(key=lambda row: rank(1, "select", row.id))
    table = SelectTable(name_diversity=names, near_instructions=0, near_code=0, decontaminate=False)
    expected = original_rules.select([(row.instruction, row.response) for row in rows], names=names)
    assert [row.id for row in select_rows(rows, table, 1, lambda _: None)] == [rows[number].id for number in expected]


def changed(old: str, new: str) -> str:
    assert old in RESPONSE
    return RESPONSE.replace(old, new)


TESTED = "```python\nassert double(2) == 4\n```"
# What the original does with a response, and what we do: True for a row.
DIFFERENCES: dict[str, tuple[str, bool, bool]] = {
    "`py`, `python3` and `{.python}` name Python": (changed("```python", "```py"), False, True),
    "a line of the tests that begins with `/`": (
        changed("assert double(2) == 4", "x = 4\n/ 2\nassert double(2) == 4"),
        False,
        True,
    ),
    "backticks behind the tests": (f"{RESPONSE}\nRun ```pytest``` now.", False, True),
    "another block behind the tests": (f"{RESPONSE}\n```text\nout\n```", False, False),
    "text before [Reasoning]": (f"Sure!\n{RESPONSE}", True, False),
    "the word assert without a statement": (changed("assert double(2) == 4", "print('assert')"), True, False),
    "tests under a decorator or a condition": (
        changed("assert double(2) == 4", "if True:\n    assert double(2) == 4"),
        True,
        True,
    ),
    "backticks within a line": (changed("It multiplies.", "See ```x``` for it."), True, True),
    "an indented block in a list": (
        changed(
            "```python\ndef double(x):\n    return 2 * x\n```",
            "1. So:\n\n   ```python\n   def double(x):\n       return 2 * x\n   ```",
        ),
        True,
        True,
    ),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_the_differences_that_are_meant(what: str) -> None:
    response, theirs, kept = DIFFERENCES[what]
    assert (original_rules.sections(response) is not None, ours(response) is not None) == (theirs, kept)


def test_placeholders_count_in_code_alone() -> None:
    prose, code = changed("It multiplies.", "A Mastodon todo."), changed("return 2 * x", "return 2 * x  # TODO")
    for response, kept in ((prose, True), (code, False)):
        theirs = original_rules.render(response, raw=False, reasoning=True, explanation=True, tests=True, complete=True)
        assert theirs is None and (ours(response, "plain", refuse_incomplete=True) is not None) == kept


def test_rows_without_functions_are_no_duplicates_of_each_other() -> None:
    rows = [
        Row(id=f"r-{n}", seed="", concepts=[], instruction=f"Do {n}.", response=f"```python\nx = {n}\n```")
        for n in range(3)
    ]
    table = SelectTable(name_diversity=True, near_instructions=0, near_code=0, decontaminate=False)
    assert len(original_rules.select([(row.instruction, row.response) for row in rows], names=True)) == 1
    assert len(list(select_rows(rows, table, 1, lambda _: None))) == 3


def test_the_documentation_lists_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "selection.md").read_text().partition("## Against the original")[2]
    for word in (
        "`py`",
        "`/`",
        "backticks",
        "before [Reasoning]",
        "statement",
        "placeholder",
        "without functions",
        "does not parse",
    ):
        assert word in page, word
