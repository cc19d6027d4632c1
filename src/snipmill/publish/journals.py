"""The journals of a run as they are published: what its data set was made of, and nothing else.

run/config.toml, manifest.json, seeds.jsonl, dataset.jsonl
run/journal/STAGE.jsonl          the completions and verdicts that were used
run/fewshot/                     the few-shot bank, where it was the user's own
run/calibration.json             what evidence is worth
run/digests/NAME.jsonl           digests of each record's fields
run/SHA256SUMS                   of all files above
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from snipmill.config import ClusterTable, Config, SeedsTable
from snipmill.config_file import load_config, render_config
from snipmill.config_model import ModelTable, StageModelTable
from snipmill.engine.replay import Replayed, replay, steps_that_look_up
from snipmill.engine.run_files import RunFiles, finish
from snipmill.engine.runners import Backends, make_runners, open_journals
from snipmill.engine.status import recorded_models
from snipmill.errors import UsageError
from snipmill.id_index import IdIndex
from snipmill.publish.digests import sha256, write_digests, write_sums
from snipmill.records import Reject, Seed
from snipmill.seeds.forgotten import Forgotten
from snipmill.seeds.private import private_findings
from snipmill.stages.benchmark_files import load_index, write_index
from snipmill.stages.calibration_file import calibration_of
from snipmill.stages.funnel import Funnel
from snipmill.stages.seed_stream import iterate_seeds, resolve_seeds
from snipmill.stages.settings import ExecutionSettings, Settings, resolve_execution, resolve_generation
from snipmill.stages.spec import STAGES
from snipmill.store.entries import Entry, MiningEntry
from snipmill.store.journal import Journal, keep_entries
from snipmill.store.reading import read_records
from snipmill.store.run_directory import CALIBRATION, CONFIG, DATASET, RunDirectory

FOLDER, SUMS, DIGESTS, FEWSHOT, BENCHMARKS = "run", "SHA256SUMS", "digests", "fewshot", "benchmarks"
_SEEDS = "seeds.jsonl"
_PRIVATE = ("served", "platform")  # of the manifest: where it was made
_NO_ADDRESS = "http://removed.invalid/v1"
M = TypeVar("M", ModelTable, StageModelTable)


def publish_journals(directory: RunDirectory, out: Path, allow: frozenset[str] = frozenset()) -> None:
    """Copy what reproduces a run into a new folder.

    Args:
        directory: of a finished run.
        out: the folder to make.
        allow: kinds of secrets that are published all the same.

    Raises:
        UsageError: the run's journals do not give its data set, or its configuration holds secrets.
    """
    config = load_config(directory.path / CONFIG)
    out.mkdir(parents=True)
    (out / "journal").mkdir()
    (out / DIGESTS).mkdir()
    published = _without_private(_with_benchmarks(_with_calibration(_with_bank(config, out), directory, out), out))
    _refuse_secrets(published, allow)
    (out / CONFIG).write_text(render_config(published), encoding="utf-8")
    manifest = {name: value for name, value in directory.read_manifest().items() if name not in _PRIVATE}
    RunDirectory(out).write_manifest(manifest)
    for name in (_SEEDS, DATASET):
        shutil.copyfile(directory.path / name, out / name)
    with tempfile.TemporaryDirectory(prefix="snipmill-") as scratch:
        used = _used_entries(directory, config, RunDirectory(scratch))
    for stage in STAGES:
        if stage.entry is None or stage.entry is MiningEntry or not directory.journal(stage.name).exists():
            continue
        index = used[stage.name]

        def kept(entry: Entry, offset: int, index: IdIndex = index) -> Entry | None:
            return entry if index.get(entry.id) == offset else None

        keep_entries(directory.journal(stage.name), out / "journal" / f"{stage.name}.jsonl", stage.entry, kept)
    names = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()]
    for name in names:
        if name.endswith(".jsonl"):
            write_digests(out / name, out / DIGESTS / name.replace("/", "-"))
    write_sums(out, [*names, *(f"{DIGESTS}/{path.name}" for path in (out / DIGESTS).iterdir())], out / SUMS)


def _without_private(config: Config) -> Config:
    """A configuration without addresses, paths and names of keys, and with the published seeds as its source."""
    model = config.model
    stages = {name: _anonymous(getattr(model.stages, name)) for name in model.stages.__struct_fields__}
    model = _anonymous(msgspec.structs.replace(model, stages=msgspec.structs.replace(model.stages, **stages)))
    defaults = ModelTable()
    model = msgspec.structs.replace(
        model, serve_args=defaults.serve_args, serve_python=defaults.serve_python, key_variable=defaults.key_variable
    )
    return msgspec.structs.replace(
        config,
        run=msgspec.structs.replace(config.run, dir=FOLDER),
        seeds=msgspec.structs.replace(config.seeds, sources=(_SEEDS,), columns=SeedsTable().columns),
        model=model,
        judge=msgspec.structs.replace(config.judge, model=_anonymous(config.judge.model)),
        review=msgspec.structs.replace(config.review, model=_anonymous(config.review.model)),
        execute=msgspec.structs.replace(config.execute, interpreter=None),
        cluster=ClusterTable(),
    )


def _anonymous(table: M) -> M:
    address = _NO_ADDRESS if table.base_url else table.base_url
    return msgspec.structs.replace(table, base_url=address, headers={}, key_variable=type(table)().key_variable)


def _refuse_secrets(config: Config, allow: frozenset[str]) -> None:
    """Refuse a configuration in which something looks like a secret: `extra_body` may hold anything.

    Raises:
        UsageError: it does.
    """
    for kind, finding in private_findings(render_config(config)):
        if kind not in allow:
            raise UsageError(
                f"Not pushed: the configuration holds what looks like: {finding.kind} (line {finding.line} of what would be "
                f"published as {FOLDER}/{CONFIG}). Take it out, or give --allow {kind}."
            )


def _with_bank(config: Config, out: Path) -> Config:
    """The configuration with the user's own few-shot bank beside it, where there is one."""
    bank = config.generate.fewshot
    if bank is None:
        return config
    target = out / FEWSHOT
    if Path(bank).is_dir():
        shutil.copytree(bank, target)
    else:
        target.mkdir()
        shutil.copyfile(bank, target / "bank.txt")
        target = target / "bank.txt"
    generate = msgspec.structs.replace(config.generate, fewshot=str(target.relative_to(out)))
    return msgspec.structs.replace(config, generate=generate)


