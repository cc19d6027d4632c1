from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.config import LookTable, SelectTable, Style
from snipmill.records import Evidence, Reject, Row
from snipmill.selection.choose import Keep
from snipmill.selection.sanitize import sanitize
from snipmill.selection.styles import resolve_look
from snipmill.stages.fewshot_files import load_bank
from snipmill.stages.select_rows import select_rows
from snipmill.text.code import strip_comments, syntax_error
from snipmill.text.fences import python_fences
from snipmill.text.sections import Sections, parse_sections
from tests.conftest import RESPONSE


def row(name: str, **changes: object) -> Row:
    fields = {"id": name, "seed": "", "concepts": [], "instruction": f"Do {name}.", "response": RESPONSE + f"\n{name}"}
    return Row(**{**fields, **changes})  # type: ignore[arg-type]


def select(rows: list[Row], *, seed: int, keep: Keep = "one", name_diversity: bool = False) -> list[Row | Reject]:
    """The rows that stay, then the rejects, by exact duplicates alone."""
    table = SelectTable(keep=keep, name_diversity=name_diversity, near_instructions=0, near_code=0, decontaminate=False)
    rejects: list[Reject] = []
    return [*select_rows(rows, table, seed, rejects.append), *rejects]


def kept(rows: list[Row], **options: object) -> list[str]:
    return [out.id for out in select(rows, seed=3, **options) if isinstance(out, Row)]  # type: ignore[arg-type]


ROWS = [row(f"r-{n}", response=f"answer {n}") for n in range(40)]


def test_the_order_of_the_input_changes_nothing() -> None:
    rows = [*ROWS, *(row(f"x-{n}", instruction=f"Do r-{n}.", response=f"other {n}") for n in range(20))]
    expected = kept(rows)
    for attempt in range(5):
        shuffled = rows[:]
        random.Random(attempt).shuffle(shuffled)
        assert kept(shuffled) == expected
    assert len(expected) == 40
    assert kept(rows, keep="all") != kept(rows)


def test_duplicates_up_to_white_space_are_dropped() -> None:
    rows = [row("a", instruction="Do  it.", response="x y"), row("b", instruction="Do it.", response="z")]
    (outcome,) = [out for out in select(rows, seed=1) if isinstance(out, Reject)]
    assert outcome.reason in ("duplicate-instruction", "not-chosen")
    rows = [row("a", response="x y"), row("b", response="x  y\n")]
    assert [out.reason for out in select(rows, seed=1) if isinstance(out, Reject)] == ["duplicate-response"]


def test_names_are_a_key_set_of_their_own() -> None:
    def code(name: str, body: str) -> str:
        return f"```python\ndef {name}():\n    {body}\n```"

    rows = [
        row("a", response=code("f", "return 1")),
        row("b", response=code("f", "return 2")),
        row("c", response="no code"),
        row("d", response="no code either"),
    ]
    assert len(kept(rows)) == 4
    dropped = [out.reason for out in select(rows, seed=1, name_diversity=True) if isinstance(out, Reject)]
    assert dropped == ["duplicate-names"]


def test_one_row_for_each_instruction_unless_all_are_wanted() -> None:
    rows = [
        row(f"s-{n}", instruction="Same.", response=f"answer {n}", parents={"instruction": "i-1"}) for n in range(5)
    ]
    assert len(kept(rows)) == 1
    assert len(kept(rows, keep="all")) == 5


@pytest.mark.parametrize("style", ["raw", "plain", "smart", "codeonly"])
def test_sanitising_its_own_output_changes_nothing(style: Style) -> None:
    for n in range(30):
        once = sanitize(row(f"r-{n}", response=RESPONSE), resolve_look(style), 1)
        assert isinstance(once, Row)
        assert sanitize(once, resolve_look(style), 1) == once
        assert once.style == style
        assert all(syntax_error(fence.code) is None for fence in python_fences(once.response))


def test_what_a_style_keeps_it_keeps_to_the_letter() -> None:
    led = RESPONSE.replace("[Tests]\n```python", "[Tests]\nThe edge cases:\n\n```py").replace(
        "It multiplies.", "It  multiplies.\n"
    )
    assert led != RESPONSE
    raw = sanitize(row("a", response=led), resolve_look("raw"), 1)
    assert isinstance(raw, Row) and raw.response.split() == led.split() and "It  multiplies." in raw.response
    plain = sanitize(row("a", response=led), resolve_look("plain"), 1)
    assert isinstance(plain, Row) and "The edge cases:\n\n```py\nassert" in plain.response
    asked = sanitize(row("a", instruction="With tests.", response=led), resolve_look("smart"), 1)
    assert isinstance(asked, Row) and "The edge cases:" in asked.response


