"""Generation: a record and some sample indexes become new records or rejects, by one request to a model.

Written once for all generation stages (`prompts`). The request is a pure function of what is asked (`make_request`); its
completions are read with the stage's parser. Does not cover the order of tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from snipmill.config import Config
from snipmill.config_model import SamplingTable
from snipmill.llm.finish import THINKING, UNSTATED, is_fault
from snipmill.llm.fleet import Fleet
from snipmill.llm.request import Request
from snipmill.prompts.fewshot import Bank, Shots, draw_examples
from snipmill.prompts.judge import apply_threshold
from snipmill.prompts.prompt import Prompt, render_chat, render_completion
from snipmill.prompts.stage import Draws, GenerationStage
from snipmill.randomness import request_seed
from snipmill.reasons import Reason
from snipmill.records import Completion, Concepts, Record, Refusal, Reject, Response, content_hash
from snipmill.stages.budget import Budget
from snipmill.stages.spec import JUDGE, request_priority
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import CompletionEntry
from snipmill.text.sections import Malformed

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)
KEPT = "kept"
_UNREAD = "unread"
_TEMPERATURE = 0.7
_SENT_APART = ("temperature", "stop")


@dataclass(frozen=True)
class GenerationSettings:
    """Everything that decides what is asked, and nothing about when or of which server."""

    bank: Bank
    model: str
    prompting: Literal["completion", "chat"] = "completion"
    sampling: SamplingTable = field(default_factory=SamplingTable)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 1536
    max_thinking_tokens: int = 0
    keep_thinking: bool = True
    shots: int = 1
    fewshot_draws: int = 16
    match_examples: bool = False
    draws: Draws = field(default_factory=Draws)

    @property
    def is_chat(self) -> bool:
        """Whether the model is asked in a chat."""
        return self.prompting == "chat"

    @property
    def temperature(self) -> float:
        """The sampling temperature."""
        return _TEMPERATURE if self.sampling.temperature is None else float(self.sampling.temperature)

    @property
    def fields(self) -> dict[str, Any]:
        """More fields of a request's body: all that changes a text beside the temperature."""
        sampling = msgspec.structs.asdict(self.sampling)
        drawn = {name: value for name, value in sampling.items() if name not in _SENT_APART and value is not None}
        return {**drawn, **self.extra_body}


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

    The ids hash all that can change a text. The maximum numbers of tokens are not among it: they cannot change a completion that
    stopped by itself.
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
    common = (prompt.hash, settings.prompting, settings.model, settings.temperature, sampling_seed)
    group = () if len(samples) == 1 else (len(samples),)
    own_stop, fields = settings.sampling.stop, settings.fields
    more = (msgspec.json.encode(fields, order="deterministic").decode(),) if fields else ()
    hashes = (
        content_hash(stage.name, record.id, sample, *common, *group, *stage.stop, *own_stop, *more)
        for sample in samples
    )
    chat = stage.chat if settings.is_chat else None
    request = Request(
        prompt=render_chat(prompt) if settings.is_chat else render_completion(prompt),
        model=settings.model,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=sampling_seed,
        n=len(samples),
        prefix=content_hash(stage.name, *(example.name for example in examples)),
        # A chat ends by itself. A string that ends a completion may be part of a thought there.
        stop=own_stop if settings.is_chat else (*stage.stop, *own_stop),
        cut=chat.cut if chat is not None else stage.cut,
        hopeless=chat.hopeless if chat is not None else stage.hopeless,
        first_tokens=stage.first_tokens,
        max_thinking=settings.max_thinking_tokens,
        fields=fields,
        kind=stage.name,
    )
    return SampleRequest(task, tuple(f"{stage.name[0]}-{digest}" for digest in hashes), prompt, request)


def _accept(record: Any) -> Any:
    return record


