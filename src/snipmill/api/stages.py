"""The stages as functions over iterables, lazy and in order: each takes records of one kind and gives those of the next.

    seeds = mine("path/to/code")
    tasks = instructions(concepts(seeds))
    rows = select(verify(responses(tasks)))

What is dropped goes to `on_reject`. A filter (`keep`) returns None for what stays, or a reason and a detail. With `journal`, what
was paid for is written to that file, and a second call does not pay for it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from snipmill.api.custom import Stage, generation_stage, settings_of
from snipmill.api.iteration import iterate, taken_apart
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.config_model import ModelTable
from snipmill.engine.over_records import Setting, asked, examined, executed, verified
from snipmill.errors import UsageError
from snipmill.prompts.stage import GenerationStage
from snipmill.records import Concepts, Examination, Execution, Instruction, Record, Reject, Response, Row, Seed
from snipmill.seeds.document import Document
from snipmill.select.sanitize import sanitize
from snipmill.select.styles import RAW
from snipmill.stages.generate import GenerationSettings
from snipmill.stages.sanitize_rows import sanitize_rows
from snipmill.stages.seed_stream import iterate_seeds, resolve_seeds
from snipmill.stages.select_rows import select_rows
from snipmill.stages.settings import resolve_generation
from snipmill.stages.spec import BY_NAME, RESPONSES
from snipmill.stages.stage_models import model_of_stage
from snipmill.store.journal import Journal, MiningEntry
from snipmill.store.jsonl import decode_record
from snipmill.store.reading import read_records

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Record)
Items = Iterable[R] | AsyncIterator[R]
Keep = Callable[[R], tuple[str, str] | None]
OnReject = Callable[[Reject], None]
Outcomes = AsyncGenerator[Record, None]


def _ignore(_reject: Reject) -> None:
    return None


def read(path: str | Path, kind: type[R], on_reject: OnReject = _ignore) -> Iterator[R]:
    """The records of a file: JSON lines, CSV, Parquet, Arrow, compressed or not, a folder of them, or hub:OWNER/NAME.

    Args:
        path: of the file.
        kind: of its records, such as `Response`.
        on_reject: called with each row that is no such record.

    Raises:
        UsageError: there is no such file.
    """
    for found in read_records(str(path), kind, "reading"):
        if isinstance(found, Reject):
            on_reject(found)
        else:
            yield found


def mine(
    *sources: str | Path | Iterable[Document],
    config: Config | None = None,
    keep: Keep[Seed] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> Iterator[Seed]:
    """The seeds in some sources: documented functions, each with what it needs to stand alone.

    Args:
        sources: folders, git repositories, archives, tables, `stdlib`, or any iterable of `Document`; those of the configuration
            where there are none.
        config: what seeds must be like, in `config.seeds`.
        keep: a filter of your own.
        on_reject: called with everything that is dropped.
        journal: a file in which batches of documents are remembered.

    Raises:
        UsageError: a source does not exist, an extra is missing, or a setting is invalid.
    """
    named = [str(source) for source in sources if isinstance(source, str | Path)]
    own = tuple(source for source in sources if not isinstance(source, str | Path))
    changes = {"seeds.sources": named} if sources else {}
    settings = replace(resolve_seeds(change_config(config or Config(), changes)), documents=own)
    return _mined(settings, journal, keep, on_reject)


def _mined(settings: Any, journal: str | Path | None, keep: Keep[Seed] | None, on_reject: OnReject) -> Iterator[Seed]:
    with Journal(_path(journal), MiningEntry) as entries:
        for seed in iterate_seeds(settings, on_reject, entries):
            refused = _refused(seed, "seeds", keep)
            if refused is None:
                yield seed
            else:
                on_reject(refused)


def concepts(
    seeds: Iterable[Seed],
    config: Config | None = None,
    *,
    keep: Keep[Concepts] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> Iterator[Concepts]:
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
    return _sync(_generated("concepts", seeds, config, journal), "concepts", keep, on_reject)


def aconcepts(
    seeds: Items[Seed],
    config: Config | None = None,
    *,
    keep: Keep[Concepts] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Concepts, None]:
    """As `concepts`, for asynchronous programs."""
    return _async(_generated("concepts", seeds, config, journal), "concepts", keep, on_reject)


def instructions(
    concepts: Iterable[Concepts],
    config: Config | None = None,
    *,
    keep: Keep[Instruction] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> Iterator[Instruction]:
    """C->I: a task for each list of concepts, of a drawn category and difficulty.

    Args and errors are those of `concepts`; categories and difficulties are in `config.generate`.
    """
    return _sync(_generated("instructions", concepts, config, journal), "instructions", keep, on_reject)


def ainstructions(
    concepts: Items[Concepts],
    config: Config | None = None,
    *,
    keep: Keep[Instruction] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Instruction, None]:
    """As `instructions`, for asynchronous programs."""
    return _async(_generated("instructions", concepts, config, journal), "instructions", keep, on_reject)


def responses(
    instructions: Iterable[Instruction],
    config: Config | None = None,
    *,
    keep: Keep[Response] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> Iterator[Response]:
    """I->R: `config.generate.samples` answers to each task, each with tests of its own; those to one task are neighbours.

    Args and errors are those of `concepts`.
    """
    return _sync(_generated("responses", instructions, config, journal), "responses", keep, on_reject)


def aresponses(
    instructions: Items[Instruction],
    config: Config | None = None,
    *,
    keep: Keep[Response] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Response, None]:
    """As `responses`, for asynchronous programs."""
    return _async(_generated("responses", instructions, config, journal), "responses", keep, on_reject)


def ask(
    records: Iterable[R],
    stage: Stage[R, S],
    config: Config | None = None,
    *,
    samples: int = 1,
    keep: Keep[S] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> Iterator[S]:
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
    return _sync(_custom(records, stage, config, samples, journal), stage.name, keep, on_reject)


def aask(
    records: Items[R],
    stage: Stage[R, S],
    config: Config | None = None,
    *,
    samples: int = 1,
    keep: Keep[S] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[S, None]:
    """As `ask`, for asynchronous programs."""
    return _async(_custom(records, stage, config, samples, journal), stage.name, keep, on_reject)


def execute(
    responses: Iterable[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> Iterator[Execution]:
    """Run each response's program by its own tests, in the sandbox. Those that do not pass are rejects with a verdict.

    Args:
        responses: with four sections each.
        config: limits and tier, in `config.execute`.
        keep: a filter of your own.
        on_reject: called with what did not pass, and with what the filter drops.
        journal: a file in which verdicts are remembered.

    Raises:
        SandboxError: no tier works on this machine.
    """
    return _sync(_executed(responses, config, journal), "execute", keep, on_reject)


def aexecute(
    responses: Items[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Execution, None]:
    """As `execute`, for asynchronous programs."""
    return _async(_executed(responses, config, journal), "execute", keep, on_reject)


def agree(responses: Iterable[Response], config: Config | None = None) -> Iterator[Examination]:
    """Every sample of a task against every assertion of all of them: one matrix for each task.

    Args:
        responses: those to one task must be neighbours.
        config: limits and tier, in `config.execute`.

    Raises:
        SandboxError: no tier works on this machine.
    """
    return iterate(_examined(responses, config))


def aagree(responses: Items[Response], config: Config | None = None) -> AsyncGenerator[Examination, None]:
    """As `agree`, for asynchronous programs."""
    return _examined(responses, config)


def verify(
    responses: Iterable[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> Iterator[Execution]:
    """Execute responses and hold the samples of each task against each other: repaired tests, mutants, a confidence.

    Args:
        responses: those to one task must be neighbours.
        config: what a sample must withstand, in `config.verify`; limits and tier, in `config.execute`.
        keep: a filter of your own.
        on_reject: called with what did not pass, and with what the filter drops.
        journal: a file in which evidence is remembered; verdicts lie beside it.

    Raises:
        SandboxError: no tier works on this machine.
    """
    return _sync(_verified(responses, config, journal), "verify", keep, on_reject)


def averify(
    responses: Items[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = _ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Execution, None]:
    """As `verify`, for asynchronous programs."""
    return _async(_verified(responses, config, journal), "verify", keep, on_reject)


def select(
    candidates: Iterable[Execution | Row],
    config: Config | None = None,
    *,
    keep: Keep[Row] | None = None,
    on_reject: OnReject = _ignore,
) -> Iterator[Row]:
    """Choose rows: one for each task, without duplicates, contamination or what lies below a bar.

    Args:
        candidates: verified responses, which become rows in the configured style; or rows, which stay as they are.
        config: bars, benchmarks and style, in `config.select`.
        keep: a filter of your own, asked before rows are compared.
        on_reject: called with everything that is dropped.

    Raises:
        UsageError: verified responses and rows are mixed, or a benchmark cannot be read.
    """
    return _selected(candidates, _checked(config), keep, on_reject)


def _selected(
    candidates: Iterable[Execution | Row], config: Config, keep: Keep[Row] | None, on_reject: OnReject
) -> Iterator[Row]:
    kinds: set[bool] = set()

    def rows() -> Iterator[Row]:
        for place, one in enumerate(_of_kind(candidates, Response, "select")):
            kinds.add(isinstance(one, Row))
            if len(kinds) > 1:
                raise UsageError(f"select: rows and verified responses are mixed; number {place} is {one.id}.")
            row = one if isinstance(one, Row) else sanitize(one, RAW, config.run.seed)
            refused = row if isinstance(row, Reject) else _refused(row, "select", keep)
            if refused is not None:
                on_reject(refused)
            elif isinstance(row, Row):
                yield row

    chosen = select_rows(rows(), config.select, config.run.seed, on_reject)
    if True in kinds:
        yield from chosen
        return
    for outcome in sanitize_rows(chosen, config.select, config.run.seed):
        if isinstance(outcome, Reject):
            on_reject(outcome)
        else:
            yield decode_record(outcome, Row)


# What all stages share --------------------------------------------------------------------------------------------------


def _checked(config: Config | None) -> Config:
    """A configuration that was built in Python, checked as one from a file is."""
    return change_config(config or Config(), {})


def _path(journal: str | Path | None) -> Path | None:
    return Path(journal) if journal is not None else None


def _of_kind(items: Iterable[Any], kind: type[Any], stage: str) -> Iterator[Any]:
    """The items, each of which must be of a kind.

    Raises:
        UsageError: one is not.
    """
    for place, item in enumerate(items):
        if not isinstance(item, kind):
            raise UsageError(f"{stage} takes {kind.__name__} records; number {place} is {type(item).__name__}.")
        yield item


@contextlib.asynccontextmanager
async def _input(items: Items[Any], kind: type[Any], stage: str) -> AsyncIterator[AsyncIterator[Any]]:
    checked = items if isinstance(items, AsyncIterator) else _of_kind(items, kind, stage)
    async with taken_apart(checked) as found:
        yield found


def _generated(stage: str, records: Items[Any], config: Config | None, journal: str | Path | None) -> Outcomes:
    # A seed gives one list of concepts, and that one task, as in a run.
    changes = {} if stage == RESPONSES else {"generate.samples": 1}
    settings = change_config(config or Config(), changes)
    spec = BY_NAME[stage]
    assert spec.generation is not None and spec.reads is not None
    model, generation = model_of_stage(settings, stage), resolve_generation(settings)[stage]
    setting = Setting(settings, journal=_path(journal))
    return _asked(spec.generation, records, BY_NAME[spec.reads].makes, generation, model, setting)


def _custom(
    records: Items[Any], stage: Stage[Any, Any], config: Config | None, samples: int, journal: str | Path | None
) -> Outcomes:
    changed = change_config(config or Config(), {"generate.samples": samples}, "samples")
    definition, setting = generation_stage(stage), Setting(changed, journal=_path(journal))
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
        _input(records, kind, definition.name) as found,
        contextlib.aclosing(_flat(asked(definition, found, generation, model, setting))) as outcomes,
    ):
        async for outcome in outcomes:
            yield outcome


async def _flat(outcomes: AsyncGenerator[Sequence[Record], None]) -> Outcomes:
    async with contextlib.aclosing(outcomes) as found:
        async for some in found:
            for outcome in some:
                yield outcome


def _executed(responses: Items[Response], config: Config | None, journal: str | Path | None) -> Outcomes:
    return _through(responses, "execute", executed, Setting(_checked(config), journal=_path(journal)))


def _verified(responses: Items[Response], config: Config | None, journal: str | Path | None) -> Outcomes:
    return _through(responses, "verify", verified, Setting(_checked(config), journal=_path(journal)))


async def _through(
    responses: Items[Response], name: str, stage: Callable[..., AsyncGenerator[Any, None]], setting: Setting
) -> Outcomes:
    async with (
        _input(responses, Response, name) as found,
        contextlib.aclosing(_flat(stage(found, setting))) as outcomes,
    ):
        async for outcome in outcomes:
            yield outcome


async def _examined(responses: Items[Response], config: Config | None) -> AsyncGenerator[Examination, None]:
    async with (
        _input(responses, Response, "agree") as found,
        contextlib.aclosing(examined(found, Setting(_checked(config)))) as outcomes,
    ):
        async for outcome in outcomes:
            yield outcome


def _refused(record: Any, stage: str, keep: Keep[Any] | None) -> Reject | None:
    """The reject of a record that a filter drops; None where it stays."""
    found = keep(record) if keep is not None else None
    return None if found is None else Reject(id=record.id, stage=stage, reason=found[0], detail=found[1])


def _sync(outcomes: Outcomes, stage: str, keep: Keep[Any] | None, on_reject: OnReject) -> Iterator[Any]:
    with contextlib.closing(iterate(outcomes)) as found:
        for outcome in found:
            refused = outcome if isinstance(outcome, Reject) else _refused(outcome, stage, keep)
            if refused is None:
                yield outcome
            else:
                on_reject(refused)


async def _async(
    outcomes: Outcomes, stage: str, keep: Keep[Any] | None, on_reject: OnReject
) -> AsyncGenerator[Any, None]:
    async with contextlib.aclosing(outcomes) as found:
        async for outcome in found:
            refused = outcome if isinstance(outcome, Reject) else _refused(outcome, stage, keep)
            if refused is None:
                yield outcome
            else:
                on_reject(refused)