def test_comments_go_from_every_block_and_from_nothing_else() -> None:
    shown = "It multiplies. # 1\n\n- As in\n  ```python\n  double(2)  # 4\n  # no more\n  ```\n```text\n# stays\n```"
    look = resolve_look("plain", LookTable(comments=False))
    once = sanitize(row("a", response=RESPONSE.replace("It multiplies.", shown)), look, 1)
    assert isinstance(once, Row)
    assert "It multiplies. # 1\n\n- As in\n  ```python\n  double(2)\n  ```\n```text\n# stays\n```" in once.response


def test_smart_varies_by_row_and_by_nothing_else() -> None:
    commented = RESPONSE.replace("    return", "    # twice\n    return")
    outs = [sanitize(row(f"r-{n}", response=commented), resolve_look("smart"), 1) for n in range(200)]
    rows = [out for out in outs if isinstance(out, Row)]
    assert len(rows) == 200
    shares = [
        sum("Twice is a product." in out.response for out in rows),
        sum("It multiplies." in out.response for out in rows),
        sum("Your code should pass the following assertion:" in out.instruction for out in rows),
    ]
    assert all(70 < share < 130 for share in shares), shares
    assert not any("assert" in out.response or "# twice" in out.response for out in rows)
    alone = sanitize(row("r-7", response=commented), resolve_look("smart"), 1)
    assert alone == rows[7]


def test_tests_stay_where_the_instruction_speaks_of_them() -> None:
    out = sanitize(row("a", instruction="Write it, with unit tests.", response=RESPONSE), resolve_look("smart"), 1)
    assert isinstance(out, Row) and "assert double" in out.response


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("assert double(2) == 4", "print(double(2))"), "tests-without-assert"),
        (("assert double(2) == 4", "def test():\n    assert double(2) == 4"), "tests-not-called"),
        (("return 2 * x", "return 2 * x  # TODO"), "incomplete"),
        (("return 2 * x", "raise NotImplementedError"), "incomplete"),
    ],
)
def test_each_rule_has_a_reason(change: tuple[str, str], reason: str) -> None:
    out = sanitize(row("a", response=RESPONSE.replace(*change)), resolve_look("smart"), 1)
    assert isinstance(out, Reject) and out.reason == reason


@pytest.mark.parametrize("tests", ["def test():\n    assert double(2) == 4", "unittest.main()"])
def test_what_passed_in_the_sandbox_needs_no_form(tests: str) -> None:
    """The sandbox ran the tests and saw their checks, whichever framework they are written for."""
    passed = row(
        "a",
        response=RESPONSE.replace("assert double(2) == 4", tests),
        verdict=Evidence(status="passed", checks_executed=1),
    )
    assert isinstance(sanitize(passed, resolve_look("smart"), 1), Row)
    refused = sanitize(row("a", response=passed.response), resolve_look("smart"), 1)
    assert isinstance(refused, Reject)


def test_words_are_matched_as_words() -> None:
    out = sanitize(row("a", response=RESPONSE.replace("double", "mastodon_todos")), resolve_look("smart"), 1)
    assert isinstance(out, Row)


SWITCHES = st.fixed_dictionaries(
    {
        "tags": st.sampled_from([None, True, False]),
        "comments": st.sampled_from([None, True, False]),
        "tests": st.sampled_from([None, "keep", "drop", "asked"]),
        "reasoning": st.sampled_from([None, 0.0, 0.5, 1.0]),
        "explanation": st.sampled_from([None, 0.0, 0.5, 1.0]),
        "shown_asserts": st.sampled_from([None, 0.0, 1.0]),
        "refuse_incomplete": st.sampled_from([None, True, False]),
    }
)
CODES = st.sampled_from(
    [example.response for example in load_bank(None).examples]
    + [RESPONSE, RESPONSE.replace("return", "#x\n    return")]
)


@given(st.sampled_from(["raw", "plain", "smart", "codeonly"]), SWITCHES, CODES, st.integers(0, 50))
def test_any_combination_of_switches_works(style: Style, switches: dict[str, Any], response: str, number: int) -> None:
    look = resolve_look(style, LookTable(**switches))
    out = sanitize(row(f"r-{number}", response=response), look, 1)
    assert isinstance(out, Row)
    assert sanitize(out, look, 1) == out
    code = out.response if style == "codeonly" else "\n".join(f.code for f in python_fences(out.response))
    assert syntax_error(code) is None and code.strip()
    if switches["comments"] is False and style != "codeonly":
        assert strip_comments(code).split() == code.split()
    whole = look.tags and look.tests == "keep" and look.reasoning == look.explanation == 1 and not look.code_only
    if whole:
        sections = parse_sections(out.response)
        assert isinstance(sections, Sections)
        if look.comments:
            assert sections == parse_sections(response)
