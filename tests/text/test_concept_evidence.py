"""Concepts that a snippet does not exercise are told from those that it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.text.concept_evidence import look_for_concepts

CHUNKED = 'def chunked(values, size):\n    """Slices of a list."""\n    for start in range(0, len(values), size):\n        yield values[start : start + size]\n'
WALK = (
    'def depth(tree):\n    """How deep a nested dictionary is."""\n'
    "    return 1 + max((depth(child) for child in tree.values()), default=0)\n"
)


@pytest.mark.parametrize(
    ("snippet", "concept"),
    [
        (CHUNKED, "slicing"),
        (CHUNKED, "generators"),
        (CHUNKED, "loops"),
        (WALK, "recursion"),
        (WALK, "generator expressions"),
        (WALK, "nested dictionaries"),
        ("def f(x):\n    return sorted(x, key=lambda y: -y)\n", "sorting with key functions"),
        ("def f(x):\n    if x < 0:\n        raise ValueError(x)\n    return x\n", "argument validation"),
        ("import re\ndef f(x):\n    return re.sub('a', 'b', x)\n", "regular expressions"),
        ("def f(x, y):\n    return list(zip(*x))\n", "transposition"),
    ],
)
def test_what_is_there_is_found(snippet: str, concept: str) -> None:
    evidence = look_for_concepts(snippet, [concept])
    assert (evidence.absent, evidence.unseen) == ((), ())


@pytest.mark.parametrize(
    ("snippet", "concept"),
    [
        (CHUNKED, "input validation"),
        (CHUNKED, "recursion"),
        (CHUNKED, "sorting"),
        (WALK, "regular expressions"),
        (WALK, "exception handling"),
        (WALK, "context managers"),
        ("def f(x):\n    return all(a <= b for a, b in zip(x, x[1:]))\n", "binary search"),
        ("def f(x):\n    return [sum(row) for row in x]\n", "transposition"),
        ("def f(x):\n    return [g() for g in x]\n", "unsubscription"),
    ],
)
def test_what_is_not_there_is_told(snippet: str, concept: str) -> None:
    assert look_for_concepts(snippet, [concept]).absent == (concept,)


def test_what_no_word_speaks_of_deserves_a_look() -> None:
    assert look_for_concepts(CHUNKED, ["greedy algorithms"]).unseen == ("greedy algorithms",)


@given(st.text(max_size=80), st.text(max_size=30))
def test_no_text_breaks_it(snippet: str, concept: str) -> None:
    look_for_concepts(snippet, [concept])
