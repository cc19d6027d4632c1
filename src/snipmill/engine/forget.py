"""Takes out of a run everything that grew from some seeds, as if they had never been mined. No model is asked.

The seeds are mined again without what is forgotten, so that what it had hidden as a duplicate comes back, and the run's files are
made anew from the journals. Then the journals are rewritten without what belongs to no remaining seed. Hashes keep the forgotten
from being mined again. If this is interrupted, the same command finishes it, and `run` waits for that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from snipmill.config import Config
from snipmill.config_file import load_config, render_config
from snipmill.engine.account import per_row
from snipmill.engine.replay import Replayed, look_through, replay, steps_that_execute, steps_that_look_up
from snipmill.engine.run_files import RunFiles, finish
from snipmill.engine.runners import Backends, Journals, join_shards, make_runners, open_journals
from snipmill.engine.shard_state import is_at_work
from snipmill.engine.status import recorded_models
from snipmill.errors import StoreError, UsageError
from snipmill.id_index import IdIndex
from snipmill.records import Record, Reject, Response, Row, Seed
from snipmill.seeds.forgotten import Forgotten, Wanted, license_of
from snipmill.stages.evidence_runs import next_second
from snipmill.stages.funnel import Funnel
from snipmill.stages.seed_stream import first_origin, iterate_seeds
from snipmill.stages.settings import Settings, resolve
from snipmill.stages.spec import BY_NAME, DATASET, STAGES
from snipmill.store.entries import Entry, MiningEntry
from snipmill.store.journal import keep_entries, read_journal
from snipmill.store.jsonl import Writer
from snipmill.store.reading import own_records
from snipmill.store.run_directory import CALIBRATION, CONFIG, SHARDS, RunDirectory

R = TypeVar("R", bound=Record)
_GRADED = "tests"  # the journal of exports: it holds code, and can be made again
_RECORD = (
    "record-"  # begins the ids of mining entries that are kept for what they say of their seeds, and are never reused
)


@dataclass(frozen=True)
class ForgetReport:
    """What was taken out.

    Attributes:
        seeds: of those that the run had used.
        rows: of its data set.
        entries: lines of journals.
        came_back: seeds that the forgotten ones had hidden.
        unfinished: seeds that wait for completions.
        changed: seeds that are gone because their sources have changed on disk.
        funnel: of the run as it is now.
    """

    seeds: int
    rows: int
    entries: int
    came_back: int
    unfinished: int
    changed: int
    funnel: dict[str, Any]


async def forget(
    directory: RunDirectory, wanted: Wanted, tell: Callable[[str], None], remake_pages: Callable[[], None]
) -> ForgetReport:
    """Forget some seeds of a run.

    Args:
        directory: of the run, finished or not.
        wanted: what to forget; `ids` may be those of seeds, answers or rows.
        tell: called with what is being done.
        remake_pages: called when the data set is made anew, for what else was made of it.

    Raises:
        UsageError: nothing of the run is named so, nothing else would be left, or a source that stays is not there.
        StoreError: another process works on the run, or it cannot be written.
    """
    manifest, config_before = directory.read_manifest(), load_config(directory.path / CONFIG)
    _refuse_working_shards(directory)
    with open_journals(directory) as journals:
        directory.remove_leftovers()
        join_shards(directory, journals)
        wanted = _with_interrupted(directory, wanted)
        wanted, config = _without_sources(config_before, wanted)
        forgotten = Forgotten(directory.read_forgotten(), wanted)
        settings = resolve(_with_kept_calibration(config, directory))
        settings = replace(settings, seeds=replace(settings.seeds, forgotten=forgotten))
        named = sum(forgotten.has_seed(seed) for seed in _recorded_seeds(directory))
        if not named and config == config_before and not directory.forgetting.exists():
            raise UsageError(_nothing_named(directory))
        seeds_before, rows_before = _ids(directory, "seeds", Seed), _ids(directory, DATASET, Row)
        directory.write_text(directory.forgetting.name, msgspec.json.encode(wanted).decode())
        directory.write_forgotten(forgotten.hashes)  # what is named stays forgotten even if this is interrupted
        for journal in journals.values():
            journal.used = IdIndex()
        tell("mining again, and making the run's files anew")
        remade = await _remake(settings, directory, journals, manifest, seeds_before)
        directory.write_forgotten(forgotten.hashes)
        directory.write_text(CONFIG, render_config(config))
        wrong = finish(config, directory, remade.funnel, settings.calibration)
        directory.write_manifest({**_manifest(manifest, remade), "expected_wrong": asdict(wrong)})
        remake_pages()
        tell("taking what grew from it out of the journals")
        await _mark_recorded(settings, directory, journals, manifest, remade.kept)
        directory.journal(_GRADED).unlink(missing_ok=True)
        directory.report.unlink(missing_ok=True)  # it shows code, and can be made again
        _purge_own_seeds(directory, forgotten)
        shutil.rmtree(directory.path / SHARDS, ignore_errors=True)  # what they have paid for was joined
        entries = sum(_purge(directory, stage, journals, forgotten) for stage in journals)
        directory.forgetting.unlink()
    gone = [seed for seed in seeds_before if seed not in remade.kept]
    return ForgetReport(
        seeds=len(gone),
        rows=len(rows_before - _ids(directory, DATASET, Row)),
        entries=entries,
        came_back=len(remade.kept - seeds_before),
        unfinished=len(remade.found.unfinished),
        changed=sum(seed not in remade.rejected and seed not in remade.forgotten for seed in gone),
        funnel=remade.funnel.to_json(),
    )


@dataclass
class _Remade:
    """A run's files, made anew: the ids of its seeds, of refused ones, and of those of its old seeds that were named."""

    kept: set[str]
    rejected: set[str]
    forgotten: set[str]
    found: Replayed
    funnel: Funnel


