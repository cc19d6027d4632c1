"""Whole runs and what becomes of them: results, audits, exports, reports."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from snipmill.api.iteration import finish, read_apart
from snipmill.api.outcomes import check_kind, checked
from snipmill.config import AUDIT_DEFAULTS, ColumnsTable, Config
from snipmill.config_file import change_config, load_config
from snipmill.engine import local
from snipmill.engine.audit import Audit, audit_file
from snipmill.engine.lineage import Ancestor, trace
from snipmill.engine.progress import Progress
from snipmill.engine.status import read_funnel
from snipmill.errors import UsageError
from snipmill.id_index import IdIndex
from snipmill.records import Reject, Row, Seed
from snipmill.stages.settings import Settings
from snipmill.stages.spec import BY_NAME
from snipmill.stages.stage_count import StageCount
from snipmill.store.jsonl import Writer
from snipmill.store.reading import own_records
from snipmill.store.run_directory import CONFIG, RunDirectory
from snipmill.verification.data_sets import Columns

if TYPE_CHECKING:
    from snipmill.publish.export import Exported


class Run:
    """A run directory, finished or not.

    Args:
        path: of the directory.

    Raises:
        UsageError: there is no run.
    """

    def __init__(self, path: str | Path) -> None:
        self._directory = RunDirectory(path)
        self._directory.read_manifest()

    @property
    def path(self) -> Path:
        """The directory."""
        return self._directory.path

    @property
    def config(self) -> Config:
        """The configuration, every key resolved."""
        return load_config(self.path / CONFIG)

    @property
    def manifest(self) -> dict[str, Any]:
        """Versions, model, hashes, funnel and account, as they stand in manifest.json."""
        return self._directory.read_manifest()

    def rows(self) -> Iterator[Row]:
        """The rows of the data set, in their order; none before it is written."""
        return _records(self._directory.dataset, Row)

    def rejects(self, stage: str) -> Iterator[Reject]:
        """What a stage dropped, in the order of the seeds; none before the files are written.

        Raises:
            UsageError: there is no such stage.
        """
        if stage not in BY_NAME:
            raise UsageError(f"There is no stage {stage!r}; the stages are {', '.join(BY_NAME)}.")
        return _records(self._directory.rejects(stage), Reject)

    def funnel(self) -> dict[str, dict[str, Any]]:
        """By stage, how many records came in, were kept, and were dropped for which reason; also while the run works."""
        return read_funnel(self._directory, self.manifest)

    def trace(self, record_id: str) -> list[Ancestor]:
        """A record's ancestors and itself, with the exact prompts; empty where no id begins so."""
        return trace(self._directory, record_id)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def _records(path: Path, kind: type[Any]) -> Iterator[Any]:
    return (record for _, record in own_records(path, kind))


async def arun(config: Config, progress: Progress | None = None, *, seeds: Iterable[Seed] | None = None) -> Run:
    """Make a data set, or continue where an earlier run with this directory stopped.

    Args:
        config: the run's configuration; `run.dir` is its directory.
        progress: is kept up to date while the run works.
        seeds: of your own, in place of those of the configuration's sources. To continue, give them again.

    Raises:
        SnipmillError: no single record can be blamed for it; all that was made is kept.
    """
    settings = checked(config)
    prepare: Callable[[RunDirectory, Settings], Awaitable[None]] | None = None
    if seeds is not None:
        path = str(RunDirectory(config.run.dir).own_seeds.resolve())
        table = msgspec.structs.replace(settings.seeds, sources=(path,), columns=ColumnsTable())
        settings, prepare = msgspec.structs.replace(settings, seeds=table), partial(_keep_seeds, seeds)
    directory = await local.run(settings, progress or Progress(), prepare=prepare)
    return Run(directory.path)


