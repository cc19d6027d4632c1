from __future__ import annotations

from snipmill.prompts import concepts, instructions, responses
from snipmill.prompts.prompt import render_chat, render_completion
from snipmill.prompts.stage import Draws
from snipmill.records import Completion, Concepts, Instruction, Response, Seed
from snipmill.stages.fewshot_files import load_bank
from snipmill.text.sections import Malformed
from tests.conftest import RESPONSE, SEED

BANK = load_bank(None)
SEED_RECORD = Seed(id="s-1", seed=SEED)
CONCEPTS_RECORD = Concepts(id="c-1", seed=SEED, concepts=["a", "b"], parents={"seed": "s-1"})
INSTRUCTION_RECORD = Instruction(
    id="i-1", seed=SEED, concepts=["a"], instruction="Double a number.", parents={"seed": "s-1", "concepts": "c-1"}
)


def said(text: str) -> Completion:
    return Completion(text=text, finish_reason="stop")


def test_a_completion_prompt_ends_with_the_open_block() -> None:
    prompt = concepts.build(SEED_RECORD, BANK.examples[:2], BANK.systems["S->C"], Draws())
    text = render_completion(prompt)
    assert text.startswith(BANK.systems["S->C"])
    assert [f"## Example {n}\n### Snippet\n" in text for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert text.endswith(f"## Example 3\n### Snippet\n{SEED}\n\n### Concepts\n")


def test_the_chat_prompt_shows_the_same() -> None:
    prompt = instructions.build(CONCEPTS_RECORD, BANK.examples[:1], BANK.systems["C->I"], Draws())
    messages = render_chat(prompt)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert "concepts: a, b" in messages[-1]["content"]
    assert messages[2]["content"] == BANK.examples[0].instruction


def test_concepts_are_split_and_unique() -> None:
    parsed = concepts.parse(SEED_RECORD, "c-9", 0, said("\n lists, loops, lists ,, sorting.\nmore text"), Draws())
    assert isinstance(parsed, Concepts)
    assert parsed.concepts == ["lists", "loops", "sorting"]
    assert parsed.parents == {"seed": "s-1"}
    for bad in ("", " , ,", "x" * 500):
        assert isinstance(concepts.parse(SEED_RECORD, "c-9", 0, said(bad), Draws()), Malformed)


def test_property_draws_belong_to_the_record() -> None:
    draws = Draws(seed=3)
    drawn = [instructions.draw_property(Concepts(id=f"c-{n}", seed="", concepts=[]), draws) for n in range(200)]
    assert len(set(drawn)) == 9
    assert instructions.draw_property(CONCEPTS_RECORD, draws) == instructions.draw_property(CONCEPTS_RECORD, draws)
    only = Draws(seed=3, categories=("class",), difficulties=("easy",))
    assert instructions.draw_property(CONCEPTS_RECORD, only) == ("class", "easy")


def test_responses_are_cut_after_their_tests() -> None:
    parsed = responses.parse(
        INSTRUCTION_RECORD, "r-1", 4, said(RESPONSE + "\n\nAnd so on.\n```python\nx\n```"), Draws()
    )
    assert isinstance(parsed, Response)
    assert (parsed.response, parsed.sample) == (RESPONSE, 4)
    assert parsed.parents == {"seed": "s-1", "concepts": "c-1", "instruction": "i-1"}
    missing = responses.parse(INSTRUCTION_RECORD, "r-1", 0, said(RESPONSE.replace("[Tests]", "")), Draws())
    assert isinstance(missing, Malformed) and missing.reason == "tag-missing"