def _allow() -> None:
    return None


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
        budget: what may be spent; None where outcomes are only looked up.
        decide: has the last word on a record that was read, as the judge's threshold has.
    """

    definition: GenerationStage[In, Out]
    settings: GenerationSettings
    fleet: Fleet | None = None
    serialized: asyncio.Semaphore | None = None
    budget: Budget | None = None
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
        completion = entry.completion
        if completion.finish_reason == UNSTATED:
            return entry.outcome == KEPT  # the text may have been cut off
        if completion.stopped_by_itself or completion.finish_reason == "hopeless":
            return True
        if is_fault(completion.finish_reason):
            return False
        has_room = entry.max_thinking_tokens >= self.settings.max_thinking_tokens
        return has_room and entry.max_tokens >= self.settings.max_tokens

    async def do(self, job: SampleRequest, count: StageCount) -> Sequence[CompletionEntry]:
        """Ask the servers for all samples with one request.

        Raises:
            BudgetSpent: nothing more may be spent.
        """
        assert self.fleet is not None, "outcomes are only looked up here"
        async with self.serialized or contextlib.nullcontext():
            started = time.monotonic()
            check = self.budget.check if self.budget is not None else _allow
            answer = await self.fleet.complete(job.request, request_priority(self.stage), check)
            seconds = round(time.monotonic() - started, 3)
        count.requests += 1
        answers: Sequence[Completion | Refusal] = [answer] * len(job.keys) if isinstance(answer, Refusal) else answer
        if self.budget is not None:
            self.budget.spend(self.stage, (part.usage for part in answers if isinstance(part, Completion)))
        entries = []
        for number, (key, part) in enumerate(zip(job.keys, answers, strict=True)):
            entries.append(
                CompletionEntry(
                    id=key,
                    outcome=self._outcome(job.task, number, key, part),
                    max_tokens=self.settings.max_tokens,
                    max_thinking_tokens=self.settings.max_thinking_tokens,
                    completion=part if isinstance(part, Completion) else None,
                    refusal=part if isinstance(part, Refusal) else None,
                    seconds=0.0 if number else seconds,
                )
            )
        return entries

    def _outcome(self, task: SampleTask, number: int, key: str, answer: Completion | Refusal) -> str:
        """What comes of an answer. Where a parser of the user's fails, the answer is written down, and `read` fails again."""
        try:
            parsed = self._parse(task, number, key, answer)
        except Exception:
            return _UNREAD
        return parsed.reason if isinstance(parsed, Reject) else KEPT

    def replaces(self, entry: CompletionEntry, earlier: CompletionEntry) -> bool:
        """Always: it was asked for because the earlier one was not final."""
        del entry, earlier
        return True

    def is_evidence(self, job: SampleRequest, entry: CompletionEntry) -> bool:
        """Always: whatever a server said is written down."""
        del job, entry
        return True

    def charge(self, entry: CompletionEntry, count: StageCount, *, fresh: bool) -> None:
        """Count the tokens and seconds of a completion, and whether its form was mended."""
        if entry.completion is not None:
            count.spend(entry.completion.usage, entry.seconds, fresh=fresh)
            count.mended += entry.outcome == KEPT and self._read(entry.completion) != entry.completion.text

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
        if answer.finish_reason == THINKING:
            detail = (
                f"The model was still thinking after {answer.usage.completion_tokens} tokens. Raise max_thinking_tokens "
                f"(now {self.settings.max_thinking_tokens}), or set chat_template_kwargs = {{enable_thinking = false}} in "
                "[model.extra_body]."
            )
            return Reject(id=key, stage=self.stage, reason=Reason.THINKING_NOT_FINISHED, detail=detail)
        if not answer.stopped_by_itself and answer.finish_reason != "hopeless":
            detail = f"The completion ended by {answer.finish_reason!r} after {answer.usage.completion_tokens} tokens."
            if self.settings.is_chat:
                detail += " If the model thinks before it answers, raise max_thinking_tokens."
            return Reject(id=key, stage=self.stage, reason=Reason.NOT_FINISHED, detail=detail)
        completion = msgspec.structs.replace(answer, text=self._read(answer))
        parsed = self.definition.parse(task.record, key, task.samples[number], completion, self.settings.draws)
        if isinstance(parsed, Malformed):
            return Reject(id=key, stage=self.stage, reason=parsed.reason, detail=parsed.detail)
        if not isinstance(parsed, Concepts):
            return parsed  # a judged seed has no usage of its own
        earlier = task.record.usage if isinstance(task.record, Concepts) else {}
        changed: dict[str, Any] = {"usage": {**earlier, self.stage: answer.usage}}
        if isinstance(parsed, Response) and self.settings.keep_thinking:
            changed["thinking"] = answer.thinking or None
        return msgspec.structs.replace(parsed, **changed)

    def _read(self, completion: Completion) -> str:
        """The text of a completion, as a base model would have written it."""
        if self.settings.is_chat and self.definition.chat is not None:
            return self.definition.chat.read(completion.text)
        return completion.text