def _with_calibration(config: Config, directory: RunDirectory, out: Path) -> Config:
    """The configuration, with the calibration of the run beside it."""
    kept = directory.path / CALIBRATION
    if kept.is_file():
        shutil.copyfile(kept, out / CALIBRATION)
    if config.verify.calibration is None or not kept.is_file():
        return config
    return msgspec.structs.replace(config, verify=msgspec.structs.replace(config.verify, calibration=CALIBRATION))


def _with_benchmarks(config: Config, out: Path) -> Config:
    """The configuration with fingerprints in place of the user's own benchmarks, which may be private."""
    names = []
    for number, benchmark in enumerate(config.select.benchmarks):
        name = f"{BENCHMARKS}/{number}.fingerprints"
        (out / BENCHMARKS).mkdir(exist_ok=True)
        write_index(load_index(benchmark), str(out / name))
        names.append(name)
    return msgspec.structs.replace(config, select=msgspec.structs.replace(config.select, benchmarks=tuple(names)))


def _used_entries(directory: RunDirectory, config: Config, scratch: RunDirectory) -> dict[str, IdIndex]:
    """The entries that a replay of the run uses, by stage."""
    used: dict[str, IdIndex] = {}
    replayed = asyncio.run(replay_directory(directory, config, scratch, used))
    if replayed.missing or sha256(scratch.dataset) != sha256(directory.dataset):
        raise UsageError(
            f"The journals of {directory.path} do not give its data set. Its configuration or snipmill has changed since; "
            f"`snipmill run {directory.path / CONFIG}` makes it anew."
        )
    return used


async def replay_directory(
    directory: RunDirectory, config: Config, scratch: RunDirectory, used: dict[str, IdIndex] | None = None
) -> Replayed:
    """Make a run's files again from its seeds and journals, without a model and without executing anything.

    Args:
        directory: of the run.
        config: its configuration.
        scratch: where the files are made.
        used: receives the entries that were used, by stage.

    Raises:
        StoreError: a journal is damaged.
    """
    manifest = directory.read_manifest()
    settings = _recorded_settings(directory, config, manifest.get("environment"))
    funnel, found = Funnel(), Replayed()
    with open_journals(directory, to_read=True) as journals:
        for stage, journal in journals.items():
            if used is not None:
                journal.used = used[stage] = IdIndex()
        backends = Backends(recorded_models(manifest), str(manifest.get("sandbox_tier")))
        runners = make_runners(settings, journals, backends, funnel)
        with RunFiles(scratch, config) as files:
            kept = _seeds(directory, config, journals["seeds"])
            await replay(kept, steps_that_look_up(runners, found), config, files, funnel, found)
        found.wrong = finish(config, scratch, funnel, settings.calibration)
        found.funnel = funnel.to_json()
    return found


@contextlib.asynccontextmanager
async def current_files(
    directory: RunDirectory, config: Config, manifest: dict[str, Any]
) -> AsyncIterator[tuple[RunDirectory, Replayed | None]]:
    """The files of a run. Of one that is still under way, what its journals give so far, in a folder that goes with the block.

    Yields:
        where the files are, and what a replay found, where one was needed.
    """
    if manifest.get("status") != "running" and directory.dataset.exists():
        yield directory, None
        return
    with tempfile.TemporaryDirectory(prefix="snipmill-") as folder:
        scratch = RunDirectory(folder)
        found = await replay_directory(directory, config, scratch)
        scratch.write_text(CONFIG, render_config(config))
        yield scratch, found


def _seeds(directory: RunDirectory, config: Config, journal: Journal[MiningEntry]) -> Iterator[Seed]:
    """The seeds of a run, in their order. Where it has not come to write them down, they are mined as it does."""
    path = directory.kept("seeds")
    if path.exists():
        seeds = read_records(str(path), Seed, "reproduce")
        return (seed for seed in seeds if not isinstance(seed, Reject))
    settings = replace(resolve_seeds(config), forgotten=Forgotten(directory.read_forgotten()))
    return iterate_seeds(settings, lambda _reject: None, journal)


def _recorded_settings(directory: RunDirectory, config: Config, environment: str | None) -> Settings:
    """The settings of a run that was made elsewhere: what verdicts depend on is what was recorded, not what is here."""
    table = msgspec.structs.replace(config.execute, interpreter=None)
    here = resolve_execution(table)
    execution = ExecutionSettings(config.execute, here.limits, here.interpreter, environment or here.environment)
    seeds = resolve_seeds(msgspec.structs.replace(config, seeds=msgspec.structs.replace(config.seeds, sources=())))
    return Settings(
        config=config,
        seeds=seeds,
        generation=resolve_generation(config),
        execution=execution,
        calibration=calibration_of(directory, config),
    )
