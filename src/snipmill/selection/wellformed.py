"""The rules that a response must meet before it can become a row.

Source: the sanitising step of StarCoder2-Instruct. Placeholders match as whole words: "Mastodon" does not match.
"""

from __future__ import annotations

import re

from snipmill.languages import PYTHON
from snipmill.reasons import Reason
from snipmill.text.code import shape_of_tests
from snipmill.text.sections import Malformed, Sections

_INCOMPLETE = re.compile(
    r"\b(?:todo|fixme|notimplemented|notimplementederror|write your code here|your code here|your code goes here)\b",
    re.IGNORECASE,
)


def check_sections(sections: Sections, *, incomplete: bool, executed: bool = False) -> Malformed | None:
    """The first rule that a response breaks, or None for one that can become a row.

    Args:
        sections: the parsed response; what tests consist of is checked for Python only.
        incomplete: whether placeholders such as "your code here" are refused.
        executed: whether the program passed in the sandbox, which has seen its checks: then their form does not matter.
    """
    if sections.language == PYTHON and not executed:
        shape = shape_of_tests(sections.tests)
        if not shape.has_assert:
            return Malformed(Reason.TESTS_WITHOUT_ASSERT, "The tests contain no assert statement.")
        if not shape.runs_something:
            return Malformed(Reason.TESTS_NOT_CALLED, "The tests only define things; nothing runs at top level.")
    if incomplete and (_has_placeholder(sections.implementation) or _has_placeholder(sections.tests)):
        match = _INCOMPLETE.search(sections.code) or _INCOMPLETE.search(sections.tests)
        if match:
            return Malformed(Reason.INCOMPLETE, f"The code contains the placeholder {match.group()!r}.")
    return None


def _has_placeholder(text: str) -> bool:
    """Whether the text may hold a placeholder: much faster than the expression, and nearly never true."""
    lowered = text.lower()
    return "todo" in lowered or "fixme" in lowered or "notimplemented" in lowered or "your code" in lowered
