"""A run or a data set as a folder of examples that a trainer takes."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from snipmill import __version__
from snipmill.config import Config
from snipmill.config_file import load_config
from snipmill.errors import StoreError, UsageError
from snipmill.parallel.in_order import map_in_order
from snipmill.publish.formats import harbor
from snipmill.publish.formats.catalogue import ABOUT, TABLES
from snipmill.publish.formats.item import FIELDS_OF_THOUGHT, Format, GradedTask, Options, Thinking
from snipmill.publish.sampled import STAGE, SampledTask, read_rows, read_tasks
from snipmill.publish.shard_files import MARK, SPLITS, Kind, ShardWriter, new_folder
from snipmill.publish.split import Split, split_rows
from snipmill.reasons import Reason
from snipmill.records import Reject
from snipmill.select.styles import resolve_look
from snipmill.stages.grade_tests import Grader, MatrixEntry
from snipmill.stages.settings import resolve_execution
from snipmill.store.journal import Journal
from snipmill.store.jsonl import Writer
from snipmill.store.run_directory import CONFIG, RunDirectory, rejects_path
from snipmill.text.sections import Malformed, parse_sections
from snipmill.verify.any_program import build_any_program

_JOURNAL = "tests"
_WINDOW = 16  # tasks whose tests are graded at a time


@dataclass(frozen=True)
class Request:
    """What to export, and how.

    Attributes:
        source: a run directory, or a data set.
        format: by name.
        out: the folder to write.
        split: share of the rows that are for testing.
        kind: of the files.
        shard_rows: at most as many examples make a file.
        thinking: where traces of thought go.
        sandbox: the tier in which tests are graded; None for that of the configuration.
    """

    source: str
    format: str
    out: Path
    split: float = 0.0
    kind: Kind = "parquet"
    shard_rows: int = 50_000
    thinking: Thinking = "drop"
    sandbox: str | None = None


@dataclass
class Exported:
    """What came of an export.

    Attributes:
        examples: how many were written, by split.
        left_out: how many rows or samples gave none, by reason; for rows see the rejects beside the folder.
        unfinished: whether the run had not come to its end.
        tasks: how many tasks were looked at so far.
    """

    examples: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    unfinished: bool = False
    tasks: int = 0


async def export(request: Request, progress: Exported) -> Exported:
    """Write a folder of examples.

    Args:
        request: what to write.
        progress: is kept up to date.

    Raises:
        UsageError: there is no such format, run or data set, or the folder holds other files.
        StoreError: it cannot be written.
    """
    if request.format not in ABOUT:
        raise UsageError(f"There is no format {request.format!r}; the formats are {', '.join(ABOUT)}.")
    directory = RunDirectory(request.source)
    is_run = directory.is_there
    dataset = str(directory.dataset) if is_run else request.source
    if is_run:
        manifest = directory.read_manifest()
        progress.unfinished = manifest.get("status") != "done" or bool(manifest.get("stopped"))
        if not directory.dataset.exists():
            raise UsageError(f"{directory.path} has no rows yet; go on with `snipmill run {directory.path / CONFIG}`.")
    config = load_config(directory.path / CONFIG) if is_run else Config()
    options = Options(request.thinking, resolve_look(config.select.style, config.select.look), config.run.seed)
    with new_folder(request.out) as folder, Writer[Reject](rejects_path(request.out)) as rejects:

        def drop(reject: Reject) -> None:
            progress.left_out[reject.reason] += 1
            rejects.write(reject)

        split = split_rows(read_rows(dataset, lambda _reject: None), request.split, config.run.seed)
        table = TABLES.get(request.format)
        if table is not None and table.of_row is not None:
            _write_rows(table, request, options, split, folder, dataset, drop, progress)
        else:
            graded = _graded(request, config, is_run, drop, progress)
            async with contextlib.aclosing(graded) as tasks:
                if table is None:
                    await _write_folders(tasks, split, folder, progress)
                else:
                    await _write_tasks(table, tasks, request, options, split, folder, progress)
        _describe(folder, request, dataset, progress)
    if not progress.left_out.total():
        rejects_path(request.out).unlink(missing_ok=True)
    return progress


def _writer(folder: Path, table: Format, request: Request) -> ShardWriter:
    without = FIELDS_OF_THOUGHT if request.thinking != "field" else frozenset[str]()
    return ShardWriter(folder, table.columns, request.kind, request.shard_rows, without)


def _write_rows(
    table: Format,
    request: Request,
    options: Options,
    split: Split,
    folder: Path,
    dataset: str,
    drop: Callable[[Reject], None],
    progress: Exported,
) -> None:
    """Formats that need nothing but the rows, in the order of the data set."""
    assert table.of_row is not None
    with _writer(folder, table, request) as out:
        progress.examples = out.counts
        for row in read_rows(dataset, drop):
            progress.tasks += 1
            for example in table.of_row(row, options):
                out.write(split.of(row.id), example)


async def _write_tasks(
    table: Format,
    tasks: AsyncIterator[GradedTask],
    request: Request,
    options: Options,
    split: Split,
    folder: Path,
    progress: Exported,
) -> None:
    """Formats that need the samples of a task and what its tests notice."""
    assert table.of_task is not None
    with _writer(folder, table, request) as out:
        progress.examples = out.counts
        async for graded in tasks:
            for example in table.of_task(graded, options):
                out.write(split.of(graded.task.row.id), example)


async def _write_folders(tasks: AsyncIterator[GradedTask], split: Split, folder: Path, progress: Exported) -> None:
    """Harbor: a folder for each task."""
    async for graded in tasks:
        part = split.of(graded.task.row.id)
        for name, (text, executable) in harbor.harbor_files(graded).items():
            path = folder / part / graded.task.row.id / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="replace")
            path.chmod(0o755 if executable else 0o644)
        progress.examples[part] = progress.examples.get(part, 0) + 1


async def _graded(
    request: Request, config: Config, is_run: bool, drop: Callable[[Reject], None], progress: Exported
) -> AsyncGenerator[GradedTask, None]:
    """The tasks with their tests graded, in order. What was graded before is looked up in the run's journal."""
    table = (
        config.execute if request.sandbox is None else msgspec.structs.replace(config.execute, sandbox=request.sandbox)
    )
    execution = resolve_execution(table)
    journal_path = RunDirectory(request.source).journal(_JOURNAL) if is_run else None
    with Journal(journal_path, MatrixEntry) as journal:
        async with execution.sandbox(table.sandbox) as sandbox:
            grader = Grader(sandbox, execution.context(sandbox.tier), journal)

            async def work(task: SampledTask) -> GradedTask | Reject:
                return await _grade(task, grader)

            async with contextlib.aclosing(map_in_order(read_tasks(request.source, drop), work, _WINDOW)) as outcomes:
                async for outcome in outcomes:
                    progress.tasks += 1
                    if isinstance(outcome, Reject):
                        drop(outcome)
                    else:
                        yield outcome


