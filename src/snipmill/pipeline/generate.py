"""The runner of generation stages, written once: a record and a sample index become a new record or a reject.

It makes the task (a pure function), looks whether the journal already holds its completion, asks the server if not,
writes the answer down before it is used, and reads it with the stage's parser. Does not cover the order of tasks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from snipmill.config import GenerateTable
from snipmill.llm.fleet import Fleet
from snipmill.llm.request import Request
from snipmill.pipeline.funnel import StageCount
from snipmill.prompts.fewshot import Bank, draw_examples
from snipmill.prompts.prompt import Prompt, render_chat, render_completion
from snipmill.prompts.stage import Draws, Stage
from snipmill.randomness import request_seed
from snipmill.records import Completion, Record, Refusal, Reject, content_hash
from snipmill.store.journal import Asked, Journal
from snipmill.text.sections import Malformed

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)


@dataclass(frozen=True)
class Generation:
    """Everything that decides what is asked, and nothing about when or of whom."""

    bank: Bank
    model: str
    prompting: Literal["completion", "chat"] = "completion"
    temperature: float = 0.7
    max_tokens: int = 1536
    shots: int = 1
    fewshot_draws: int = 16
    match_examples: bool = False
    draws: Draws = field(default_factory=Draws)


@dataclass(frozen=True)
class Task:
    """One request for one record, and the ids of the records that may come of it, one for each sample."""

    ids: tuple[str, ...]
    prompt: Prompt
    request: Request


def sample_groups(samples: int, size: int, start: int = 0) -> list[range]:
    """The samples from `start` up to `samples`, as many at a time as one request asks for."""
    return [range(first, min(first + size, samples)) for first in range(start, samples, size)]


def waves(table: GenerateTable) -> Iterator[tuple[int, list[range]]]:
    """The waves in which an instruction's samples are drawn: how many there are after each, and its requests' samples."""
    for first in range(0, table.samples, table.wave):
        beyond = min(first + table.wave, table.samples)
        yield beyond, sample_groups(beyond, table.per_request, first)


def make_task(stage: Stage[In, Out], record: In, samples: Sequence[int], generation: Generation) -> Task:
    """The task of some of a record's samples: a pure function of what is asked.

    The ids hash all that can change a text. `max_tokens` is no part of it, since it cannot change a completion that
    stopped by itself.
    """
    seed = generation.draws.seed
    like = None
    if generation.match_examples and stage.kind_of_task is not None:
        like = stage.kind_of_task(record, generation.draws)
    examples = draw_examples(
        generation.bank, stage.mode, generation.shots, generation.fewshot_draws, seed, record.id, like
    )
    prompt = stage.build(record, examples, generation.bank.systems[stage.mode], generation.draws)
    sampling_seed = request_seed(seed, stage.name, record.id, samples[0])
    common = (prompt.hash, generation.prompting, generation.model, float(generation.temperature), sampling_seed)
    group = () if len(samples) == 1 else (len(samples),)
    request = Request(
        prompt=render_completion(prompt) if generation.prompting == "completion" else render_chat(prompt),
        model=generation.model,
        max_tokens=generation.max_tokens,
        temperature=generation.temperature,
        seed=sampling_seed,
        n=len(samples),
        prefix=content_hash(stage.name, *(example.name for example in examples)),
        stop=stage.stop,
        cut=stage.cut,
        hopeless=stage.hopeless,
        first_tokens=stage.first_tokens,
    )
    hashes = (content_hash(stage.name, record.id, sample, *common, *group, *stage.stop) for sample in samples)
    return Task(tuple(f"{stage.name[0]}-{digest}" for digest in hashes), prompt, request)


async def generate(
    stage: Stage[In, Out],
    record: In,
    samples: Sequence[int],
    generation: Generation,
    fleet: Fleet,
    journal: Journal[Asked],
    count: StageCount,
    rank: int = 0,
) -> list[Out | Reject]:
    """Carry out a task, as far as its completions are not there already, and say what came of each sample.

    Args:
        stage: what is done with the record.
        record: what it is done with.
        samples: which samples, asked for with one request.
        generation: what decides the request.
        fleet: who answers.
        journal: where answers are written down before they are used.
        count: the stage's share of the funnel.
        rank: of the requests that wait the one with the lowest goes first.
    """
    task = make_task(stage, record, samples, generation)
    entries = {key: entry for key in task.ids if (entry := journal.get(key)) is not None}
    outcomes: dict[str, Out | Reject] = {}
    good = {key for key, entry in entries.items() if _still_good(entry, generation.max_tokens)}
    if len(good) == len(task.ids):
        count.reused += len(good)
    else:
        started = time.monotonic()
        answer = await fleet.complete(task.request, rank)
        seconds = round(time.monotonic() - started, 3)
        count.requests += 1
        answers: Sequence[Completion | Refusal] = [answer] * len(samples) if isinstance(answer, Refusal) else answer
        for number, (key, sample, part) in enumerate(zip(task.ids, samples, answers, strict=True)):
            if key in good:
                continue
            outcome: Out | Reject = _read(stage, record, sample, key, part, generation)
            outcomes[key] = outcome
            entries[key] = Asked(
                id=key,
                outcome=outcome.reason if isinstance(outcome, Reject) else "kept",
                max_tokens=generation.max_tokens,
                completion=part if isinstance(part, Completion) else None,
                refusal=part if isinstance(part, Refusal) else None,
                seconds=0.0 if number else seconds,
            )
            journal.append(entries[key])
    for key, sample in zip(task.ids, samples, strict=True):
        entry = entries[key]
        if entry.completion is not None:
            count.spend(entry.completion.usage, entry.seconds, fresh=key not in good)
        if key not in outcomes:
            read: Out | Reject = _read(stage, record, sample, key, entry.completion or entry.refusal, generation)
            outcomes[key] = read
        result = outcomes[key]
        count.count(result.reason if isinstance(result, Reject) else None)
    return [outcomes[key] for key in task.ids]


def look_up(
    stage: Stage[In, Out], record: In, samples: Sequence[int], generation: Generation, journal: Journal[Asked]
) -> list[Out | Reject] | None:
    """What came of a task, None where a server has to be asked."""
    outcomes: list[Out | Reject] = []
    for key, sample in zip(make_task(stage, record, samples, generation).ids, samples, strict=True):
        entry = journal.get(key)
        if entry is None or not _still_good(entry, generation.max_tokens):
            return None
        outcome: Out | Reject = _read(stage, record, sample, key, entry.completion or entry.refusal, generation)
        outcomes.append(outcome)
    return outcomes


def _still_good(entry: Asked, max_tokens: int) -> bool:
    """Whether asking again could not give another text. A refusal cost nothing, and the server may have been changed since."""
    if entry.completion is None:
        return False
    if entry.completion.stopped_by_itself or entry.completion.finish_reason == "hopeless":
        return True
    return entry.max_tokens >= max_tokens


def _read(
    stage: Stage[In, Out],
    record: In,
    sample: int,
    key: str,
    answer: Completion | Refusal | None,
    generation: Generation,
) -> Out | Reject:
    if answer is None or isinstance(answer, Refusal):
        refusal = answer or Refusal(reason="no-answer", detail="The journal holds no answer.")
        return Reject(id=key, stage=stage.name, reason=refusal.reason, detail=refusal.detail)
    if not answer.stopped_by_itself and answer.finish_reason != "hopeless":
        detail = f"The completion ended by {answer.finish_reason!r} after {answer.usage.completion_tokens} tokens."
        return Reject(id=key, stage=stage.name, reason="not-finished", detail=detail)
    parsed = stage.parse(record, key, sample, answer, generation.draws)
    if isinstance(parsed, Malformed):
        return Reject(id=key, stage=stage.name, reason=parsed.reason, detail=parsed.detail)
    if not hasattr(parsed, "usage"):
        return parsed
    usage: dict[str, Any] = {**getattr(record, "usage", {}), stage.name: answer.usage}
    return msgspec.structs.replace(parsed, usage=usage)
