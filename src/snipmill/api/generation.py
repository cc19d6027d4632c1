"""The stages that ask a model, as functions over iterables; and stages of the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator, Iterable
from pathlib import Path
from typing import Any, TypeVar

from snipmill.api.custom import Stage, generation_stage, settings_of
from snipmill.api.outcomes import (
    Items,
    Keep,
    OnReject,
    Outcomes,
    asynchronous,
    flat,
    ignore,
    records_of,
    synchronous,
    to_path,
)
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.config_model import ModelTable
from snipmill.engine.over_records import Setting, asked
from snipmill.prompts.stage import GenerationStage
from snipmill.records import Concepts, Instruction, Record, Response, Seed
from snipmill.stages.generate import GenerationSettings
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
) -> Generator[Concepts, None, None]:
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
    return synchronous(_generated("concepts", seeds, config, journal), "concepts", keep, on_reject)


def aconcepts(
    seeds: Items[Seed],
    config: Config | None = None,
    *,
    keep: Keep[Concepts] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Concepts, None]:
    """As `concepts`, for asynchronous programs."""
    return asynchronous(_generated("concepts", seeds, config, journal), "concepts", keep, on_reject)


def instructions(
    concepts: Iterable[Concepts],
    config: Config | None = None,
    *,
    keep: Keep[Instruction] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Generator[Instruction, None, None]:
    """C->I: a task for each list of concepts, of a drawn category and difficulty.

    Args and errors are those of `concepts`; categories and difficulties are in `config.generate`.
    """
    return synchronous(_generated("instructions", concepts, config, journal), "instructions", keep, on_reject)


def ainstructions(
    concepts: Items[Concepts],
    config: Config | None = None,
    *,
    keep: Keep[Instruction] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Instruction, None]:
    """As `instructions`, for asynchronous programs."""
    return asynchronous(_generated("instructions", concepts, config, journal), "instructions", keep, on_reject)


def responses(
    instructions: Iterable[Instruction],
    config: Config | None = None,
    *,
    keep: Keep[Response] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Generator[Response, None, None]:
    """I->R: `config.generate.samples` answers to each task, each with tests of its own; those to one task are neighbours.

    Args and errors are those of `concepts`.
    """
    return synchronous(_generated("responses", instructions, config, journal), "responses", keep, on_reject)


def aresponses(
    instructions: Items[Instruction],
    config: Config | None = None,
    *,
    keep: Keep[Response] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Response, None]:
    """As `responses`, for asynchronous programs."""
    return asynchronous(_generated("responses", instructions, config, journal), "responses", keep, on_reject)


def ask(
    records: Iterable[R],
    stage: Stage[R, S],
    config: Config | None = None,
    *,
    samples: int = 1,
    keep: Keep[S] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Generator[S, None, None]:
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
    return synchronous(_custom(records, stage, config, samples, journal), stage.name, keep, on_reject)


def aask(
    records: Items[R],
    stage: Stage[R, S],
    config: Config | None = None,
    *,
    samples: int = 1,
    keep: Keep[S] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[S, None]:
    """As `ask`, for asynchronous programs."""
    return asynchronous(_custom(records, stage, config, samples, journal), stage.name, keep, on_reject)


def _generated(stage: str, records: Items[Any], config: Config | None, journal: str | Path | None) -> Outcomes:
    # A seed gives one list of concepts, and that one task, as in a run.
    changes = {} if stage == RESPONSES else {"generate.samples": 1}
    settings = change_config(config or Config(), changes)
    spec = BY_NAME[stage]
    assert spec.generation is not None and spec.reads is not None
    model, generation = model_of_stage(settings, stage), resolve_generation(settings)[stage]
    setting = Setting(settings, journal=to_path(journal))
    return _asked(spec.generation, records, BY_NAME[spec.reads].makes, generation, model, setting)


def _custom(
    records: Items[Any], stage: Stage[Any, Any], config: Config | None, samples: int, journal: str | Path | None
) -> Outcomes:
    changed = change_config(config or Config(), {"generate.samples": samples}, "samples")
    definition, setting = generation_stage(stage), Setting(changed, journal=to_path(journal))
    return _asked(definition, records, Record, settings_of(changed), changed.model, setting)


async def _asked(
    definition: GenerationStage[Any, Any],
    records: Items[Any],
    kind: type[Any],
    generation: GenerationSettings,
    model: ModelTable,
    setting: Setting,
) -> Outcomes:
    async with (
        records_of(records, kind, definition.name) as found,
        contextlib.aclosing(flat(asked(definition, found, generation, model, setting))) as outcomes,
    ):
        async for outcome in outcomes:
            yield outcome
