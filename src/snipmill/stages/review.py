"""Review: a model compares the code of a verified answer with its instruction (`prompts/review.py`).

One question is one task with one journal entry, so that no question is asked twice: equal code, and the signature that the samples
of a task share, are asked about once. A question without an answer leaves the evidence as it was; nothing is dropped here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from snipmill.config import Config
from snipmill.llm.fleet import Fleet
from snipmill.llm.request import Request
from snipmill.llm.scoring import NOT_TOLD
from snipmill.prompts.prompt import render_chat, render_completion
from snipmill.prompts.review import QUESTIONS, Question, likelihood_prompt, log_odds, mean, question_prompt, stop
from snipmill.randomness import request_seed
from snipmill.reasons import Reason
from snipmill.records import Completion, Execution, Refusal, Reject, Review, Verification, content_hash
from snipmill.stages.budget import Budget
from snipmill.stages.fewshot_files import load_reviewing
from snipmill.stages.generate import KEPT
from snipmill.stages.spec import REVIEW, request_priority
from snipmill.stages.stage_count import StageCount
from snipmill.stages.stage_models import model_of_stage
from snipmill.store.entries import CompletionEntry
from snipmill.text.bare_code import bare_code
from snipmill.text.sections import Malformed, Sections, parse_sections
from snipmill.verification.calibration import Calibration
from snipmill.verification.confidence import with_confidence
from snipmill.verification.interface import interface, used_names
from snipmill.verification.units import assertions

Kind = Literal["likelihood"] | Question
_WORD_TOKENS = 4
_ALTERNATIVES = 10


class ReviewQuestion(NamedTuple):
    """What is asked: about an instruction and bare code, or a signature alone."""

    kind: Kind
    instruction: str
    code: str


@dataclass(frozen=True)
class ReviewSettings:
    """What decides a question, and nothing about when it is asked, or of which server.

    Attributes:
        kinds: of evidence: `likelihood`, `questions`, or both.
        model: the reviewer's name; empty until its server has told it.
        prompting: how it is asked the questions.
        shots: examples in a prompt.
        fields: more fields of a request.
        max_thinking: tokens of thought before the answer to a question.
        seed: the run's.
    """

    kinds: frozenset[str]
    model: str
    prompting: str
    shots: int
    fields: dict[str, Any] = field(default_factory=dict)
    max_thinking: int = 0
    seed: int = 0


def resolve_review(config: Config, model: str) -> ReviewSettings | None:
    """The settings of the review; None where there is none.

    Args:
        config: of the run.
        model: the reviewer's name.
    """
    evidence = config.review.evidence
    if evidence == "off":
        return None
    table = model_of_stage(config, REVIEW)
    return ReviewSettings(
        kinds=frozenset(("likelihood", "questions") if evidence == "both" else (evidence,)),
        model=model,
        prompting=table.prompting,
        shots=config.review.shots,
        fields=dict(table.extra_body),
        max_thinking=table.max_thinking_tokens if table.prompting == "chat" else 0,
        seed=config.run.seed,
    )


def most_questions(evidence: str, samples: int) -> int:
    """How many questions may be asked about so many samples of an instruction, if no two are alike."""
    likelihood = 2 * samples if evidence in ("likelihood", "both") else 0
    return likelihood + (2 * samples if evidence in ("questions", "both") else 0)


@dataclass(frozen=True)
class ReviewJob:
    """A question as a request, and the journal's key of its answer."""

    question: ReviewQuestion
    request: Request
    keys: tuple[str]


@dataclass(frozen=True)
class AskReviewer:
    """The work of the stage (`runner.Work`): the answer is a number in nats, or None."""

    settings: ReviewSettings
    fleet: Fleet | None = None
    budget: Budget | None = None
    stage: str = REVIEW

    def prepare(self, task: ReviewQuestion) -> ReviewJob:
        """The request: a pure function of what is asked."""
        settings, examples = self.settings, load_reviewing()
        if task.kind == "likelihood":
            prompt: Any = likelihood_prompt(task.code, examples, settings.shots)
            request = Request(
                prompt, settings.model, 1, 0.0, 0, prefix="likelihood", fields=settings.fields, scored=task.instruction
            )
            return ReviewJob(task, request, (self._key(task, prompt),))
        asked = question_prompt(task.kind, task.instruction, task.code, examples, 2 * settings.shots)
        is_chat = settings.prompting == "chat"
        prompt = render_chat(asked) if is_chat else render_completion(asked)
        key = self._key(task, asked.hash, settings.prompting, settings.max_thinking)
        request = Request(
            prompt,
            settings.model,
            _WORD_TOKENS,
            0.0,
            request_seed(settings.seed, REVIEW, key, 0),
            stop=() if is_chat else stop(),
            first_tokens=_ALTERNATIVES,
            max_thinking=settings.max_thinking,
            fields=settings.fields,
            prefix="questions",
        )
        return ReviewJob(task, request, (key,))

    def _key(self, task: ReviewQuestion, prompt: str, *more: str | int) -> str:
        fields = msgspec.json.encode(self.settings.fields, order="deterministic").decode()
        return f"w-{content_hash(REVIEW, task.kind, task.instruction, prompt, self.settings.model, fields, *more)}"

    def can_be_reused(self, entry: CompletionEntry) -> bool:
        """Whether the reviewer has answered. What a server could not do, another may; a look-up cannot know."""
        answered = entry.completion is not None and entry.completion.finish_reason != NOT_TOLD
        return answered or self.fleet is None

    async def do(self, job: ReviewJob, count: StageCount) -> Sequence[CompletionEntry]:
        """Ask the reviewer.

        Raises:
            BudgetSpent: nothing more may be spent.
        """
        assert self.fleet is not None and self.budget is not None, "outcomes are only looked up here"
        started = time.monotonic()
        answer = await self.fleet.complete(job.request, request_priority(REVIEW), self.budget.check)
        seconds = round(time.monotonic() - started, 3)
        count.requests += 1
        completion = answer[0] if not isinstance(answer, Refusal) else None
        if completion is not None:
            self.budget.spend(REVIEW, [completion.usage])
            if completion.scores:  # the text is the instruction, which need not be repeated
                completion = msgspec.structs.replace(completion, text="")
        return [
            CompletionEntry(
                id=job.keys[0],
                outcome=KEPT if _number(job.question, completion) is not None else Reason.NO_ANSWER,
                max_tokens=job.request.max_tokens,
                completion=completion,
                refusal=answer if isinstance(answer, Refusal) else None,
                seconds=seconds,
            )
        ]

    def replaces(self, entry: CompletionEntry, earlier: CompletionEntry) -> bool:
        """Whether it cost something, or is an answer where the earlier one was none."""
        return entry.completion is not None and earlier.outcome != KEPT

    def is_evidence(self, job: ReviewJob, entry: CompletionEntry) -> bool:
        """Always: that a server had no answer must be known when the run is made again."""
        del job, entry
        return True

    def charge(self, entry: CompletionEntry, count: StageCount, *, fresh: bool) -> None:
        """Count the tokens and seconds of an answer."""
        if entry.completion is not None:
            count.spend(entry.completion.usage, entry.seconds, fresh=fresh)

    def read(self, job: ReviewJob, entries: Sequence[CompletionEntry]) -> list[float | None]:
        """The answer."""
        return [_number(job.question, entry.completion) for entry in entries]


