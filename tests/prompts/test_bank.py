"""Our own few-shot examples: well-formed, varied, and every one passes its own tests in the sandbox."""

from __future__ import annotations

import asyncio

import pytest

from snipmill.errors import UsageError
from snipmill.prompts.fewshot import Bank, Shots, draw_examples, parse_bank, parse_original_bank
from snipmill.records import Verdict
from snipmill.sandbox.driver import Sandbox
from snipmill.selection.wellformed import check_sections
from snipmill.stages.fewshot_files import load_bank
from snipmill.text.code import syntax_error
from snipmill.text.sections import Sections, parse_sections, render_sections
from snipmill.verification.programs import ParsedResponse, parse_response


@pytest.fixture(scope="module")
def bank() -> Bank:
    return load_bank(None)


def test_there_are_enough_and_they_vary(bank: Bank) -> None:
    assert len(bank.usable("I->R")) >= 32
    assert {example.category for example in bank.examples} == {"function", "class", "program"}
    assert {example.difficulty for example in bank.examples} == {"easy", "medium", "hard"}
    concepts = [concept for example in bank.examples for concept in example.concepts]
    assert len(set(concepts)) >= 50
    assert len({example.instruction for example in bank.examples}) == len(bank.examples)


def test_every_example_is_what_we_ask_of_a_model(bank: Bank) -> None:
    for example in bank.examples:
        assert syntax_error(example.snippet) is None, example.name
        assert example.response is not None
        sections = parse_sections(example.response)
        assert isinstance(sections, Sections), (example.name, sections)
        assert check_sections(sections, incomplete=True) is None, example.name
        assert parse_sections(render_sections(sections)) == sections
        assert 2 <= len(example.concepts) <= 6


def test_every_example_passes_its_tests_in_the_sandbox(bank: Bank) -> None:
    async def run_all() -> dict[str, Verdict]:
        async with Sandbox() as sandbox:
            verdicts = {}
            for example in bank.examples:
                assert example.response is not None
                parsed = parse_response(example.response)
                assert isinstance(parsed, ParsedResponse)
                verdicts[example.name] = await sandbox.run(parsed.program)
            return verdicts

    for name, verdict in asyncio.run(run_all()).items():
        assert verdict.status == "passed", (name, verdict)
        assert verdict.checks_executed >= 3, name


def test_draws_depend_on_the_record_and_on_nothing_else(bank: Bank) -> None:
    def drawn(record: str, draws: int) -> list[str]:
        return [example.name for example in draw_examples(bank, "S->C", Shots(8, draws, 1), record)]

    assert drawn("a", 0) == drawn("a", 0) != drawn("b", 0)
    assert len({tuple(drawn(str(number), 3)) for number in range(60)}) == 3
    assert len({tuple(drawn(str(number), 0)) for number in range(60)}) > 50
    with pytest.raises(UsageError, match="41"):
        draw_examples(bank, "S->C", Shots(41, 0, 1), "a")


def test_response_examples_can_be_named(bank: Bank) -> None:
    only = bank.answering_with(["38-digit-sum"])
    assert [example.name for example in only.usable("I->R")] == ["38-digit-sum"]
    assert len(only.usable("C->I")) == len(bank.examples) and bank.answering_with([]) == bank
    with pytest.raises(UsageError, match="no example 'x'"):
        bank.answering_with(["x"])


ORIGINAL = """### System: I->R
Solve.

### System: C->I
Write.

### System: S->C
Read.

### Example 1
[Code]
def f(x):
    return x

[Property]
category: code generation (class implementation)
language: Python
concepts: one, two
difficulty: hard

[Instruction]
Do it.

[Solution]
done

[Response]
[Reasoning]
Because.

### Example 2
[Code]
g = 1
[Property]
category: code generation (function implementation)
language: Rust
concepts: three
difficulty: medium
[Instruction]
Do that.
[Solution]

[Response]

"""


def test_the_original_format_is_read() -> None:
    bank = parse_original_bank(ORIGINAL)
    first, second = bank.examples
    assert bank.systems["I->R"] == "Solve." and bank.systems["S->C"] == "Read."
    assert (first.category, first.concepts, first.response) == ("class", ("one", "two"), "[Reasoning]\nBecause.")
    assert first.snippet == "def f(x):\n    return x"
    assert second.response is None and second.language == "Rust"
    assert [example.name for example in bank.usable("I->R")] == ["example-1"]


@pytest.mark.parametrize(
    ("cut", "said"), [("[Property]", "Property"), ("### System: C->I", "C->I"), ("difficulty: hard", "difficulty")]
)
def test_a_broken_bank_names_what_is_missing(cut: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_original_bank(ORIGINAL.replace(cut, ""))
    with pytest.raises(UsageError, match=r"system\.md"):
        parse_bank({"a": "x"})
