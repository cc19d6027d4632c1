"""The three styles of a row: `raw` keeps the four tags, `plain` drops them, `smart` varies what a row shows.

Draws belong to rows: removing one row changes no other row's text. Source of the smart rules: StarCoder2-Instruct.
"""

from __future__ import annotations

import re

from snipmill.config import Style
from snipmill.randomness import generator
from snipmill.text.code import assert_statements, has_assert, strip_comments
from snipmill.text.fences import find_fences, render_fence
from snipmill.text.sections import Sections, render_sections

_SPEAKS_OF_TESTS = re.compile(r"\btest(?:s|ed|ing|cases?)?\b", re.IGNORECASE)
_HAS_EXAMPLE = re.compile(r"\bassert|\bfor example\b", re.IGNORECASE)
_MOST_ASSERTS = 5


def render_row(row_id: str, instruction: str, sections: Sections, style: Style, seed: int) -> tuple[str, str]:
    """The (instruction, response) of a row in a style."""
    if style == "raw":
        return instruction, render_sections(sections)
    if style == "plain":
        parts = [sections.reasoning, sections.implementation, sections.explanation, render_fence(sections.tests)]
        return instruction, _join(parts)
    return _render_smart(row_id, instruction, sections, seed)


def _join(parts: list[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _render_smart(row_id: str, instruction: str, sections: Sections, seed: int) -> tuple[str, str]:
    random = generator(seed, "smart", row_id)
    keep_reasoning, keep_explanation = random.random() < 0.5, random.random() < 0.5
    append_tests = random.random() < 0.5
    wants_tests = _SPEAKS_OF_TESTS.search(instruction) is not None
    parts = [
        sections.reasoning if keep_reasoning else "",
        _without_comments(sections.implementation),
        sections.explanation if keep_explanation else "",
        _without_comments(render_fence(sections.tests)) if wants_tests else "",
    ]
    if append_tests and not wants_tests and not _HAS_EXAMPLE.search(instruction):
        shown = _shown_tests(sections.tests, random.randint(1, _MOST_ASSERTS), random.randrange(1 << 30))
        if shown:
            instruction = f"{instruction}\n\n{shown}"
    return instruction, _join(parts)


def _shown_tests(tests: str, count: int, key: int) -> str:
    """What is added to an instruction: some of the asserts, or the whole block where it is more than asserts."""
    code = strip_comments(tests).strip()
    lines = [line for line in code.splitlines() if line.strip()]
    asserts = assert_statements(code)
    if asserts and "\n".join(asserts).split() == code.split():
        chosen = sorted(generator(key, "asserts").sample(range(len(asserts)), min(count, len(asserts))))
        shown = "\n".join(asserts[index] for index in chosen)
        heading = "Your code should pass the following assertion" + ("s:" if len(chosen) > 1 else ":")
        if len(shown.splitlines()) > _MOST_ASSERTS:
            return ""
        return f"{heading}\n{render_fence(shown)}"
    if has_assert(code) and len(lines) <= _MOST_ASSERTS:
        return f"Your code should pass the following test case:\n{render_fence(code)}"
    return ""


def _without_comments(markdown: str) -> str:
    """A Markdown text whose Python blocks have lost their comments, unless a block is nothing else.

    Python that compiles still compiles then: a comment is never a statement.
    """
    pieces: list[str] = []
    position = 0
    for fence in find_fences(markdown):
        if not (fence.is_python and fence.closed):
            continue
        stripped = strip_comments(fence.code)
        if not stripped.strip():
            continue
        pieces.append(markdown[position : fence.start])
        pieces.append(render_fence(stripped, fence.info) + "\n")
        position = fence.end
    pieces.append(markdown[position:])
    return "".join(pieces)
