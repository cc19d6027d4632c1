"""A run or a data set as a folder of examples that a trainer takes."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, get_args

import msgspec

from snipmill import __version__
from snipmill.config import Config
from snipmill.config_file import load_config
from snipmill.errors import StoreError, UsageError
from snipmill.languages import PYTHON
from snipmill.parallel.in_order import map_in_order
from snipmill.publish.formats import harbor, preferences
from snipmill.publish.formats.catalogue import ABOUT, TABLES
from snipmill.publish.formats.item import FIELDS_OF_THOUGHT, Format, GradedTask, Options, Thinking
from snipmill.publish.formats.preferences import fault_of
from snipmill.publish.journals import current_files
from snipmill.publish.sampled import STAGE, SampledTask, read_rows, read_tasks
from snipmill.publish.shard_files import MARK, SPLITS, Kind, ShardWriter, entries_of, features, new_folder
from snipmill.publish.split import Split, split_rows
from snipmill.reasons import Reason
from snipmill.records import Execution, Reject, Row
from snipmill.selection.styles import resolve_look
from snipmill.stages.grade_tests import Grader, MatrixEntry
from snipmill.stages.settings import resolve_execution
from snipmill.store.journal import Journal
from snipmill.store.jsonl import Writer
from snipmill.store.run_directory import CONFIG, RunDirectory
from snipmill.text.sections import Malformed, parse_sections
from snipmill.verification.any_program import build_any_program
from snipmill.verification.tampering import tampers

_JOURNAL = "tests"
_REJECTS = "rejects.jsonl"
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
    out: str
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
        left_out: how many rows or samples gave none, by reason; rows are in the folder's rejects.
        unfinished: whether the run had not come to its end.
        tasks: how many tasks were looked at so far.
    """

    examples: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    unfinished: bool = False
    tasks: int = 0


@dataclass(frozen=True)
class _Source:
    """What is read: a run with its configuration, or a data set under default settings.

    Attributes:
        path: of the run directory, or the data set.
        dataset: its rows.
        config: of the run.
        journal: where grades are written down; None for nowhere.
        python: the version under which it was verified.
    """

    path: str
    dataset: str
    config: Config
    journal: Path | None
    python: str


async def export(request: Request, progress: Exported) -> Exported:
    """Write a folder of examples.

    Args:
        request: what to write.
        progress: is kept up to date.

    Raises:
        UsageError: there is no such format, run or data set, nothing comes of it, or the folder holds other files.
        StoreError: it cannot be written.
    """
    if request.format not in ABOUT:
        raise UsageError(f"There is no format {request.format!r}; the formats are {', '.join(ABOUT)}.")
    for name, value, known in (
        ("kind", request.kind, get_args(Kind)),
        ("thinking", request.thinking, get_args(Thinking)),
    ):
        if value not in known:
            raise UsageError(f"{name}: {value!r} is none of {', '.join(known)}.")
    if not 0 <= request.split <= 0.5:
        raise UsageError(f"split: {request.split} is no share from 0 to 0.5.")
    async with _open_source(request, progress) as source:
        config = source.config
        options = Options(request.thinking, resolve_look(config.select.style, config.select.look), config.run.seed)
        with new_folder(request.out) as folder:
            with Writer[Reject](folder / _REJECTS) as rejects:

                def drop(reject: Reject) -> None:
                    progress.left_out[reject.reason] += 1
                    rejects.write(reject)

                split = split_rows(read_rows(source.dataset, lambda _reject: None), request.split, config.run.seed)
                table = TABLES.get(request.format)
                if table is not None and table.of_row is not None:
                    _write_rows(table, request, options, split, folder, source.dataset, drop, progress)
                else:
                    async with contextlib.aclosing(_graded(request, source, drop, progress)) as tasks:
                        if table is None:
                            await _write_folders(tasks, split, folder, source.python, drop, progress)
                        else:
                            await _write_tasks(table, tasks, request, options, split, folder, progress)
            if not rejects.count:
                (folder / _REJECTS).unlink()
            if not sum(progress.examples.values()):
                raise UsageError(_nothing(request, progress))
            _describe(folder, request, source.dataset, progress)
    return progress


@contextlib.asynccontextmanager
async def _open_source(request: Request, progress: Exported) -> AsyncIterator[_Source]:
    """The run or data set. Of a run that is still under way, what its journals give so far."""
    directory = RunDirectory(request.source)
    if not directory.is_there:
        yield _Source(request.source, request.source, Config(), None, platform.python_version())
        return
    if Path(request.out).resolve().is_relative_to(directory.path.resolve()):  # noqa: ASYNC240
        raise UsageError(f"{request.out} lies in the run directory. Give a folder elsewhere as --out.")
    manifest, config = directory.read_manifest(), load_config(directory.path / CONFIG)
    progress.unfinished = manifest.get("status") != "done" or bool(manifest.get("stopped"))
    journal, python = directory.journal(_JOURNAL), str(manifest.get("python"))
    async with current_files(directory, config, manifest) as (files, _):
        yield _Source(str(files.path), str(files.dataset), config, journal, python)


def _nothing(request: Request, progress: Exported) -> str:
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in progress.left_out.most_common())
    return (
        f"Nothing of {request.source} can be exported as {request.format}: {progress.tasks:,} tasks were looked at"
        f"{f'; left out were {reasons}' if reasons else ''}. Nothing was written."
    )