async def _remake(
    settings: Settings, directory: RunDirectory, journals: Journals, manifest: dict[str, Any], before: set[str]
) -> _Remade:
    """Make the run's files without what is forgotten."""
    config, forgotten = settings.config, settings.seeds.forgotten
    named = {seed.id for seed in _records(directory, "seeds", Seed) if forgotten.has_seed(seed)}
    remade = _Remade(set(), set(), named, Replayed(), Funnel())
    async with settings.execution.open(next_second) as sandboxes:
        tier = str(manifest.get("sandbox_tier") or sandboxes.first.tier)
        backends = Backends(recorded_models(manifest), tier, sandboxes=sandboxes)
        runners = make_runners(settings, journals, backends, remade.funnel)
        with RunFiles(directory, config) as files:

            def drop(reject: Reject) -> None:
                files.rejects["seeds"].write(reject)
                remade.rejected.add(reject.id)
                remade.funnel["seeds"].count(reject.reason)

            def seeds() -> Iterator[Seed]:
                for seed in iterate_seeds(settings.seeds, drop, journals["seeds"]):
                    remade.kept.add(seed.id)
                    yield seed

            def all_are_seen() -> bool:
                return before <= remade.kept | remade.rejected | named

            steps = steps_that_execute(runners)
            await replay(seeds(), steps, config, files, remade.funnel, remade.found, all_are_seen)
            made = set(files.kept)
    for stage in STAGES[:-1]:
        if stage.name not in made:  # of an earlier configuration
            directory.kept(stage.name).unlink(missing_ok=True)
            directory.rejects(stage.name).unlink(missing_ok=True)
    return remade


async def _mark_recorded(
    settings: Settings, directory: RunDirectory, journals: Journals, manifest: dict[str, Any], kept: set[str]
) -> None:
    """Mark as used what belongs to seeds that the run knows, does not use now, and has not forgotten: it was paid for."""
    backends = Backends(recorded_models(manifest), str(manifest.get("sandbox_tier")))
    runners = make_runners(settings, journals, backends, Funnel())
    forgotten, seen = settings.seeds.forgotten, IdIndex()

    def others() -> Iterator[Seed]:
        for seed in _recorded_seeds(directory):
            if seed.id not in kept and seen.add(seed.id, 0) is None and not forgotten.has_seed(seed):
                yield seed

    await look_through(others(), steps_that_look_up(runners, Replayed()), settings.config)


def _refuse_working_shards(directory: RunDirectory) -> None:
    """Shards are taken away when what they have paid for was joined.

    Raises:
        StoreError: one of them is at work.
    """
    for index, shard in directory.shards().items():
        if is_at_work(shard):
            raise StoreError(f"Shard {index} of {directory.path} is at work. Wait for it, or stop it.")


def _purge_own_seeds(directory: RunDirectory, forgotten: Forgotten) -> None:
    """Take what is forgotten out of the seeds that a Python program gave."""
    if directory.own_seeds.exists():
        left = [seed for _, seed in own_records(directory.own_seeds, Seed) if not forgotten.has_seed(seed)]
        with Writer[Seed](directory.own_seeds) as writer:
            for seed in left:
                writer.write(seed)


def _recorded_seeds(directory: RunDirectory) -> Iterator[Seed]:
    """All seeds that the run has ever mined or used."""
    for entry in read_journal(directory.journal("seeds"), MiningEntry):
        yield from entry.seeds
    yield from _records(directory, "seeds", Seed)


def _with_interrupted(directory: RunDirectory, wanted: Wanted) -> Wanted:
    """What is wanted, with the seeds that ids stand for, and with what an interrupted command wanted."""
    ids = frozenset(_seeds_of(directory, wanted.ids))
    if not directory.forgetting.exists():
        return replace(wanted, ids=ids)
    earlier = msgspec.json.decode(directory.forgetting.read_bytes(), type=Wanted)
    return Wanted(
        sources=wanted.sources | earlier.sources,
        licenses=wanted.licenses | earlier.licenses,
        paths=(*wanted.paths, *earlier.paths),
        ids=ids | earlier.ids,
    )