def _number(question: ReviewQuestion, completion: Completion | None) -> float | None:
    if completion is None:
        return None
    if question.kind == "likelihood":
        return mean(completion.scores) if completion.scores else None
    return log_odds(completion.first, completion.text)


class Ask(Protocol):
    """Puts a question to the reviewer."""

    async def __call__(self, question: ReviewQuestion) -> float | None:
        """The answer, where there is one."""


Together = Callable[[Any], Awaitable[list[Any]]]
SectionsOf = Callable[[Execution], Sections | None]


@dataclass(frozen=True)
class _Reviewed:
    """An execution with its evidence, and what the reviewer sees of it."""

    execution: Execution
    found: Verification
    code: str
    signature: str

    def about(self, kind: Kind, code: str) -> ReviewQuestion:
        """A question about it."""
        return ReviewQuestion(kind, self.execution.instruction, code)


@dataclass(frozen=True)
class Reviewer:
    """Who reviews, for which kinds of evidence, and what these are worth."""

    settings: ReviewSettings
    calibration: Calibration

    async def review(
        self, outcomes: Sequence[Execution | Reject], sections_of: SectionsOf, ask: Ask, together: Together
    ) -> list[Execution | Reject]:
        """Verified outcomes; the executions among them with what the reviewer found.

        Args:
            outcomes: of one instruction's samples.
            sections_of: the sections of a response that was parsed before.
            ask: puts a question.
            together: carries out several.
        """
        # Syntax trees take milliseconds, in which no answer of a server would be heard.
        shown = await asyncio.to_thread(lambda: [_show(one, sections_of) for one in outcomes])
        wanted = list(dict.fromkeys(question for one in shown if one is not None for question in self._asked(one)))
        answers = dict(zip(wanted, await together(ask(question) for question in wanted), strict=True))
        return [
            outcome if one is None else self._with_review(one, answers)
            for outcome, one in zip(outcomes, shown, strict=True)
        ]

    def _asked(self, one: _Reviewed) -> list[ReviewQuestion]:
        asked = []
        if "likelihood" in self.settings.kinds:
            asked += [one.about("likelihood", code) for code in (one.code, one.signature)]
        if "questions" in self.settings.kinds:
            asked += [one.about(question, one.code) for question in QUESTIONS]
        return asked

    def _with_review(self, one: _Reviewed, answers: dict[ReviewQuestion, float | None]) -> Execution:
        given, alone = (answers.get(one.about("likelihood", code)) for code in (one.code, one.signature))
        does, fails = (answers.get(one.about(question, one.code)) for question in QUESTIONS)
        review = Review(
            reviewer=self.settings.model,
            gain=round(given - alone, 4) if given is not None and alone is not None else None,
            without_code=round(alone, 4) if given is not None and alone is not None else None,
            yes=round((does - fails) / 2, 4) if does is not None and fails is not None else None,
        )
        if review.gain is None and review.yes is None:
            return one.execution
        found = with_confidence(msgspec.structs.replace(one.found, review=review), self.calibration)
        return msgspec.structs.replace(one.execution, verification=found)


def _show(outcome: Execution | Reject, sections_of: SectionsOf) -> _Reviewed | None:
    """What the reviewer sees of an outcome; None where there is nothing to review."""
    if isinstance(outcome, Reject) or outcome.verification is None:
        return None
    code = reviewed_code(outcome, sections_of(outcome))
    return None if code is None else _Reviewed(outcome, outcome.verification, *code)


def reviewed_code(execution: Execution, sections: Sections | None) -> tuple[str, str] | None:
    """What a reviewer sees of a response: bare code, and its signature; None where it cannot be read.

    Args:
        execution: the response.
        sections: as they were parsed before; None to parse it.
    """
    parsed = sections if sections is not None else parse_sections(execution.response, execution.language)
    if isinstance(parsed, Malformed):
        return None
    offers = interface(parsed.code)
    used = used_names(offers, assertions(parsed.tests, offers))
    try:
        return bare_code(parsed.code, next(iter(used)) if len(used) == 1 else None)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
