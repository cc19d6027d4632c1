"""An answer that is right but wears its tags differently is read as what it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.text.chat_sections import cut_chat, from_chat, is_hopeless_chat
from snipmill.text.sections import Malformed, Sections, cut_after_tests, parse_sections
from tests.conftest import RESPONSE

TAGS = ("Reasoning", "Implementation", "Explanation", "Tests")
STYLES = (
    "[{}]",
    "**[{}]**",
    "## {}",
    "### [{}]",
    "[{}]:",
    "**{}**",
    "**{}:**",
    "**{}**:",
    "{}:",
    "#### 2. {}",
    "## **{}**",
    "__[{}]__",
    "## [{}]:",
    "1. **{}**",
)
_PARSED = parse_sections(RESPONSE)
assert isinstance(_PARSED, Sections)
EXPECTED: Sections = _PARSED
LEADS = ("", "Sure! Here is the solution:\n\n", "\n\n", "Let me solve this step by step.\n")


def dressed(styles: list[str], fence: str = "```", lower: bool = False) -> str:
    text = RESPONSE.replace("```", fence)
    for tag, style in zip(TAGS, styles, strict=True):
        name = tag.lower() if lower and "[" in style else tag
        text = text.replace(f"[{tag}]", style.format(name))
    return text


four_styles = st.lists(st.sampled_from(STYLES), min_size=4, max_size=4)


@given(four_styles, st.sampled_from(LEADS), st.sampled_from(["```", "~~~", "````", "~~~~"]), st.booleans())
def test_tags_in_any_dress_mean_the_same(styles: list[str], lead: str, fence: str, lower: bool) -> None:
    text = from_chat(lead + dressed(styles, fence, lower))
    assert text.startswith("[Reasoning]\n")
    parsed = parse_sections(text)
    assert isinstance(parsed, Sections), parsed
    assert (parsed.code, parsed.tests) == (EXPECTED.code, EXPECTED.tests)
    assert (parsed.reasoning, parsed.explanation) == (EXPECTED.reasoning, EXPECTED.explanation)
    assert "~~~" not in text


@pytest.mark.parametrize("wrapper", ["```", "```markdown", "````md", "~~~", "```text"])
def test_a_fence_around_everything_is_taken_off(wrapper: str) -> None:
    closing = wrapper.rstrip("markdowntx")
    text = from_chat(f"{wrapper}\n{RESPONSE}\n{closing}")
    assert cut_after_tests(text + "\n") == RESPONSE


def test_what_is_well_formed_stays_to_the_letter() -> None:
    assert from_chat(RESPONSE) == RESPONSE
    assert from_chat(f"{RESPONSE}\nAnything.") == f"{RESPONSE}\nAnything."


def test_a_tag_with_text_behind_it_keeps_the_text() -> None:
    text = from_chat(RESPONSE.replace("[Explanation]\n", "**[Explanation]** "))
    parsed = parse_sections(text)
    assert isinstance(parsed, Sections) and parsed.explanation == EXPECTED.explanation


@pytest.mark.parametrize(
    "text",
    [
        RESPONSE.replace("[Tests]", "Now the tests"),
        RESPONSE.replace("[Tests]", "Tests"),
        RESPONSE.replace("```python\nassert", "```\nassert"),
        "I will think about this first. " * 30 + RESPONSE,
        "```python\nx = 1\n```\n" + RESPONSE,
        RESPONSE + "\n\n[Tests]\n```python\nassert 1\n```",
    ],
    ids=["no tag", "a bare word", "no language", "a long lead", "code before", "two tests"],
)
def test_nothing_else_is_loosened(text: str) -> None:
    assert isinstance(parse_sections(from_chat(text)), Malformed)


@given(four_styles, st.sampled_from(LEADS), st.integers(0, 600))
def test_a_good_answer_is_neither_left_too_early_nor_read_to_no_end(styles: list[str], lead: str, length: int) -> None:
    whole = lead + dressed(styles) + "\n"
    part = whole[: min(length, len(whole) - 5)]
    assert cut_chat(part) is None and not is_hopeless_chat(part)
    assert cut_chat(whole) == whole.rstrip()
    assert cut_chat(whole + "And so on") == whole.rstrip()


HEADINGS = (
    ("It multiplies.", "Tests:\nIt multiplies."),
    ("Twice is", "### Implementation\nTwice is"),
    ("Twice is", "**Explanation**\nTwice is"),
    ("[Explanation]\n", "[Explanation]\n## Explanation\n"),
    ("[Reasoning]\n", "[Reasoning]\nReasoning:\n"),
)


@pytest.mark.parametrize(("before", "after"), HEADINGS)
def test_a_heading_within_a_section_is_no_tag_where_tags_are_in_brackets(before: str, after: str) -> None:
    text = RESPONSE.replace(before, after)
    assert text != RESPONSE and isinstance(parse_sections(text), Sections)
    assert isinstance(parse_sections(from_chat(text)), Sections)
    for end in range(len(text)):
        assert not is_hopeless_chat(text[:end])
    assert cut_chat(text + "\n") == text


def test_a_draft_within_a_thought_is_not_taken() -> None:
    assert cut_chat(f"Okay, so I draft it first.\n\n{RESPONSE}\n") is None


def test_an_answer_with_a_second_reasoning_is_hopeless() -> None:
    assert is_hopeless_chat("**[Reasoning]**\nx\n## [Reasoning]\ny")
    assert is_hopeless_chat("## Reasoning\nx\n## Reasoning\ny")
    assert not is_hopeless_chat("Okay, tests come last.\n\n[Tests]\nand then\n[Reasoning]\n")
    assert not is_hopeless_chat("Okay, I should write [Reasoning] twice. [Reasoning] " + "and so on " * 60)


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    assert isinstance(from_chat(text), str)
    cut_chat(text)
    is_hopeless_chat(text)
