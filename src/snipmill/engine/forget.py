"""Takes out of a run everything that grew from some seeds, as if they had never been mined. No model is asked.

The seeds are mined again without what is forgotten, so that what it had hidden as a duplicate comes back; the run's files are made
anew from the journals; then the journals are rewritten with only what the remaining seeds use, and hashes keep the forgotten from
being mined again. If this is interrupted, the same command finishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.config_file import load_config, render_config
from snipmill.engine.replay import Replayed, replay, steps_that_execute
from snipmill.engine.run_files import RunFiles, finish
from snipmill.engine.runners import Backends, Journals, make_runners, open_journals
from snipmill.engine.status import recorded_models
from snipmill.errors import UsageError
from snipmill.id_index import IdIndex
from snipmill.records import Reject, Response, Row, Seed
from snipmill.seeds.forgotten import Forgotten, Wanted
from snipmill.stages.evidence_runs import next_second
from snipmill.stages.funnel import Funnel
from snipmill.stages.seed_stream import everything_in, iterate_seeds, resolve_seeds
from snipmill.stages.settings import Settings, resolve
from snipmill.stages.spec import STAGES
from snipmill.store.journal import Entry, MiningEntry, keep_entries
from snipmill.store.jsonl import decode_record
from snipmill.store.run_directory import CONFIG, RunDirectory

_GRADED = "tests"  # the journal of exports: it holds code, and can be made again


@dataclass(frozen=True)
class ForgetReport:
    """What was taken out.

    Attributes:
        seeds: of those that the run had used.
        rows: of its data set.
        entries: lines of journals.
        came_back: seeds that the forgotten ones had hidden.
        unfinished: seeds that wait for completions.
        funnel: of the run as it is now.
    """

    seeds: int
    rows: int
    entries: int
    came_back: int
    unfinished: int
    funnel: dict[str, Any]


async def forget(directory: RunDirectory, wanted: Wanted, tell: Callable[[str], None]) -> ForgetReport:
    """Forget some seeds of a run.

    Args:
        directory: of the run, finished or not.
        wanted: what to forget.
        tell: called with what is being done.

    Raises:
        UsageError: nothing of the run is named so, or nothing else would be left.
        StoreError: another process works on the run, or it cannot be written.
    """
    manifest = directory.read_manifest()
    before_it = load_config(directory.path / CONFIG)
    config = _without_sources(before_it, wanted)
    forgotten = Forgotten(directory.read_forgotten(), wanted)
    is_named = config != before_it  # as a source stands in the configuration
    if is_named:
        _remember_sources(forgotten, before_it, wanted)
    settings = resolve(config)
    settings = replace(settings, seeds=replace(settings.seeds, forgotten=forgotten))
    with open_journals(directory) as journals:
        before = _ids(directory, "seeds", Seed)
        named = [seed for seed in _records(directory, "seeds", Seed) if forgotten.has_seed(seed)]
        if not named and not is_named and not directory.read_forgotten() & forgotten.hashes:
            raise UsageError(_nothing_named(directory))
        rows_before = _ids(directory, "dataset", Row)
        for journal in journals.values():
            journal.used = IdIndex()
        tell("mining again, and making the run's files anew")
        directory.write_forgotten(forgotten.hashes)  # what is named stays forgotten even if this is interrupted
        funnel = Funnel()
        found, kept = await _remake(settings, directory, journals, manifest, funnel)
        directory.write_forgotten(forgotten.hashes)
        directory.write_text(CONFIG, render_config(config))
        finish(config, directory, funnel)
        directory.write_manifest(_manifest(manifest, funnel, found))
        tell("taking what grew from it out of the journals")
        entries = sum(_purge(directory, stage, journals) for stage in journals)
        directory.journal(_GRADED).unlink(missing_ok=True)
    rows = _ids(directory, "dataset", Row)
    return ForgetReport(
        seeds=len(before - kept),
        rows=len(rows_before - rows),
        entries=entries,
        came_back=len(kept - before),
        unfinished=len(found.unfinished),
        funnel=funnel.to_json(),
    )


async def _remake(
    settings: Settings, directory: RunDirectory, journals: Journals, manifest: dict[str, Any], funnel: Funnel
) -> tuple[Replayed, set[str]]:
    """The run's files without what is forgotten, and the ids of its seeds."""
    config = settings.config
    kept, found = set[str](), Replayed()
    async with settings.execution.open(next_second) as sandboxes:
        tier = str(manifest.get("sandbox_tier") or sandboxes.first.tier)
        runners = make_runners(
            settings, journals, Backends(recorded_models(manifest), tier, sandboxes=sandboxes), funnel
        )
        with RunFiles(directory, config) as files:

            def drop(reject: Reject) -> None:
                files.rejects["seeds"].write(reject)
                funnel["seeds"].count(reject.reason)

            def seeds() -> Any:
                for seed in iterate_seeds(settings.seeds, drop, journals["seeds"]):
                    kept.add(seed.id)
                    yield seed

            await replay(seeds(), steps_that_execute(runners), config, files, funnel, found)
    return found, kept


