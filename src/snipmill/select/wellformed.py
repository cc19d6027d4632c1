"""The rules that a response must meet before it can become a row.

Source: the sanitising step of StarCoder2-Instruct; words are matched as words, so that "Mastodon" is no to-do.
"""

from __future__ import annotations

import re

from snipmill.languages import PYTHON
from snipmill.text.code import shape_of_tests
from snipmill.text.sections import Malformed, Sections, parse_sections

_WORDS = ("todo", "fixme", "notimplemented", "your code")
_INCOMPLETE = re.compile(
    r"\b(?:todo|fixme|notimplemented|notimplementederror|write your code here|your code here|your code goes here)\b",
    re.IGNORECASE,
)


def check_response(response: str, *, incomplete: bool, language: str = PYTHON) -> Sections | Malformed:
    """The sections of a well-formed response, or the rule that it breaks.

    Args:
        response: the four-section text.
        incomplete: whether placeholders such as "your code here" are refused.
        language: of the task; what tests are made of is known for Python alone.
    """
    sections = parse_sections(response, language)
    if isinstance(sections, Malformed):
        return sections
    if language == PYTHON:
        shape = shape_of_tests(sections.tests)
        if not shape.has_assert:
            return Malformed("tests-without-assert", "The tests hold no assert statement.")
        if not shape.runs_something:
            return Malformed("tests-not-called", "The tests define things and run nothing at top level.")
    if incomplete:
        match = None
        if _has_placeholder(response):
            match = _INCOMPLETE.search(sections.code) or _INCOMPLETE.search(sections.tests)
        if match:
            return Malformed("incomplete", f"The code says {match.group()!r}.")
    return sections


def _has_placeholder(response: str) -> bool:
    """Whether a placeholder may stand somewhere: much faster than the expression, and nearly never true."""
    lowered = response.lower()
    return any(word in lowered for word in _WORDS)
