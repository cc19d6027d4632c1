"""The runners of a run directory: each stage's work, over its journal, counted in the funnel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snipmill.llm.fleet import Fleet
from snipmill.prompts.assertions import asking_for
from snipmill.records import Execution, Reject
from snipmill.stages.attempts import Candidate, SampleSet
from snipmill.stages.budget import Budget
from snipmill.stages.evidence_runs import Sandboxes
from snipmill.stages.execute import Execute, ExecutionJob
from snipmill.stages.funnel import Funnel
from snipmill.stages.generate import Generate, SampleRequest, SampleTask, last_word
from snipmill.stages.review import AskReviewer, Reviewer, ReviewJob, ReviewQuestion, resolve_review
from snipmill.stages.runner import Runner
from snipmill.stages.settings import Settings, for_models
from snipmill.stages.spec import ASSERTIONS, BY_NAME, EXECUTE, REVIEW, STAGES, VERIFY
from snipmill.stages.stage_models import asked_stages, is_used
from snipmill.stages.verify_samples import Suffice, VerificationJob, Verifier, Verify
from snipmill.store.entries import CompletionEntry, VerdictEntry, VerificationEntry
from snipmill.store.journal import Journal, join_journal
from snipmill.store.run_directory import RunDirectory

Journals = Mapping[str, Journal[Any]]


@dataclass(frozen=True)
class Backends:
    """Who does the work. Without fleets and sandboxes, outcomes can only be looked up.

    Attributes:
        models: the model's name, by stage.
        tier: the sandbox tier.
        fleets: the servers, by stage.
        budget: what may be spent.
        serialized_stages: held during a request, for stages of which one request may be under way at a time.
        sandboxes: where programs run.
    """

    models: Mapping[str, str]
    tier: str
    fleets: Mapping[str, Fleet] = field(default_factory=dict)
    budget: Budget | None = None
    serialized_stages: Mapping[str, asyncio.Semaphore] = field(default_factory=dict)
    sandboxes: Sandboxes | None = None


@dataclass(frozen=True)
class Runners:
    """A runner for each stage that is paid for; `ask` has those of the generation stages, in the order of the data."""

    ask: dict[str, Runner[SampleTask, SampleRequest, CompletionEntry, Any]]
    execute: Runner[Candidate, ExecutionJob, VerdictEntry, Execution | Reject]
    suffice: Runner[SampleSet, VerificationJob, VerificationEntry, bool]
    review: Runner[ReviewQuestion, ReviewJob, CompletionEntry, float | None] | None
    reviewer: Reviewer | None
    verify: Runner[SampleSet, VerificationJob, VerificationEntry, Execution | Reject]


@contextlib.contextmanager
def open_journals(
    directory: RunDirectory, *, to_read: bool = False, others: Callable[[str], Sequence[Path]] = lambda _stage: ()
) -> Iterator[Journals]:
    """The journals of a run, by stage. Opening them to write keeps a second process out.

    Args:
        directory: of the run.
        to_read: read them only, while another process may be writing.
        others: by stage, journals to look into for what these do not hold.

    Raises:
        StoreError: another process works on this run, or a journal is damaged.
    """
    with contextlib.ExitStack() as stack:
        journals: dict[str, Journal[Any]] = {}
        for stage in STAGES:
            if stage.entry is not None:
                journal = Journal(
                    directory.journal(stage.name), stage.entry, read_only=to_read, others=others(stage.name)
                )
                journals[stage.name] = stack.enter_context(journal)
        yield journals


def join_shards(directory: RunDirectory, journals: Journals) -> None:
    """Append to a run's own journals what only its shards hold, so that the run is complete without them.

    Raises:
        StoreError: a journal of a shard is damaged, or one of the run cannot be written.
    """
    for stage, journal in journals.items():
        for shard in directory.shards().values():
            join_journal(journal, shard.journal(stage))


def make_runners(settings: Settings, journals: Journals, backends: Backends, funnel: Funnel) -> Runners:
    """The runners of a run."""
    config = settings.config
    generation = for_models(settings.generation, backends.models)
    context = settings.execution.context(backends.tier)
    verifier = Verifier(context, config.verify, settings.calibration, backends.sandboxes)
    sandbox = None if backends.sandboxes is None else backends.sandboxes.first
    ask = {}
    for stage in map(BY_NAME.__getitem__, asked_stages(config)):
        if stage.generation is None or stage.name not in backends.models:
            continue
        work: Generate[Any, Any] = Generate(
            asking_for(config.verify.tests) if stage.name == ASSERTIONS else stage.generation,
            generation[stage.name],
            backends.fleets.get(stage.name),
            backends.serialized_stages.get(stage.name),
            backends.budget,
            last_word(stage.name, config),
        )
        ask[stage.name] = Runner(work, journals[stage.name], funnel[stage.name])
    review = resolve_review(config, backends.models[REVIEW]) if is_used(config, REVIEW) else None
    asking = AskReviewer(review, backends.fleets.get(REVIEW), backends.budget) if review is not None else None
    return Runners(
        ask=ask,
        review=Runner(asking, journals[REVIEW], funnel[REVIEW]) if asking is not None else None,
        reviewer=Reviewer(review, settings.calibration) if review is not None else None,
        execute=Runner(Execute(context, sandbox), journals[EXECUTE], funnel[EXECUTE]),
        suffice=Runner(Suffice(verifier, config.generate.accept), journals[VERIFY]),
        verify=Runner(Verify(verifier), journals[VERIFY], funnel[VERIFY]),
    )