def _writer(folder: Path, table: Format, request: Request) -> ShardWriter:
    return ShardWriter(folder, table.columns, request.kind, request.shard_rows, left_out_columns(request))


def left_out_columns(request: Request) -> frozenset[str]:
    """The columns and fields that an export does not have."""
    return FIELDS_OF_THOUGHT if request.thinking != "field" else frozenset()


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
            _count_unused(table, graded, progress)
            for example in table.of_task(graded, options):
                out.write(split.of(graded.task.row.id), example)


def _count_unused(table: Format, graded: GradedTask, progress: Exported) -> None:
    """Count what a format of tasks does not show: more rows of the task, and failures that are no fault of the code."""
    if graded.task.more_rows:
        progress.left_out["more rows of the same task"] += graded.task.more_rows
    for sample in graded.task.failed if table in preferences.FORMATS else ():
        fault = fault_of(graded, sample)
        if fault != "code":
            progress.left_out["samples with wrong tests" if fault == "tests" else "samples that fit no check"] += 1


async def _write_folders(
    tasks: AsyncIterator[GradedTask],
    split: Split,
    folder: Path,
    python: str,
    drop: Callable[[Reject], None],
    progress: Exported,
) -> None:
    """Harbor: a folder for each task."""
    taken: set[str] = set()
    async for graded in tasks:
        row, part = graded.task.row, split.of(graded.task.row.id)
        name = harbor.folder_name(row.id, taken)
        made = harbor.harbor_files(graded, name, python)
        if isinstance(made, Malformed):
            drop(Reject(id=row.id, stage=STAGE, reason=made.reason, detail=made.detail))
            continue
        taken.add(name)
        for inner, (text, executable) in made.items():
            path = folder / part / name / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="replace")
            path.chmod(0o755 if executable else 0o644)
        progress.examples[part] = progress.examples.get(part, 0) + 1


async def _graded(
    request: Request, source: _Source, drop: Callable[[Reject], None], progress: Exported
) -> AsyncGenerator[GradedTask, None]:
    """The tasks with their tests graded, in order. What was graded before is looked up in the run's journal."""
    table = source.config.execute
    if request.sandbox is not None:
        table = msgspec.structs.replace(table, sandbox=request.sandbox)
    execution = resolve_execution(table)
    with Journal(source.journal, MatrixEntry) as journal:
        async with execution.sandbox(table.sandbox) as sandbox:
            grader = Grader(sandbox, execution.context(sandbox.tier), journal)

            async def work(task: SampledTask) -> GradedTask | Reject:
                return await _grade(task, grader)

            number = 0
            async with contextlib.aclosing(map_in_order(read_tasks(source.path, drop), work, _WINDOW)) as outcomes:
                async for outcome in outcomes:
                    progress.tasks += 1
                    if isinstance(outcome, Reject):
                        drop(outcome)
                    else:
                        yield replace(outcome, number=number)
                        number += 1


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
    if not matrix.passes:
        detail = "Its own program does not pass here, so that it is neither an answer nor a grader."
        return Reject(id=task.row.id, stage=STAGE, reason=Reason.FAILED, detail=detail)
    if tampers(*split):
        detail = (
            "Its code changes names or modules that its tests use, so that it cannot be told from code that games them."
        )
        return Reject(id=task.row.id, stage=STAGE, reason=Reason.VACUOUS, detail=detail)
    return GradedTask(task, *split, matrix)


def code_and_tests(row: Execution | Row) -> tuple[str, str] | Malformed:
    """The implementation and the tests of a row in Python, with four sections or with blocks alone."""
    if row.language != PYTHON:
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
    table = TABLES.get(request.format)
    if table is not None:
        header = {
            "configs": [{"config_name": "default", "data_files": [_files_of(name, "data") for name in splits]}],
            "dataset_info": {"features": features(table.columns, left_out_columns(request))},
        }
        lines = [f"{name}: {msgspec.json.encode(value).decode()}" for name, value in header.items()]  # JSON is YAML
        card = "\n".join(["---", *lines, "---", "", f"{ABOUT[request.format]}", ""])
        (folder / "README.md").write_text(card, encoding="utf-8")
    about = {
        "snipmill": __version__,
        "format": request.format,
        "examples": {name: progress.examples[name] for name in splits},
        "split": request.split,
        "kind": request.kind,
        "shard_rows": request.shard_rows,
        "thinking": request.thinking,
        "dataset_sha256": _digest(Path(dataset)),
        "entries": entries_of(folder),
    }
    text = msgspec.json.format(msgspec.json.encode(about), indent=1).decode()
    (folder / MARK).write_text(f"{text}\n", encoding="utf-8")


def _files_of(split: str, folder: str) -> dict[str, str]:
    return {"split": split, "path": f"{folder}/{split}-*"}


class _About(msgspec.Struct, frozen=True):
    """What the mark of an export says of how it was made."""

    format: str
    split: float
    kind: Kind
    shard_rows: Annotated[int, msgspec.Meta(ge=1)]
    thinking: Thinking


def request_of(exported: Path, source: str, out: Path) -> Request:
    """The request that made an export, for making it again.

    Raises:
        UsageError: its mark is damaged.
    """
    try:
        about = msgspec.json.decode((exported / MARK).read_bytes(), type=_About)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{exported / MARK} is not what an export writes: {error}.") from error
    return Request(
        source=source,
        format=about.format,
        out=str(out),
        split=about.split,
        kind=about.kind,
        shard_rows=about.shard_rows,
        thinking=about.thinking,
    )


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