async def _grade(task: SampledTask, grader: Grader) -> GradedTask | Reject:
    split = code_and_tests(task.verified)
    if isinstance(split, Malformed):
        return Reject(id=task.row.id, stage=STAGE, reason=split.reason, detail=split.detail)
    others = [sample.response for sample in task.failed] + list(task.passed)
    samples = [
        (other.id, sections.code, sections.tests)
        for other in others
        if not isinstance(sections := parse_sections(other.response, other.language), Malformed)
    ]
    matrix = await grader.grade(*split, samples)
    if matrix is None:
        detail = "The sandbox failed while its tests were tried. Export again; what was tried before is kept."
        return Reject(id=task.row.id, stage=STAGE, reason=Reason.SANDBOX_ERROR, detail=detail)
    return GradedTask(task, *split, matrix)


def code_and_tests(row: Any) -> tuple[str, str] | Malformed:
    """The implementation and the tests of a row in Python, with four sections or with blocks alone."""
    if row.is_unverified:
        return Malformed(Reason.UNVERIFIED, f"{row.language} is not executed, so its tests cannot grade anything.")
    built = build_any_program(row.response, None)
    if isinstance(built, Malformed):
        return built
    line = built.program.tests_line
    if line is None:
        return Malformed(Reason.NO_TESTS, "Its tests cannot be told from its code.")
    return built.implementation, "\n".join(built.program.source.split("\n")[line - 1 :]).strip("\n")


def _describe(folder: Path, request: Request, dataset: str, progress: Exported) -> None:
    """What `datasets` needs to load the folder, and by which the next export knows that it may replace it."""
    splits = [name for name in SPLITS if progress.examples.get(name)]
    about = {
        "snipmill": __version__,
        "format": request.format,
        "examples": {name: progress.examples[name] for name in splits},
        "split": request.split,
        "kind": request.kind,
        "shard_rows": request.shard_rows,
        "thinking": request.thinking,
        "dataset_sha256": _digest(Path(dataset)),
    }
    text = msgspec.json.format(msgspec.json.encode(about), indent=1).decode()
    (folder / MARK).write_text(f"{text}\n", encoding="utf-8")
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for name in splits:
        lines += [f"  - split: {name}", f"    path: data/{name}-*"]
    if request.format != harbor.NAME and splits:
        (folder / "README.md").write_text(
            "\n".join([*lines, "---", ""]) + f"\n{ABOUT[request.format]}\n", encoding="utf-8"
        )


def request_of(exported: Path, source: str, out: Path) -> Request:
    """The request that made an export, for making it again."""
    about = msgspec.json.decode((exported / MARK).read_bytes())
    return Request(
        source=source,
        format=about["format"],
        out=out,
        split=about["split"],
        kind=about["kind"],
        shard_rows=about["shard_rows"],
        thinking=about["thinking"],
    )


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
