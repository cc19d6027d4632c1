"""Generation: a record and some sample indexes become new records or rejects, by one request to a model.

Written once for all generation stages (`prompts`). The request is a pure function of what is asked (`make_request`); its
completions are read with the stage's parser. Does not cover the order of tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from snipmill.config import Config
from snipmill.llm.fleet import Fleet
from snipmill.llm.request import Request
from snipmill.prompts.fewshot import Bank, Shots, draw_examples
from snipmill.prompts.judge import apply_threshold
from snipmill.prompts.prompt import Prompt, render_chat, render_completion
from snipmill.prompts.stage import Draws, GenerationStage
from snipmill.randomness import request_seed
from snipmill.reasons import Reason
from snipmill.records import Completion, Concepts, Record, Refusal, Reject, content_hash
from snipmill.stages.funnel import StageCount
from snipmill.stages.spec import JUDGE, request_priority
from snipmill.store.journal import CompletionEntry
from snipmill.text.sections import Malformed

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)


@dataclass(frozen=True)
class GenerationSettings:
    """Everything that decides what is asked, and nothing about when or of which server."""

    bank: Bank
    model: str
    prompting: Literal["completion", "chat"] = "completion"
    temperature: float = 0.7
    max_tokens: int = 1536
    shots: int = 1
    fewshot_draws: int = 16
    match_examples: bool = False
    draws: Draws = field(default_factory=Draws)


class SampleTask(NamedTuple):
    """A record, and which of its samples one request asks for."""

    record: Any
    samples: range


@dataclass(frozen=True)
class SampleRequest:
    """One request, its prompt, and `keys`: the ids of the records that may come of it, one for each sample."""

    task: SampleTask
    keys: tuple[str, ...]
    prompt: Prompt
    request: Request


def make_request(stage: GenerationStage[Any, Any], task: SampleTask, settings: GenerationSettings) -> SampleRequest:
    """The request for some of a record's samples: a pure function of what is asked.

    The ids hash all that can change a text. `max_tokens` is not among it: it cannot change a completion that stopped by
    itself.
    """
    record, samples = task
    seed = settings.draws.seed
    like = None
    if settings.match_examples and stage.kind_of_task is not None:
        like = stage.kind_of_task(record, settings.draws)
    examples = draw_examples(
        settings.bank, stage.mode, Shots(settings.shots, settings.fewshot_draws, seed), record.id, like
    )
    prompt = stage.build(record, examples, settings.bank.systems[stage.mode], settings.draws)
    sampling_seed = request_seed(seed, stage.name, record.id, samples[0])
    common = (prompt.hash, settings.prompting, settings.model, float(settings.temperature), sampling_seed)
    group = () if len(samples) == 1 else (len(samples),)
    hashes = (content_hash(stage.name, record.id, sample, *common, *group, *stage.stop) for sample in samples)
    request = Request(
        prompt=render_completion(prompt) if settings.prompting == "completion" else render_chat(prompt),
        model=settings.model,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=sampling_seed,
        n=len(samples),
        prefix=content_hash(stage.name, *(example.name for example in examples)),
        stop=stage.stop,
        cut=stage.cut,
        hopeless=stage.hopeless,
        first_tokens=stage.first_tokens,
    )
    return SampleRequest(task, tuple(f"{stage.name[0]}-{digest}" for digest in hashes), prompt, request)


def _accept(record: Any) -> Any:
    return record


def last_word(stage: str, config: Config) -> Callable[[Any], Any]:
    """What decides about a record that a stage has read: the judge's threshold, or nothing."""
    return partial(apply_threshold, threshold=config.judge.threshold) if stage == JUDGE else _accept


