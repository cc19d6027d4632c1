"""Renders a row's instruction and response from its sections. Draws are seeded per row: removing one changes no other.

Source of the rules of `smart`: StarCoder2-Instruct.
"""

from __future__ import annotations

import re
from random import Random

from snipmill.languages import PYTHON
from snipmill.randomness import generator, rank
from snipmill.selection.styles import Look
from snipmill.text.code import assert_statements, has_assert, strip_comments
from snipmill.text.fences import find_fences, render_fence, replace_code
from snipmill.text.sections import Sections

_SPEAKS_OF_TESTS = re.compile(r"\btest(?:s|ed|ing|cases?)?\b", re.IGNORECASE)
_HAS_EXAMPLE = re.compile(r"\bassert|\bfor example\b", re.IGNORECASE)
_MOST_ASSERTS = 5


def render_row(row_id: str, instruction: str, sections: Sections, look: Look, seed: int) -> tuple[str, str]:
    """The (instruction, response) of a row, rendered with the given switches."""
    if {look.reasoning, look.explanation, look.shown_asserts} <= {0.0, 1.0}:
        draws: tuple[float, ...] = (0.5, 0.5, 0.5)  # no random draw is needed
    else:
        number = rank(seed, "smart", row_id)
        draws = tuple((number >> shift & 0xFFFFF) / 0x100000 for shift in (0, 20, 40))
    keep_reasoning, keep_explanation = draws[0] < look.reasoning, draws[1] < look.explanation
    append_tests = draws[2] < look.shown_asserts
    asked_for_tests = (look.tests == "asked" or append_tests) and _speaks_of_tests(instruction)
    keep_tests = look.tests == "keep" or (look.tests == "asked" and asked_for_tests)
    if look.code_only:
        comments = look.comments or sections.language != PYTHON
        response = (sections.code if comments else strip_comments(sections.code)).strip()
    else:
        parts = {
            "Reasoning": sections.reasoning if keep_reasoning else None,
            "Implementation": sections.implementation,
            "Explanation": sections.explanation if keep_explanation else None,
            "Tests": sections.tests_section if keep_tests else None,
        }
        if not look.comments:
            parts = {tag: _without_comments(text) if text is not None else None for tag, text in parts.items()}
        response = _join(parts, look.tags)
    if sections.language != PYTHON:
        append_tests = False  # single assertions can be told apart only in Python
    if append_tests and not asked_for_tests and not _has_example(instruction):
        shown = _shown_tests(sections.tests, generator(seed, "asserts", row_id))
        if shown:
            instruction = f"{instruction}\n\n{shown}"
    return instruction, response


def _speaks_of_tests(instruction: str) -> bool:
    # The expression alone would take most of the time of a row, and nearly never matches.
    return "test" in instruction.lower() and _SPEAKS_OF_TESTS.search(instruction) is not None


def _has_example(instruction: str) -> bool:
    lowered = instruction.lower()
    return ("assert" in lowered or "for example" in lowered) and _HAS_EXAMPLE.search(instruction) is not None


def _join(parts: dict[str, str | None], tags: bool) -> str:
    """The kept parts. With tags, empty parts are included, so that the sections can be read back."""
    if tags:
        return "\n\n".join(f"[{tag}]\n{text}" for tag, text in parts.items() if text is not None)
    return "\n\n".join(text for text in parts.values() if text)


def _shown_tests(tests: str, random: Random) -> str:
    """The text to add to an instruction: some of the asserts, or the whole block if it contains more than asserts."""
    code = strip_comments(tests).strip()
    lines = [line for line in code.splitlines() if line.strip()]
    # Shortcut: an unindented line that begins otherwise (and is not a closing bracket) means more than asserts.
    mixed = any(line[0] not in " \t)]}" and not line.startswith("assert") for line in lines)
    asserts = [] if mixed else assert_statements(code)
    if asserts and (len(asserts) == len(lines) or "\n".join(asserts).split() == code.split()):
        count = min(random.randint(1, _MOST_ASSERTS), len(asserts))
        chosen = sorted(random.sample(range(len(asserts)), count))
        shown = "\n".join(asserts[index] for index in chosen)
        heading = "Your code should pass the following assertion" + ("s:" if len(chosen) > 1 else ":")
        if len(shown.splitlines()) > _MOST_ASSERTS:
            return ""
        return f"{heading}\n{render_fence(shown)}"
    if len(lines) <= _MOST_ASSERTS and has_assert(code):
        return f"Your code should pass the following test case:\n{render_fence(code)}"
    return ""


def _without_comments(markdown: str) -> str:
    """A Markdown text without the comments in its closed Python blocks; a block of only comments stays."""
    if "#" not in markdown:
        return markdown
    pieces: list[str] = []
    position = 0
    for fence in find_fences(markdown):
        if not (fence.is_python and fence.closed):
            continue
        stripped = strip_comments(fence.code)
        if not stripped.strip() or stripped == fence.code:
            continue
        pieces.append(markdown[position : fence.start])
        pieces.append(replace_code(markdown, fence, stripped))
        position = fence.end
    pieces.append(markdown[position:])
    return "".join(pieces)