async def _keep_seeds(seeds: Iterable[Seed], directory: RunDirectory, settings: Settings) -> None:
    """Keep the given seeds in the run, which any command can then continue: as many as are used, each once, none forgotten.

    Raises:
        UsageError: there are none, or one is no seed.
    """
    table, kept, place = settings.seeds.table, IdIndex(), -1
    most = None if table.shuffle or table.limit is None else table.start + table.limit
    with Writer[Seed](directory.own_seeds) as writer:
        async with contextlib.aclosing(read_apart(iter(seeds))) as given:
            async for seed in given:
                place += 1
                check_kind(seed, (Seed,), "run", place)
                if kept.add(seed.id, place) is None and not settings.seeds.forgotten.has_seed(seed):
                    writer.write(seed)
                if writer.count == most:
                    break
        if place < 0:
            raise UsageError("run: seeds is empty. A generator that was used already gives nothing; give a list.")


def run(config: Config, progress: Progress | None = None, *, seeds: Iterable[Seed] | None = None) -> Run:
    """As `arun`, for synchronous programs."""
    return finish(arun(config, progress, seeds=seeds))


def audit(dataset: str | Path, *, columns: Columns | None = None, config: Config | None = None) -> Audit:
    """Execute a finished data set again, anyone's: how many rows hold, and what is wrong with the others.

    Args:
        dataset: a file, a folder or a pattern of files, or hub:OWNER/NAME.
        columns: which columns hold instruction, response and tests, if not those of its layout.
        config: limits and sandbox in `config.execute`, bars and benchmarks in `config.select`; None for those of
            `snipmill audit`.
    """
    settings = change_config(Config(), AUDIT_DEFAULTS) if config is None else checked(config)
    work = audit_file(str(dataset), None, columns or Columns(), settings, StageCount(), lambda _text: None)
    return finish(work)


def export(
    source: Run | str | Path | Iterable[Row],
    format: str,
    out: str | Path,
    *,
    split: float = 0.0,
    kind: Literal["parquet", "jsonl"] = "parquet",
    thinking: Literal["drop", "inline", "field"] = "drop",
) -> Exported:
    """Write what a trainer takes: SFT, preferences, repair turns, or RL tasks with their own grader.

    Args:
        source: a run, a data set, or rows.
        format: a name that `snipmill export --format list` lists, such as `messages`.
        out: the folder to write.
        split: the share of the rows that are for testing; what is alike stays together.
        kind: of the files. Parquet needs the extra `parquet`.
        thinking: where traces of thought go.

    Returns:
        how many examples there are, by split, and what gave none, by reason.

    Raises:
        UsageError: there is no such format, run or data set, or nothing comes of it.
        StoreError: the folder cannot be written.
    """
    from snipmill.publish.export import Exported, Request
    from snipmill.publish.export import export as write

    def request(path: str) -> Request:
        return Request(path, format, str(out), split=split, kind=kind, thinking=thinking)

    if isinstance(source, Run | str | Path):
        path = source.path if isinstance(source, Run) else source
        return finish(write(request(str(path)), Exported()))
    with tempfile.TemporaryDirectory(prefix="snipmill-") as folder:
        rows = Path(folder) / "rows.jsonl"
        with Writer[Row](rows) as writer:
            for place, row in enumerate(source):
                check_kind(row, (Row,), "export", place)
                writer.write(row)
        return finish(write(request(str(rows)), Exported()))


def report(*runs: Run | str | Path, out: str | Path | None = None, rows: int = 50_000, details: int = 500) -> Path:
    """Write the report of a run, or the comparison of two, as one HTML file.

    Args:
        runs: one or two, finished or not.
        out: the file; None for report.html in the run, or comparison.html.
        rows: how many are listed; of more, a random sample.
        details: how many of these open with their seed, prompts and all samples.

    Returns:
        where it was written.

    Raises:
        UsageError: there is no run, or the file is something else than a report.
        StoreError: the file cannot be written.
    """
    from snipmill.reporting.write import write_report

    paths = [run.path if isinstance(run, Run) else run for run in runs]
    return finish(write_report(paths, out, rows, details)).path