def seeds_of(directory: RunDirectory, ids: list[str]) -> set[str]:
    """The seeds that ids name: as seeds, or as what grew from them.

    Raises:
        UsageError: an id is none of the run's.
    """
    wanted, found = set(ids), set[str]()
    for stage, kind in (("seeds", Seed), ("responses", Response), ("dataset", Row)):
        for record in _records(directory, stage, kind):
            if record.id in wanted:
                wanted.discard(record.id)
                found.add(record.id if stage == "seeds" else str(record.parents.get("seed")))
    if wanted:
        raise UsageError(f"{directory.path} has no seed or row {sorted(wanted)[0]!r}. Nothing was changed.")
    return found


def _without_sources(config: Config, wanted: Wanted) -> Config:
    """The configuration without the sources that are named as they stand there."""
    left = tuple(source for source in config.seeds.sources if source not in wanted.sources)
    if config.seeds.sources and not left:
        raise UsageError("Nothing would be left: the run has no other source. Delete its directory instead.")
    return msgspec.structs.replace(config, seeds=msgspec.structs.replace(config.seeds, sources=left))


def _remember_sources(forgotten: Forgotten, config: Config, wanted: Wanted) -> None:
    """Remember all that is in the sources that are named as they stand in the configuration; the user may name them again."""
    sources = tuple(source for source in config.seeds.sources if source in wanted.sources)
    table = msgspec.structs.replace(config.seeds, sources=sources)
    try:
        for one in everything_in(resolve_seeds(msgspec.structs.replace(config, seeds=table))):
            forgotten.remember(one)
    except UsageError:  # it was deleted before it was forgotten
        return


def _nothing_named(directory: RunDirectory) -> str:
    origins = [seed.provenance for seed in _records(directory, "seeds", Seed) if seed.provenance is not None]
    sources, licenses = sorted({one.source for one in origins}), sorted({one.license or "unknown" for one in origins})
    return (
        f"No seed of {directory.path} is named so. Its sources are {_some(sources)}; its licences are {_some(licenses)}. "
        "Nothing was changed."
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:8]) or "unknown"
    return f"{shown} and {len(names) - 8:,} more" if len(names) > 8 else shown


def _records(directory: RunDirectory, stage: str, kind: type[Any]) -> Any:
    path = directory.kept(stage)
    if path.exists():
        with path.open("rb") as lines:
            for line in lines:
                yield decode_record(line, kind)


def _ids(directory: RunDirectory, stage: str, kind: type[Any]) -> set[str]:
    return {record.id for record in _records(directory, stage, kind)}


def _manifest(manifest: dict[str, Any], funnel: Funnel, found: Replayed) -> dict[str, Any]:
    """The run's manifest as it is now. What it cost stays: it was paid."""
    changed = {**manifest, "funnel": funnel.to_json(), "status": "done"}
    changed.pop("stopped", None)
    if found.unfinished:
        changed |= {
            "status": "stopped",
            "stopped": f"{len(found.unfinished):,} seeds wait for completions; `snipmill run` goes on.",
        }
    return changed


def _purge(directory: RunDirectory, stage: str, journals: Journals) -> int:
    """Rewrite a journal with the entries that were used alone; of mined seeds, those that are not forgotten."""
    journal = journals[stage]
    used = journal.used
    assert used is not None
    kind = next(spec.entry for spec in STAGES if spec.name == stage)
    assert kind is not None

    def kept(entry: Entry, offset: int) -> Entry | None:
        if used.get(entry.id) != offset:
            return None
        if isinstance(entry, MiningEntry):
            seeds = [seed for seed in entry.seeds if not forgotten.has_seed(seed)]
            return msgspec.structs.replace(entry, seeds=seeds)
        return entry

    forgotten = Forgotten(directory.read_forgotten())
    path = directory.journal(stage)
    return keep_entries(path, path, kind, kept)
