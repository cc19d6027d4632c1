"""The public Python API: a run, its results, seeds and audits, for scripts and notebooks.

Functions are synchronous, and work where an event loop is running, too, as in a notebook; `arun` is for asynchronous programs.
All of them raise `SnipmillError` where no single record can be blamed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from snipmill.config import AUDIT_DEFAULTS, Config
from snipmill.config_file import change_config, load_config
from snipmill.engine import local
from snipmill.engine.audit import Audit, audit_file
from snipmill.engine.lineage import Ancestor, trace
from snipmill.engine.progress import Progress
from snipmill.engine.status import read_funnel
from snipmill.errors import UsageError
from snipmill.records import Reject, Row, Seed
from snipmill.stages.seed_stream import iterate_seeds, resolve_seeds
from snipmill.stages.spec import BY_NAME
from snipmill.stages.stage_count import StageCount
from snipmill.store.reading import own_records
from snipmill.store.run_directory import CONFIG, RunDirectory
from snipmill.verify.data_sets import Columns

T = TypeVar("T")


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


async def arun(config: Config, progress: Progress | None = None) -> Run:
    """Make a data set, or continue where an earlier run with this directory stopped.

    Args:
        config: the run's configuration; `run.dir` is its directory.
        progress: is kept up to date while the run works.
    """
    directory = await local.run(_checked(config), progress or Progress())
    return Run(directory.path)


def run(config: Config, progress: Progress | None = None) -> Run:
    """As `arun`, for synchronous programs."""
    return _finish(arun(config, progress))


def mine(
    *sources: str | Path, config: Config | None = None, on_reject: Callable[[Reject], None] = lambda _reject: None
) -> Iterator[Seed]:
    """The seeds in some sources: documented functions, each with what it needs to stand alone.

    Args:
        sources: folders, git repositories, archives, tables, `stdlib`; those of the configuration where there are none.
        config: what seeds must be like, in `config.seeds`.
        on_reject: called with everything that is dropped.
    """
    changes = {"seeds.sources": [str(source) for source in sources]} if sources else {}
    return iterate_seeds(resolve_seeds(change_config(config or Config(), changes)), on_reject)


def audit(dataset: str | Path, *, columns: Columns | None = None, config: Config | None = None) -> Audit:
    """Execute a finished data set again, anyone's: how many rows hold, and what is wrong with the others.

    Args:
        dataset: a file, a folder or a pattern of files, or hub:OWNER/NAME.
        columns: which columns hold instruction, response and tests, if not those of its layout.
        config: limits and sandbox in `config.execute`, bars and benchmarks in `config.select`; None for those of
            `snipmill audit`.
    """
    settings = change_config(Config(), AUDIT_DEFAULTS) if config is None else _checked(config)
    work = audit_file(str(dataset), None, columns or Columns(), settings, StageCount(), lambda _text: None)
    return _finish(work)


def _checked(config: Config) -> Config:
    """A configuration that was built in Python, checked as one from a file is."""
    return change_config(config, {})


def _finish(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, wherever it is asked for; an interruption ends it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _finish_in_thread(work)


def _finish_in_thread(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine on a loop of its own, since one is running here, as in a notebook."""
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def begin() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(1, thread_name_prefix="snipmill") as thread:
        result = thread.submit(asyncio.run, begin())
        try:
            return result.result()
        except BaseException:
            if not result.done():
                loop, task = begun.result()
                loop.call_soon_threadsafe(task.cancel)
            raise
