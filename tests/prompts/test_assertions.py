"""Assertions from the instruction alone: how they are asked for, and which of an answer's lines are some."""

from __future__ import annotations

import pytest

from snipmill.prompts.assertions import STAGE, asking_for, assertion_lines, bank_of, cut_after, system
from snipmill.prompts.stage import Draws
from snipmill.records import Completion, Instruction, WrittenTests
from snipmill.stages.fewshot_files import load_bank
from snipmill.text.sections import Malformed

RECORD = Instruction(id="i-1", seed="", concepts=[], instruction="Write a function that doubles `x`.")


def parse(text: str) -> WrittenTests | Malformed:
    return STAGE.parse(RECORD, "a-1", 0, Completion(text=text, finish_reason="stop"), Draws())


def test_the_examples_are_the_assertions_of_the_bank_and_show_no_code() -> None:
    bank = bank_of(load_bank(None), 3)
    usable = bank.usable("I->T")
    assert len(usable) >= 8 and all(
        1 <= example.response.count("assert") <= 3 for example in usable if example.response
    )
    prompt = STAGE.build(RECORD, usable[:2], bank.systems["I->T"], Draws())
    assert "3" in prompt.system and prompt.question.endswith("### Assertions") and RECORD.instruction in prompt.question
    assert not any("def " in answer or "```" in answer for _, answer in prompt.examples)
    assert "at most 1." in system(1)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("assert double(2) == 4\nassert double(0) == 0\n", ["assert double(2) == 4", "assert double(0) == 0"]),
        ("Here they are:\n```python\nassert double(2) == 4\n```\nDone.", ["assert double(2) == 4"]),
        ("```\nassert double(2) == 4\nassert double(2) == 4", ["assert double(2) == 4"]),  # never closed, and twice
        ("  assert double(2) == 4  # indented\nassert double(", ["assert double(2) == 4  # indented"]),
        ("def f():\n    pass\nassert f() is None", ["assert f() is None"]),
    ],
)
def test_lines_that_are_assertions_are_kept(text: str, lines: list[str]) -> None:
    found = parse(text)
    assert isinstance(found, WrittenTests) and found.tests.splitlines() == lines
    assert found.parents == {"instruction": "i-1"} and found.id == "a-1"


@pytest.mark.parametrize(
    "text", ["", "It doubles.", "assert True", "assert 1 == 1", "assert", "asserting(1)", "assert f(" * 900]
)
def test_an_answer_without_a_check_is_malformed(text: str) -> None:
    found = parse(text)
    assert isinstance(found, Malformed) and found.reason == "no-assertions"
    assert assertion_lines(text) == []


def test_an_answer_ends_with_the_last_assertion_that_was_asked_for() -> None:
    text = "assert f(1) == 1\nassert f(1) == 1\nassert f(2) == 2\nassert f(3) == 3\n"
    assert cut_after(text, 2) == "assert f(1) == 1\nassert f(1) == 1\nassert f(2) == 2\n"
    assert cut_after(text, 9) is None
    assert cut_after("assert f(1) == 1\nassert f(2) == 2", 2) is None  # the last line may go on
    stage = asking_for(1)
    assert (
        stage.cut is not None and stage.cut("assert f(1) == 1\n") == "assert f(1) == 1\n" and stage.name == STAGE.name
    )