@dataclass(frozen=True)
class Generate(Generic[In, Out]):
    """The work of a generation stage (`runner.Work`).

    Attributes:
        definition: how the model is asked, and how its answers are read.
        settings: what decides the request.
        fleet: the servers; None where outcomes are only looked up.
        serialized: held during a request, where requests of this stage go one at a time.
        decide: has the last word on a record that was read, as the judge's threshold has.
    """

    definition: GenerationStage[In, Out]
    settings: GenerationSettings
    fleet: Fleet | None = None
    serialized: asyncio.Semaphore | None = None
    decide: Callable[[Out], Out | Reject] = _accept

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self.definition.name

    def prepare(self, task: SampleTask) -> SampleRequest:
        """The request for a task."""
        return make_request(self.definition, task, self.settings)

    def can_be_reused(self, entry: CompletionEntry) -> bool:
        """Whether asking again could not give another text. A refusal cost nothing, and the server may have changed since."""
        if entry.completion is None:
            return False
        if entry.completion.stopped_by_itself or entry.completion.finish_reason == "hopeless":
            return True
        return entry.max_tokens >= self.settings.max_tokens

    async def do(self, job: SampleRequest, count: StageCount) -> Sequence[CompletionEntry]:
        """Ask the servers for all samples with one request."""
        assert self.fleet is not None, "outcomes are only looked up here"
        async with self.serialized or contextlib.nullcontext():
            started = time.monotonic()
            answer = await self.fleet.complete(job.request, request_priority(self.stage))
            seconds = round(time.monotonic() - started, 3)
        count.requests += 1
        answers: Sequence[Completion | Refusal] = [answer] * len(job.keys) if isinstance(answer, Refusal) else answer
        entries = []
        for number, (key, part) in enumerate(zip(job.keys, answers, strict=True)):
            parsed = self._parse(job.task, number, key, part)
            entries.append(
                CompletionEntry(
                    id=key,
                    outcome=parsed.reason if isinstance(parsed, Reject) else "kept",
                    max_tokens=self.settings.max_tokens,
                    completion=part if isinstance(part, Completion) else None,
                    refusal=part if isinstance(part, Refusal) else None,
                    seconds=0.0 if number else seconds,
                )
            )
        return entries

    def replaces(self, entry: CompletionEntry, earlier: CompletionEntry) -> bool:
        """Always: it was asked for because the earlier one was not final."""
        del entry, earlier
        return True

    def is_evidence(self, job: SampleRequest, entry: CompletionEntry) -> bool:
        """Always: whatever a server said is written down."""
        del job, entry
        return True

    def charge(self, entry: CompletionEntry, count: StageCount, *, fresh: bool) -> None:
        """Count the tokens and seconds of a completion."""
        if entry.completion is not None:
            count.spend(entry.completion.usage, entry.seconds, fresh=fresh)

    def read(self, job: SampleRequest, entries: Sequence[CompletionEntry]) -> list[Out | Reject]:
        """What came of each sample."""
        outcomes: list[Out | Reject] = []
        for number, entry in enumerate(entries):
            parsed = self._parse(job.task, number, entry.id, entry.completion or entry.refusal)
            outcomes.append(parsed if isinstance(parsed, Reject) else self.decide(parsed))
        return outcomes

    def _parse(self, task: SampleTask, number: int, key: str, answer: Completion | Refusal | None) -> Out | Reject:
        if answer is None or isinstance(answer, Refusal):
            refusal = answer or Refusal(reason=Reason.NO_ANSWER, detail="The journal holds no answer.")
            return Reject(id=key, stage=self.stage, reason=refusal.reason, detail=refusal.detail)
        if not answer.stopped_by_itself and answer.finish_reason != "hopeless":
            detail = f"The completion ended by {answer.finish_reason!r} after {answer.usage.completion_tokens} tokens."
            return Reject(id=key, stage=self.stage, reason=Reason.NOT_FINISHED, detail=detail)
        parsed = self.definition.parse(task.record, key, task.samples[number], answer, self.settings.draws)
        if isinstance(parsed, Malformed):
            return Reject(id=key, stage=self.stage, reason=parsed.reason, detail=parsed.detail)
        if not isinstance(parsed, Concepts):
            return parsed  # a judged seed has no usage of its own
        earlier = task.record.usage if isinstance(task.record, Concepts) else {}
        return msgspec.structs.replace(parsed, usage={**earlier, self.stage: answer.usage})
