from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.text.fences import render_fence
from snipmill.text.sections import (
    Malformed,
    Sections,
    cut_after_tests,
    is_hopeless,
    parse_sections,
    render_sections,
)
from tests.conftest import RESPONSE

prose = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="[]`~\r"), max_size=60).map(str.strip)
code = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="[]~\r"), min_size=1, max_size=60).map(
    lambda text: "\n".join(line for line in text.split("\n") if not line.strip().startswith("`")).rstrip()
)


@given(prose, prose, prose, code)
def test_parse_reads_back_what_render_wrote(reasoning: str, before: str, explanation: str, tests: str) -> None:
    implementation = f"{before}\n```python\nx = 1\n```".strip()
    sections = Sections(reasoning, implementation, explanation, f"{before}\n{render_fence(tests)}".strip(), tests)
    assert parse_sections(render_sections(sections)) == sections


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("[Tests]", ""), "tag-missing"),
        (("[Explanation]", "[Reasoning]"), "tag-repeated"),
        (("It multiplies.", "See [Tests]."), "tag-repeated"),
        (("[Implementation]", "See [Tests].\n[Implementation]"), "tag-repeated"),
        (("[Reasoning]", "[Explanation]\n[Reasoning]"), "tag-repeated"),
        (("[Reasoning]", "Hello\n[Reasoning]"), "text-before-reasoning"),
        (("```python\ndef", "```\ndef"), "no-implementation"),
        (("```python\nassert", "```js\nassert"), "tests-not-python"),
        (("== 4\n```", "== 4\n"), "tests-not-closed"),
        (("== 4\n```", "== 4\n```\n\n```python\nassert 1\n```"), "several-test-blocks"),
    ],
)
def test_each_rule_has_a_reason(change: tuple[str, str], reason: str) -> None:
    broken = RESPONSE.replace(*change)
    assert broken != RESPONSE
    parsed = parse_sections(broken)
    assert isinstance(parsed, Malformed)
    assert parsed.reason == reason


def test_sections_out_of_order_are_refused() -> None:
    head, rest = RESPONSE.split("[Implementation]")
    middle, tests = rest.split("[Explanation]")
    parsed = parse_sections(f"{head}[Explanation]{tests}[Implementation]{middle}")
    assert isinstance(parsed, Malformed)


@given(st.integers(0, len(RESPONSE)), st.text(max_size=40))
def test_the_cut_does_not_depend_on_when_it_is_looked_for(length: int, after: str) -> None:
    whole = RESPONSE + "\n" + after
    assert cut_after_tests(RESPONSE[:length]) is None
    assert cut_after_tests(whole) == RESPONSE


@given(st.integers(0, len(RESPONSE)))
def test_a_good_response_is_never_hopeless_on_its_way(length: int) -> None:
    assert not is_hopeless(RESPONSE[:length])


@pytest.mark.parametrize("text", ["[Reasoning]\nx\n[Reasoning]\n", "Sure! Here is the code:", "[Reasoning]\n[Tests]\n"])
def test_a_spoilt_response_is_hopeless(text: str) -> None:
    assert is_hopeless(text)


LED = RESPONSE.replace("[Tests]\n```python", "[Tests]\nThe edge cases:\n\n```py")


def test_words_before_the_tests_stay_to_the_letter() -> None:
    assert LED != RESPONSE
    sections = parse_sections(LED)
    assert isinstance(sections, Sections)
    assert sections.tests_section.startswith("The edge cases:\n\n```py\nassert") and "```" not in sections.tests
    assert render_sections(sections).split() == LED.split()
    changed = parse_sections(render_sections(sections.with_tests("assert 1")))
    assert isinstance(changed, Sections)
    assert changed.tests == "assert 1" and changed.tests_section.startswith("The edge cases:\n\n```python\n")


def test_a_section_may_begin_with_an_indented_block() -> None:
    indented = RESPONSE.replace("[Implementation]\n", "[Implementation]\n\n").replace(
        "```python\ndef", "  ```python\n  def"
    )
    indented = indented.replace("\n    return", "\n      return").replace(
        "\n```\n\n[Explanation]", "\n  ```\n\n[Explanation]"
    )
    sections, expected = parse_sections(indented), parse_sections(RESPONSE)
    assert isinstance(sections, Sections) and isinstance(expected, Sections)
    assert "  ```" in indented and sections.code == expected.code
