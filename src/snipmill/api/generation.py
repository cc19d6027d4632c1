"""The stages that ask a model, as functions over iterables; and stages of the user's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from snipmill.api.custom import Stage, generation_stage, settings_of
from snipmill.api.iteration import AsyncStream, Make, Stream
from snipmill.api.outcomes import Items, Keep, OnReject, ignore, making, to_path
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.engine.over_records import Setting, asked
from snipmill.errors import UsageError
from snipmill.records import Concepts, Instruction, Record, Response, Seed
from snipmill.stages.settings import resolve_generation
from snipmill.stages.spec import BY_NAME, RESPONSES
from snipmill.stages.stage_models import model_of_stage

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Record)


def concepts(
    seeds: Iterable[Seed],
    config: Config | None = None,
    *,
    keep: Keep[Concepts] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Stream[Concepts]:
    """S->C: the programming concepts that a model names in each seed.

    Args:
        seeds: any iterable, also one of your own.
        config: model and examples, in `config.model` and `config.generate`; None for the embedded model.
        keep: a filter of your own.
        on_reject: called with what cannot be read, and with what the filter drops.
        journal: a file in which completions are remembered.

    Raises:
        SnipmillError: the server or the model cannot be used.
    """
    return Stream(_generated("concepts", seeds, config, keep, on_reject, journal))


def aconcepts(
    seeds: Items[Seed],
    config: Config | None = None,
    *,
    keep: Keep[Concepts] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncStream[Concepts]:
    """As `concepts`, for asynchronous programs."""
    return AsyncStream(_generated("concepts", seeds, config, keep, on_reject, journal))


def instructions(
    concepts: Iterable[Concepts],
    config: Config | None = None,
    *,
    keep: Keep[Instruction] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Stream[Instruction]:
    """C->I: a task for each list of concepts, of a drawn category and difficulty.

    Args and errors are those of `concepts`; categories and difficulties are in `config.generate`.
    """
    return Stream(_generated("instructions", concepts, config, keep, on_reject, journal))


def ainstructions(
    concepts: Items[Concepts],
    config: Config | None = None,
    *,
    keep: Keep[Instruction] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncStream[Instruction]:
    """As `instructions`, for asynchronous programs."""
    return AsyncStream(_generated("instructions", concepts, config, keep, on_reject, journal))


def responses(
    instructions: Iterable[Instruction],
    config: Config | None = None,
    *,
    keep: Keep[Response] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Stream[Response]:
    """I->R: `config.generate.samples` answers to each task, each with tests of its own; those to one task are neighbours.

    Args and errors are those of `concepts`.
    """
    return Stream(_generated("responses", instructions, config, keep, on_reject, journal))


def aresponses(
    instructions: Items[Instruction],
    config: Config | None = None,
    *,
    keep: Keep[Response] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncStream[Response]:
    """As `responses`, for asynchronous programs."""
    return AsyncStream(_generated("responses", instructions, config, keep, on_reject, journal))


def ask(
    records: Iterable[R],
    stage: Stage[R, S],
    config: Config | None = None,
    *,
    samples: int = 1,
    keep: Keep[S] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Stream[S]:
    """A generation stage of your own: two functions and a name.

    Args:
        records: what to ask about.
        stage: how a prompt is built from a record, and how a completion is read.
        config: the model, in `config.model`.
        samples: how many completions are drawn for each record.
        keep: a filter of your own.
        on_reject: called with what cannot be read, and with what the filter drops.
        journal: a file in which completions are remembered.

    Raises:
        UsageError: the stage has the name of one of snipmill's.
        SnipmillError: the server or the model cannot be used.
    """
    return Stream(_custom(records, stage, config, samples, keep, on_reject, journal))


def aask(
    records: Items[R],
    stage: Stage[R, S],
    config: Config | None = None,
    *,
    samples: int = 1,
    keep: Keep[S] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncStream[S]:
    """As `ask`, for asynchronous programs."""
    return AsyncStream(_custom(records, stage, config, samples, keep, on_reject, journal))


def _generated(
    stage: str,
    records: Items[Any],
    config: Config | None,
    keep: Keep[Any] | None,
    on_reject: OnReject,
    journal: str | Path | None,
) -> Make[Any]:
    """How the records of one of our stages are made. What is invalid in the configuration is told at once."""
    # A seed gives one list of concepts, and that one task, as in a run.
    changes = {} if stage == RESPONSES else {"generate.samples": 1}
    settings = change_config(config or Config(), changes)
    spec = BY_NAME[stage]
    assert spec.generation is not None and spec.reads is not None
    definition, generation = spec.generation, resolve_generation(settings)[stage]
    model, setting = model_of_stage(settings, stage), Setting(settings, journal=to_path(journal))
    return making(
        stage,
        (BY_NAME[spec.reads].makes,),
        records,
        lambda given, shared: asked(definition, given, generation, model, setting, shared),
        keep,
        on_reject,
    )


def _custom(
    records: Items[Any],
    stage: Stage[Any, Any],
    config: Config | None,
    samples: int,
    keep: Keep[Any] | None,
    on_reject: OnReject,
    journal: str | Path | None,
) -> Make[Any]:
    """How the records of a stage of the user's are made."""
    changed = change_config(config or Config(), {"generate.samples": samples}, "samples")
    price = changed.model.price
    if changed.run.max_cost is not None and not (price.prompt or price.completion):
        raise UsageError(f"run.max_cost needs the price of tokens for {stage.name}. Set model.price.")
    setting = Setting(changed, journal=to_path(journal))
    definition, generation = generation_stage(stage), settings_of(changed)
    return making(
        stage.name,
        (Record,),
        records,
        lambda given, shared: asked(definition, given, generation, changed.model, setting, shared),
        keep,
        on_reject,
    )
