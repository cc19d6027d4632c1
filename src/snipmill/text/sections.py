"""The four-section response: [Reasoning] [Implementation] [Explanation] [Tests], parsed once, rendered last.

The rules are those of StarCoder2-Instruct: each tag exactly once and in this order, at least one Python block in the
implementation, exactly one fenced block in the tests, a Python one and closed. What follows that block is dropped. Where the
task is in another language, the blocks have to be in that one.
Does not cover whether the code is right, or even Python: see `text.code` and the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass

from snipmill.languages import PYTHON
from snipmill.text.fences import find_fences, render_fence

TAGS = ("Reasoning", "Implementation", "Explanation", "Tests")


@dataclass(frozen=True, slots=True)
class Sections:
    """A well-formed response. `tests` is the code of the tests block alone; the others are Markdown."""

    reasoning: str
    implementation: str
    explanation: str
    tests: str
    language: str = PYTHON

    @property
    def code(self) -> str:
        """The code of all blocks of the implementation that are in its language, in order."""
        blocks = (fence for fence in find_fences(self.implementation) if fence.is_in(self.language))
        return "\n\n".join(fence.code.rstrip() for fence in blocks)


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a text is no four-section response: a stable reason code and a sentence."""

    reason: str
    detail: str


def parse_sections(text: str, language: str = PYTHON) -> Sections | Malformed:
    """The sections of a response, or the first rule that it breaks.

    Args:
        text: the response.
        language: of the task.
    """
    bounds = _tag_bounds(text)
    if isinstance(bounds, Malformed):
        return bounds
    bodies = [
        text[bounds[i][1] : bounds[i + 1][0] if i + 1 < len(bounds) else len(text)].strip() for i in range(len(TAGS))
    ]
    if text[: bounds[0][0]].strip():
        return Malformed("text-before-reasoning", "Text stands before [Reasoning].")
    reasoning, implementation, explanation, tests = bodies
    if not any(fence.is_in(language) and fence.closed for fence in find_fences(implementation)):
        return Malformed("no-implementation", f"[Implementation] holds no closed ```{language.lower()} block.")
    blocks = find_fences(tests)
    if not blocks:
        return Malformed("no-tests", "[Tests] holds no fenced block.")
    if not blocks[0].is_in(language):
        reason = "tests-not-python" if language == PYTHON else "tests-in-other-language"
        return Malformed(reason, f"The block in [Tests] is marked {blocks[0].info!r}, not {language.lower()}.")
    if not blocks[0].closed:
        return Malformed("tests-not-closed", "The block in [Tests] is never closed.")
    if len(blocks) > 1:
        return Malformed("several-test-blocks", f"[Tests] holds {len(blocks)} fenced blocks, not one.")
    return Sections(reasoning, implementation, explanation, blocks[0].code.rstrip(), language)


def _tag_bounds(text: str) -> list[tuple[int, int]] | Malformed:
    bounds: list[tuple[int, int]] = []
    for tag in TAGS:
        label = f"[{tag}]"
        count = text.count(label)
        if count == 0:
            return Malformed("tag-missing", f"{label} does not occur.")
        if count > 1:
            return Malformed("tag-repeated", f"{label} occurs {count} times.")
        start = text.index(label)
        if bounds and start < bounds[-1][0]:
            return Malformed("tags-out-of-order", f"{label} stands before [{TAGS[len(bounds) - 1]}].")
        bounds.append((start, start + len(label)))
    return bounds


def render_sections(sections: Sections) -> str:
    """The response as the few-shot examples show it; `parse_sections` reads it back unchanged."""
    return (
        f"[Reasoning]\n{sections.reasoning}\n\n[Implementation]\n{sections.implementation}\n\n"
        f"[Explanation]\n{sections.explanation}\n\n[Tests]\n{render_fence(sections.tests, sections.language.lower())}"
    )


def cut_after_tests(text: str) -> str | None:
    """The text up to the end of the first fenced block after [Tests], or None while that block is not closed.

    What a model writes after it is dropped anyway, so a stream can be stopped there.
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
    """Whether no continuation can make this beginning of a response well-formed, so that its stream can be stopped."""
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
