"""The journals of a run as they are published: what its data set was made of, and nothing else.

run/config.toml, manifest.json, seeds.jsonl, dataset.jsonl
run/journal/STAGE.jsonl          the completions and verdicts that were used
run/fewshot/                     the few-shot bank, where it was the user's own
run/digests/NAME.jsonl           digests of each record's fields
run/SHA256SUMS                   of all files above
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from snipmill.config import Config
from snipmill.config_file import load_config, render_config
from snipmill.config_model import ModelTable, StageModelTable
from snipmill.engine.replay import Replayed, replay, steps_that_look_up
from snipmill.engine.run_files import RunFiles, finish
from snipmill.engine.runners import Backends, make_runners, open_journals
from snipmill.engine.status import recorded_models
from snipmill.errors import UsageError
from snipmill.id_index import IdIndex
from snipmill.publish.digests import write_digests, write_sums
from snipmill.records import Reject, Seed
from snipmill.stages.funnel import Funnel
from snipmill.stages.seed_stream import resolve_seeds
from snipmill.stages.settings import ExecutionSettings, Settings, resolve_execution, resolve_generation
from snipmill.stages.spec import STAGES
from snipmill.store.journal import Entry, MiningEntry, keep_entries
from snipmill.store.reading import read_records
from snipmill.store.run_directory import CONFIG, DATASET, RunDirectory

FOLDER, SUMS, DIGESTS, FEWSHOT = "run", "SHA256SUMS", "digests", "fewshot"
_SEEDS = "seeds.jsonl"
_PRIVATE = ("served", "platform")  # of the manifest: where it was made
_NO_ADDRESS = "http://removed.invalid/v1"
M = TypeVar("M", ModelTable, StageModelTable)


def publish_journals(directory: RunDirectory, out: Path) -> None:
    """Copy what reproduces a run into a new folder.

    Args:
        directory: of a finished run.
        out: the folder to make.

    Raises:
        UsageError: the run's journals do not give its data set.
    """
    config = load_config(directory.path / CONFIG)
    out.mkdir(parents=True)
    (out / "journal").mkdir()
    (out / DIGESTS).mkdir()
    published = without_addresses(_with_bank(config, out))
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


def without_addresses(config: Config) -> Config:
    """A configuration without the addresses of servers, which are nobody's business; that there was one stays to be seen."""
    model = config.model
    stages = {name: _anonymous(getattr(model.stages, name)) for name in model.stages.__struct_fields__}
    model = _anonymous(msgspec.structs.replace(model, stages=msgspec.structs.replace(model.stages, **stages)))
    judge = msgspec.structs.replace(config.judge, model=_anonymous(config.judge.model))
    return msgspec.structs.replace(config, model=model, judge=judge)


def _anonymous(table: M) -> M:
    if not table.base_url and not table.headers:
        return table
    address = _NO_ADDRESS if table.base_url else table.base_url
    return msgspec.structs.replace(table, base_url=address, headers={})


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
    name = f"{FOLDER}/{target.relative_to(out)}"
    return msgspec.structs.replace(config, generate=msgspec.structs.replace(config.generate, fewshot=name))


def _used_entries(directory: RunDirectory, config: Config, scratch: RunDirectory) -> dict[str, IdIndex]:
    """The entries that a replay of the run uses, by stage."""
    used: dict[str, IdIndex] = {}
    replayed = replay_directory(directory, config, scratch, used)
    if replayed.missing or scratch.dataset.read_bytes() != directory.dataset.read_bytes():
        raise UsageError(
            f"The journals of {directory.path} do not give its data set. Its configuration or snipmill has changed since; "
            f"`snipmill run {directory.path / CONFIG}` makes it anew."
        )
    return used


def replay_directory(
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
    settings = _recorded_settings(config, manifest.get("environment"))
    funnel, found = Funnel(), Replayed()
    with open_journals(directory, to_read=True) as journals:
        for stage, journal in journals.items():
            if used is not None:
                journal.used = used[stage] = IdIndex()
        backends = Backends(recorded_models(manifest), str(manifest.get("sandbox_tier")))
        runners = make_runners(settings, journals, backends, funnel)
        seeds = read_records(str(directory.kept("seeds")), Seed, "reproduce")
        kept = (seed for seed in seeds if not isinstance(seed, Reject))
        with RunFiles(scratch, config) as files:
            asyncio.run(replay(kept, steps_that_look_up(runners, found), config, files, funnel, found))
        finish(config, scratch, funnel)
    return found


def _recorded_settings(config: Config, environment: str | None) -> Settings:
    """The settings of a run that was made elsewhere: what verdicts depend on is what was recorded, not what is here."""
    table = msgspec.structs.replace(config.execute, interpreter=None)
    here = resolve_execution(table)
    execution = ExecutionSettings(config.execute, here.limits, here.interpreter, environment or here.environment)
    seeds = resolve_seeds(msgspec.structs.replace(config, seeds=msgspec.structs.replace(config.seeds, sources=())))
    return Settings(config=config, seeds=seeds, generation=resolve_generation(config), execution=execution)
