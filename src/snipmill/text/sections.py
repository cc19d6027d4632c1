"""The four-section response: [Reasoning] [Implementation] [Explanation] [Tests].

The rules are those of StarCoder2-Instruct: each tag exactly once and in this order; at least one Python block in the
implementation; exactly one fenced block in the tests, which must be Python and closed. Text after that block is
dropped; text before it stays. For a task in another language, the blocks must be in that language. Does not cover
whether the code is right, or even valid: see `text.code` and the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from snipmill.languages import PYTHON
from snipmill.reasons import Reason
from snipmill.text.fences import find_fences, render_fence

TAGS = ("Reasoning", "Implementation", "Explanation", "Tests")
_LABELS = tuple(f"[{tag}]" for tag in TAGS)


class Sections(NamedTuple):
    """A well-formed response, in Markdown as it was written.

    Attributes:
        reasoning, implementation, explanation: the text of each section.
        tests_section: the text of [Tests], up to the end of its block.
        tests: the code of that block.
        language: of the task.
    """

    reasoning: str
    implementation: str
    explanation: str
    tests_section: str
    tests: str
    language: str = PYTHON

    def with_tests(self, tests: str) -> Sections:
        """The same response with other tests, under the same words."""
        block = find_fences(self.tests_section)[0]
        section = f"{self.tests_section[: block.start]}{render_fence(tests, self.language.lower())}"
        return self._replace(tests_section=section, tests=tests)

    @property
    def code(self) -> str:
        """The code of all blocks of the implementation that are in its language, in order."""
        blocks = (fence for fence in find_fences(self.implementation) if fence.is_in(self.language))
        return "\n\n".join(fence.code.rstrip() for fence in blocks)


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a text is not a four-section response: a stable reason code and a sentence."""

    reason: Reason
    detail: str


def parse_sections(text: str, language: str = PYTHON) -> Sections | Malformed:
    """The sections of a response, or the first rule that it breaks.

    Args:
        text: the response.
        language: the task's language.
    """
    bounds = _tag_bounds(text)
    if isinstance(bounds, Malformed):
        return bounds
    ends = [start for start, _ in bounds[1:]] + [len(text)]
    bodies = [_trimmed(text[start:end]) for (_, start), end in zip(bounds, ends, strict=True)]
    if text[: bounds[0][0]].strip():
        return Malformed(Reason.TEXT_BEFORE_REASONING, "There is text before [Reasoning].")
    reasoning, implementation, explanation, tests = bodies
    if not any(fence.is_in(language) and fence.closed for fence in find_fences(implementation)):
        return Malformed(Reason.NO_IMPLEMENTATION, f"[Implementation] contains no closed ```{language.lower()} block.")
    blocks = find_fences(tests)
    if not blocks:
        return Malformed(Reason.NO_TESTS, "[Tests] contains no fenced block.")
    if not blocks[0].is_in(language):
        reason = Reason.TESTS_NOT_PYTHON if language == PYTHON else Reason.TESTS_IN_OTHER_LANGUAGE
        return Malformed(reason, f"The block in [Tests] is marked {blocks[0].info!r}, not {language.lower()}.")
    if not blocks[0].closed:
        return Malformed(Reason.TESTS_NOT_CLOSED, "The block in [Tests] is never closed.")
    if len(blocks) > 1:
        return Malformed(Reason.SEVERAL_TEST_BLOCKS, f"[Tests] contains {len(blocks)} fenced blocks; it must have one.")
    tests_section = tests[: blocks[0].end].rstrip()
    return Sections(reasoning, implementation, explanation, tests_section, blocks[0].code.rstrip(), language)


def _trimmed(body: str) -> str:
    """A section without the white space around it. A block that it begins with keeps its indentation."""
    text = body.strip()
    if not text.startswith(("```", "~~~")) or body.startswith("\n" + text[:1]):
        return text
    start = len(body) - len(body.lstrip())
    return body[body.rfind("\n", 0, start) + 1 or start :].rstrip()


def _tag_bounds(text: str) -> list[tuple[int, int]] | Malformed:
    bounds: list[tuple[int, int]] = []
    end = 0
    for label in _LABELS:
        start = text.find(label)
        if start < end or text.find(label, start + 1) >= 0:
            return _what_is_wrong_with_tags(text)
        end = start + len(label)
        bounds.append((start, end))
    return bounds


def _what_is_wrong_with_tags(text: str) -> Malformed:
    """The first tag that is missing, repeated, or out of order."""
    last, before = -1, ""
    for label in _LABELS:
        count = text.count(label)
        if count == 0:
            return Malformed(Reason.TAG_MISSING, f"{label} is missing.")
        if count > 1:
            return Malformed(Reason.TAG_REPEATED, f"{label} occurs {count} times; exactly one is allowed.")
        start = text.index(label)
        if start < last:
            return Malformed(Reason.TAGS_OUT_OF_ORDER, f"{label} comes before {before}.")
        last, before = start, label
    raise AssertionError("the tags are in order")


def render_sections(sections: Sections) -> str:
    """The response as the few-shot examples show it; `parse_sections` reads it back unchanged."""
    return (
        f"[Reasoning]\n{sections.reasoning}\n\n[Implementation]\n{sections.implementation}\n\n"
        f"[Explanation]\n{sections.explanation}\n\n[Tests]\n{sections.tests_section}"
    )


def cut_after_tests(text: str) -> str | None:
    """The text up to the end of the first fenced block after [Tests], or None while that block is not closed.

    Anything that a model writes after it is dropped, so a stream can be stopped there.
    """
    tag = text.find("[Tests]")
    if tag < 0:
        return None
    # A last line without its newline may still grow: "```" could become "```python".
    complete = text.rfind("\n") + 1
    blocks = find_fences(text[tag:complete]) if complete > tag else []
    if blocks and blocks[0].closed:
        return text[: tag + blocks[0].end].rstrip()
    return None


def is_hopeless(text: str) -> bool:
    """Whether no continuation can make this partial response well-formed, so that its stream can be stopped."""
    positions = [text.find(f"[{tag}]") for tag in TAGS]
    if any(text.count(f"[{tag}]") > 1 for tag in TAGS):
        return True
    seen = [position for position in positions if position >= 0]
    if seen != sorted(seen):
        return True
    found = [position >= 0 for position in positions]
    if found != sorted(found, reverse=True):
        return True
    lead = text.lstrip()
    return len(lead) >= len("[Reasoning]") and not lead.startswith("[Reasoning]")
