"""The runner of generation stages, written once: a record and a sample index become a new record or a reject.

It makes the task (a pure function), looks whether the journal already holds its completion, asks the server if not,
writes the answer down before it is used, and reads it with the stage's parser. Does not cover the order of tasks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from snipmill.llm.client import Client
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
    """One request for one record: its id is that of the record that may come of it."""

    id: str
    prompt: Prompt
    request: Request


def make_task(stage: Stage[In, Out], record: In, sample: int, generation: Generation) -> Task:
    """The task of a record's sample: a pure function of what is asked.

    The id hashes all that can change the text. `max_tokens` is no part of it, since it cannot change a completion that
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
    sampling_seed = request_seed(seed, stage.name, record.id, sample)
    record_id = content_hash(
        stage.name,
        record.id,
        sample,
        prompt.hash,
        generation.prompting,
        generation.model,
        float(generation.temperature),
        sampling_seed,
        *stage.stop,
    )
    request = Request(
        prompt=render_completion(prompt) if generation.prompting == "completion" else render_chat(prompt),
        model=generation.model,
        max_tokens=generation.max_tokens,
        temperature=generation.temperature,
        seed=sampling_seed,
        stop=stage.stop,
        cut=stage.cut,
        hopeless=stage.hopeless,
    )
    return Task(f"{stage.name[0]}-{record_id}", prompt, request)


async def generate(
    stage: Stage[In, Out],
    record: In,
    sample: int,
    generation: Generation,
    client: Client,
    journal: Journal[Asked],
    count: StageCount,
) -> Out | Reject:
    """Carry out a task, unless its completion is already there, and say what came of it."""
    task = make_task(stage, record, sample, generation)
    entry = journal.get(task.id)
    if entry is not None and _still_good(entry, generation.max_tokens):
        outcome = _read(stage, record, sample, task, entry.completion or entry.refusal, generation)
        count.reused += 1
    else:
        started = time.monotonic()
        answer = await client.complete(task.request)
        seconds = round(time.monotonic() - started, 3)
        outcome = _read(stage, record, sample, task, answer, generation)
        entry = Asked(
            id=task.id,
            outcome=outcome.reason if isinstance(outcome, Reject) else "kept",
            max_tokens=generation.max_tokens,
            completion=answer if isinstance(answer, Completion) else None,
            refusal=answer if isinstance(answer, Refusal) else None,
            seconds=seconds,
        )
        journal.append(entry)
    if entry.completion is not None:
        count.spend(entry.completion.usage, entry.seconds)
    count.count(outcome.reason if isinstance(outcome, Reject) else None)
    return outcome


def _still_good(entry: Asked, max_tokens: int) -> bool:
    """Whether asking again could not give another text. A refusal may be due to the number of tokens asked for."""
    if entry.completion is None:
        return entry.max_tokens == max_tokens
    if entry.completion.stopped_by_itself or entry.completion.finish_reason == "hopeless":
        return True
    return entry.max_tokens >= max_tokens


def _read(
    stage: Stage[In, Out],
    record: In,
    sample: int,
    task: Task,
    answer: Completion | Refusal | None,
    generation: Generation,
) -> Out | Reject:
    if answer is None or isinstance(answer, Refusal):
        refusal = answer or Refusal(reason="no-answer", detail="The journal holds no answer.")
        return Reject(id=task.id, stage=stage.name, reason=refusal.reason, detail=refusal.detail)
    if not answer.stopped_by_itself and answer.finish_reason != "hopeless":
        detail = f"The completion ended by {answer.finish_reason!r} after {answer.usage.completion_tokens} tokens."
        return Reject(id=task.id, stage=stage.name, reason="not-finished", detail=detail)
    parsed = stage.parse(record, task.id, sample, answer.text, generation.draws)
    if isinstance(parsed, Malformed):
        return Reject(id=task.id, stage=stage.name, reason=parsed.reason, detail=parsed.detail)
    usage: dict[str, Any] = {**getattr(record, "usage", {}), stage.name: answer.usage}
    return msgspec.structs.replace(parsed, usage=usage)
