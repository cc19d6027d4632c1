"""The review: what is asked, once each, and what comes of the answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snipmill.config import Config, ReviewTable
from snipmill.config_model import ModelTable
from snipmill.llm.client import Client, Server
from snipmill.llm.fleet import Fleet
from snipmill.parallel.in_order import gather_or_raise
from snipmill.prompts.review import likelihood_prompt, log_odds, mean, question_prompt
from snipmill.records import Execution, Reject, Verdict, Verification
from snipmill.stages.budget import open_budget
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.stages.fewshot_files import load_reviewing
from snipmill.stages.review import AskReviewer, Reviewer, ReviewQuestion, most_questions, resolve_review
from snipmill.stages.runner import Runner
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import CompletionEntry
from snipmill.store.journal import Journal
from tests.standin import StandIn, pieces, token_logprob

RESPONSE = "[Reasoning]\nSo.\n\n[Implementation]\n```python\n{code}\n```\n\n[Explanation]\nSo.\n\n[Tests]\n```python\nassert {name}(2) == 4\n```"


def execution(number: int, code: str, name: str, instruction: str = "Write a function that doubles `x`.") -> Execution:
    return Execution(
        id=f"r-{number}",
        seed="",
        concepts=[],
        instruction=instruction,
        response=RESPONSE.format(code=code, name=name),
        sample=number,
        verdict=Verdict(status="passed"),
        verification=Verification(samples=3, passed=3, values=4),
    )


DOUBLE = "def double(x):\n    # twice\n    return 2 * x"
SAME = "def twice(x):\n    'Twice x.'\n    return 2 * x"
OTHER = "def double(x):\n    return x + x"


def review(
    server: StandIn, path: Path | None, *outcomes: Execution | Reject, evidence: Any = "both", **model: Any
) -> tuple[list[Execution | Reject], StageCount]:
    config = Config(model=ModelTable(**model), review=ReviewTable(evidence=evidence))
    settings = resolve_review(config, "stand-in")
    assert settings is not None

    async def go() -> tuple[list[Execution | Reject], StageCount]:
        count = StageCount()
        async with Client(Server(server.url)) as client:
            with Journal(path, CompletionEntry) as journal:
                asking = AskReviewer(settings, Fleet([client]), open_budget(config))
                runner = Runner(asking, journal, count)

                async def ask(question: ReviewQuestion) -> float | None:
                    (found,) = await runner.make(question)
                    return found

                reviewer = Reviewer(settings, shipped_calibration())
                return await reviewer.review(outcomes, lambda _: None, ask, gather_or_raise), count

    return asyncio.run(go())


def test_a_review_says_how_likely_the_instruction_is_and_what_was_answered(standin: StandIn) -> None:
    (found,), count = review(standin, None, execution(0, DOUBLE, "double"))
    assert isinstance(found, Execution) and found.verification is not None and found.verification.review is not None
    got = found.verification.review
    examples = load_reviewing()
    values = []
    for code in ("def f(x):\n    return 2 * x", "def f(x):\n    ..."):
        before, scores = likelihood_prompt(code, examples, 2), []
        for token in pieces(found.instruction):
            scores.append(token_logprob(token, before))
            before += token
        values.append(mean(scores))
    assert got.without_code == pytest.approx(values[1], abs=1e-4)
    assert got.gain == pytest.approx(values[0] - values[1], abs=1e-4)
    assert got.yes is not None and got.reviewer == "stand-in"
    assert found.verification.confidence > 0
    assert count.requests == 4 and count.prompt_tokens > 100


def test_equal_code_and_the_signature_are_asked_about_once(standin: StandIn) -> None:
    outcomes = [execution(0, DOUBLE, "double"), execution(1, SAME, "twice"), execution(2, OTHER, "double")]
    found, count = review(standin, None, *outcomes)
    # Two codes and one signature for the likelihood, two codes for each of the two questions.
    assert count.requests == len(standin.requests) == 3 + 4
    first, second, third = (one.verification.review for one in found if isinstance(one, Execution) and one.verification)
    assert first == second and first is not None and third is not None and first.gain != third.gain
    assert count.requests <= most_questions("both", 3)


def test_nothing_is_asked_twice_in_another_session(standin: StandIn, tmp_path: Path) -> None:
    outcomes = [execution(0, DOUBLE, "double"), execution(1, OTHER, "double")]
    first, _ = review(standin, tmp_path / "j", *outcomes)
    before = len(standin.requests)
    again, count = review(standin, tmp_path / "j", *outcomes)
    assert again == first and len(standin.requests) == before and count.reused == 7
    review(standin, tmp_path / "j", execution(0, DOUBLE, "double"), evidence="likelihood")
    assert len(standin.requests) == before


@pytest.mark.parametrize(("evidence", "requests"), [("likelihood", 2), ("questions", 2), ("both", 4)])
def test_only_the_evidence_that_is_wanted_is_asked_for(standin: StandIn, evidence: str, requests: int) -> None:
    (found,), count = review(standin, None, execution(0, DOUBLE, "double"), evidence=evidence)
    assert count.requests == requests and isinstance(found, Execution) and found.verification is not None
    got = found.verification.review
    assert got is not None
    assert (got.gain is not None, got.yes is not None) == (evidence != "questions", evidence != "likelihood")


@pytest.mark.parametrize("prompting", ["chat", "completion"])
def test_questions_are_asked_as_the_model_is_prompted(standin: StandIn, prompting: str) -> None:
    review(standin, None, execution(0, DOUBLE, "double"), prompting=prompting)
    asked = [body for body in standin.requests if "echo" not in body]
    assert len(asked) == 2 and all(("messages" in body) == (prompting == "chat") for body in asked)
    assert all(isinstance(body["prompt"], str) for body in standin.requests if body.get("echo"))


def test_a_server_that_tells_no_probabilities_leaves_the_questions(standin: StandIn) -> None:
    standin.tells = "nobody"
    (found,), _ = review(standin, None, execution(0, DOUBLE, "double"))
    assert isinstance(found, Execution) and found.verification is not None and found.verification.review is not None
    assert found.verification.review.gain is None and found.verification.review.yes is not None
    standin.probable = False
    (bare,), _ = review(standin, None, execution(0, DOUBLE, "double"), evidence="likelihood")
    assert isinstance(bare, Execution) and bare.verification is not None and bare.verification.review is None


def test_what_cannot_be_reviewed_stays_as_it_is(standin: StandIn) -> None:
    reject = Reject(id="r-9", stage="verify", reason="flaky")
    whole = execution(0, DOUBLE, "double")
    odd = msgspec.structs.replace(whole, id="r-1", response="no sections")
    rust = msgspec.structs.replace(whole, id="r-2", verification=None, language="Rust")
    broken = msgspec.structs.replace(whole, id="r-3", response=RESPONSE.format(code="def f(:", name="f"))
    found, count = review(standin, None, reject, odd, rust, broken)
    assert found == [reject, odd, rust, broken] and count.requests == 0


def test_an_answer_that_is_missing_is_asked_for_again(standin: StandIn, tmp_path: Path) -> None:
    standin.tells = "nobody"
    review(standin, tmp_path / "j", execution(0, DOUBLE, "double"), evidence="likelihood")
    standin.tells = "vllm"
    (found,), _ = review(standin, tmp_path / "j", execution(0, DOUBLE, "double"), evidence="likelihood")
    assert isinstance(found, Execution) and found.verification is not None and found.verification.review is not None


@pytest.mark.parametrize(
    ("first", "text", "sign"),
    [
        ({"yes": -0.1, "no": -3.0}, "yes", 1),
        ({" Yes": -2.0, " no": -0.2, "Maybe": -5.0}, " no", -1),
        ({"Yes": -1.0, "yes": -1.0, "no": -0.9}, "no", 1),  # both spellings together are more
        ({"The": -0.01, "A": -6.0, "yes": -9.0}, "The code does.", 0),
        ({}, "Yes, it does.", 1),
        ({}, " **No**", -1),
        ({}, "It depends.", 0),
        ({"no": -0.001}, "no", -1),
        ({" yes": -0.3, " no": -9999.0}, "yes", 1),
        ({"yes": -0.1, "x": -9999.0}, "yes", 1),
        ({"no": 800.0}, "no", -1),
    ],
)
def test_yes_and_no_are_read_in_any_spelling(first: dict[str, float], text: str, sign: int) -> None:
    found = log_odds(first, text)
    assert (found is None) if sign == 0 else (found is not None and found * sign > 0 and abs(found) < 20)


def test_examples_ask_both_questions_with_both_answers() -> None:
    examples = load_reviewing()
    assert [one.is_right for one in examples] == [True, False, True, False]
    prompt = question_prompt("does", "Do it.", "def f(): ...", examples, 4)
    asked = {(question.count("not done"), answer) for question, answer in prompt.examples}
    assert len(asked) == 4
    for one in examples:
        compile(one.code, one.task, "exec")