def _seeds_of(directory: RunDirectory, ids: frozenset[str]) -> set[str]:
    """The seeds that ids name: as seeds, or as what grew from them.

    Raises:
        UsageError: an id is none of the run's, and no interrupted command can have taken it out.
    """
    found = {seed.id for seed in _recorded_seeds(directory) if seed.id in ids} if ids else set[str]()
    missing = ids - found
    for stage in ("responses", DATASET) if missing else ():
        for record in _records(directory, stage, Response if stage != DATASET else Row):
            if record.id in missing:
                missing -= {record.id}
                found.add(str(record.parents.get("seed")))
    if missing and not directory.forgetting.exists():
        raise UsageError(f"{directory.path} has no seed or row {sorted(missing)[0]!r}. Nothing was changed.")
    return found


def _without_sources(config: Config, wanted: Wanted) -> tuple[Wanted, Config]:
    """What is wanted by the names of provenance, and the configuration without the sources that are named.

    A source is named as it stands in the configuration, or as provenance has it. One that is not on disk any more is known by the
    last part of its address.

    Raises:
        UsageError: nothing else would be left, a source that stays is not there, or it has the name of one that goes.
    """
    names = {source: first_origin(config, source) for source in config.seeds.sources}
    gone = [source for source, name in names.items() if source in wanted.sources or name in wanted.sources]
    gone += [source for source, name in names.items() if name is None and Path(source).name in wanted.sources]
    left = tuple(source for source in config.seeds.sources if source not in gone)
    if config.seeds.sources and not left:
        raise UsageError("Nothing would be left: the run has no other source. Delete its directory instead.")
    absent = next((source for source in left if names[source] is None), None)
    if absent is not None:
        raise UsageError(
            f"{absent} is not there, and must be mined again, since it stays. Bring it back, or forget it too."
        )
    going = {names[source] or Path(source).name for source in gone}
    shared = sorted(going & {names[source] for source in left} - {None})
    if shared:
        raise UsageError(
            f"Another source is called {shared[0]!r} too, and provenance cannot tell them apart. Name it by --path or --ids, or "
            f"both of them as --source {shared[0]}."
        )
    seeds = msgspec.structs.replace(config.seeds, sources=left)
    return replace(wanted, sources=wanted.sources | going), msgspec.structs.replace(config, seeds=seeds)


def _nothing_named(directory: RunDirectory) -> str:
    sources: set[str] = set()
    licenses: set[str] = set()
    for seed in _recorded_seeds(directory):
        licenses.add(license_of(seed))
        if seed.provenance is not None:
            sources.add(seed.provenance.source)
    return (
        f"No seed of {directory.path} is named so. Its sources are {_some(sources)}; its licences are {_some(licenses)}. "
        "Nothing was changed."
    )


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:8]) or "unknown"
    return f"{shown} and {len(names) - 8:,} more" if len(names) > 8 else shown


def _records(directory: RunDirectory, stage: str, kind: type[R]) -> Iterator[R]:
    return (record for _, record in own_records(directory.kept(stage), kind))


def _ids(directory: RunDirectory, stage: str, kind: type[Record]) -> set[str]:
    return {record.id for record in _records(directory, stage, kind)}


def _with_kept_calibration(config: Config, directory: RunDirectory) -> Config:
    """The configuration with the copy of the calibration that the run keeps: the user's file may have changed since."""
    kept = directory.path / CALIBRATION
    if config.verify.calibration is None or not kept.is_file():
        return config
    return msgspec.structs.replace(config, verify=msgspec.structs.replace(config.verify, calibration=str(kept)))


def _manifest(manifest: dict[str, Any], remade: _Remade) -> dict[str, Any]:
    """The run's manifest as it is now. What it cost stays: it was paid."""
    rows, unfinished = remade.funnel["select"].kept, len(remade.found.unfinished)
    changed = {**manifest, "funnel": remade.funnel.to_json()}
    accounting = manifest.get("accounting")
    if isinstance(accounting, dict):
        tokens = accounting.get("prompt_tokens", 0) + accounting.get("completion_tokens", 0)
        changed["accounting"] = {**accounting, **per_row(rows, tokens, accounting.get("cost"))}
    if unfinished:
        why = str(manifest.get("stopped") or "")
        waiting = f"{unfinished:,} seeds wait for completions; `snipmill run` goes on."
        changed |= {"status": "stopped", "stopped": f"{why} {waiting}".strip()}
    return changed


def _purge(directory: RunDirectory, stage: str, journals: Journals, forgotten: Forgotten) -> int:
    """Rewrite a journal without what belongs to no seed that the run still knows."""
    used = journals[stage].used
    assert used is not None
    kind = BY_NAME[stage].entry
    assert kind is not None

    def kept(entry: Entry, offset: int) -> Entry | None:
        is_used = used.get(entry.id) == offset
        if not isinstance(entry, MiningEntry):
            return entry if is_used else None
        seeds = [seed for seed in entry.seeds if not forgotten.has_seed(seed)]
        if is_used:
            return msgspec.structs.replace(entry, seeds=seeds)
        # What was refused may speak of what is forgotten, and mining costs nothing.
        name = entry.id if entry.id.startswith(_RECORD) else f"{_RECORD}{entry.id}"
        return MiningEntry(id=name, seeds=seeds) if seeds else None

    path = directory.journal(stage)
    return keep_entries(path, path, kind, kept)
