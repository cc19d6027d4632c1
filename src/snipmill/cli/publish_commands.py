"""`snipmill export`, `attribution`, `card`, `push`, `reproduce` and `forget`: what becomes of a run."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from snipmill import __version__
from snipmill.cli.display import console, funnel_table, say, told_now_and_then
from snipmill.errors import UsageError

if TYPE_CHECKING:
    from snipmill.publish.export import Exported, Request

_MOST_TOLD = 200  # differences; the first ones show where it began


def export_command(
    source: Annotated[str, typer.Argument(metavar="RUN|DATASET", help="A run directory, or a data set.")],
    format_name: Annotated[
        str,
        typer.Option("--format", "-f", help="What to make; `list` lists all.", show_default=False),
    ],
    out: Annotated[str | None, typer.Option("--out", "-o", help="The folder to write.", show_default=False)] = None,
    split: Annotated[
        float,
        typer.Option(
            "--split",
            min=0.0,
            max=0.5,
            help="Share of the rows for testing; what is alike stays together.",
        ),
    ] = 0.0,
    jsonl: Annotated[bool, typer.Option("--jsonl/--parquet", help="JSON lines, or Parquet.")] = False,
    shard_rows: Annotated[int, typer.Option("--shard-rows", min=1, help="Examples in one file.")] = 50_000,
    thinking: Annotated[
        str,
        typer.Option("--thinking", help="Traces of thought: `inline` in <think>, a `field` of their own, or `drop`."),
    ] = "drop",
    sandbox: Annotated[
        str | None, typer.Option("--sandbox", help="Sandbox tier in which tests are tried.", show_default="the run's")
    ] = None,
) -> None:
    """Make of a run what a trainer takes: SFT, preferences, repair turns, and RL tasks with their own grader.

    Preferences and tasks try each check of a row against other samples and mutants. What came of it is kept in the run.
    """
    from snipmill.publish.formats.catalogue import ABOUT

    if format_name == "list":
        for name, about in ABOUT.items():
            typer.echo(f"{name:24}{about}")
        return
    if out is None:
        raise UsageError("Give the folder to write as --out DIR.")
    if thinking not in ("inline", "field", "drop"):
        raise UsageError(f"--thinking: {thinking!r} is none of inline, field and drop.")
    from snipmill.publish.export import Exported, Request, export

    progress = Exported()
    request = Request(
        source=source,
        format=format_name,
        out=out,
        split=split,
        kind="jsonl" if jsonl else "parquet",
        shard_rows=shard_rows,
        thinking=thinking,  # type: ignore[arg-type]
        sandbox=sandbox,
    )
    with told_now_and_then(lambda: f"{progress.tasks:,} rows looked at, {sum(progress.examples.values()):,} examples"):
        asyncio.run(export(request, progress))
    _tell_exported(request, progress)


def _tell_exported(request: Request, progress: Exported) -> None:
    """What came of an export, and what gave nothing."""
    from snipmill.publish.formats.catalogue import ABOUT

    if progress.unfinished:
        say(f"{request.source} is not finished; this is what is there.")
    written = ", ".join(f"{number:,} for {name}ing" for name, number in progress.examples.items()) or "no examples"
    say(f"{written} in {request.out}, as {request.format}: {ABOUT[request.format]}.")
    if request.split and not progress.examples.get("test"):
        say(
            "No row is for testing: every group of rows that hang together is larger than the share that was asked for."
        )
    if progress.left_out:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in progress.left_out.most_common())
        which = (
            f" {request.out}/rejects.jsonl says which rows." if (Path(request.out) / "rejects.jsonl").exists() else ""
        )
        say(f"Left out: {reasons}.{which}")


def attribution(
    dataset: Annotated[str, typer.Argument(help="A data set as JSON lines, or the directory of a finished run.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="File to write, Markdown, or - for standard output.", show_default=False)
    ],
) -> None:
    """Write down whose code the rows of a data set grew from: sources, revisions, licences, files and lines."""
    from snipmill.publish.attribution import attribute, render_attribution
    from snipmill.records import Reject, Row
    from snipmill.store.jsonl import Writer
    from snipmill.store.reading import read_records
    from snipmill.store.run_directory import RunDirectory

    path = str(RunDirectory(dataset).dataset) if Path(dataset).is_dir() else dataset
    rows = (row for row in read_records(path, Row, "attribution") if not isinstance(row, Reject))
    found = attribute(rows)
    with Writer[Row](out) as writer:
        for line in render_attribution(found):
            writer.write_line(f"{line}\n".encode())
    if out != "-":
        sources = len({origin.source for origin in found.rows})
        console.print(escape(f"{found.total:,} rows from {sources:,} sources in {out}"))
    unknown = found.without + sum(count for origin, count in found.rows.items() if not origin.license)
    if unknown:
        console.print(escape(f"{unknown:,} rows have no known origin or licence; they are counted as unknown."))


def card(
    run: Annotated[str, typer.Argument(help="A run directory.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="The folder to write.", show_default="the run directory")
    ] = None,
) -> None:
    """Write the card of a data set (README.md with the hub's header), and its attribution beside it."""
    from snipmill.publish.card import Files
    from snipmill.publish.release import ATTRIBUTION, CARD, write_attribution, write_card
    from snipmill.store.jsonl import Writer
    from snipmill.store.run_directory import RunDirectory

    directory, folder = RunDirectory(run), Path(out or run)
    for name, text in ((CARD, write_card(directory, Files())), (ATTRIBUTION, write_attribution(directory))):
        with Writer[Any](folder / name) as writer:
            writer.write_line(text.encode("utf-8", "replace"))
        say(f"{folder / name}")


def push(
    run: Annotated[str, typer.Argument(help="The directory of a finished run.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The data set on the hub; it is made if need be.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", help="What to publish; can be repeated.", show_default="messages"),
    ] = None,
    split: Annotated[float, typer.Option("--split", min=0.0, max=0.5, help="Share of the rows for testing.")] = 0.0,
    jsonl: Annotated[bool, typer.Option("--jsonl/--parquet", help="JSON lines, or Parquet.")] = False,
    shard_rows: Annotated[int, typer.Option("--shard-rows", min=1, help="Examples in one file.")] = 50_000,
    journals: Annotated[
        bool, typer.Option("--journals", help="Publish what reproduces it too: seeds, completions and verdicts.")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="Everybody may see it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files there that no earlier release wrote.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="Publish rows with a fault: secret, personal-data, license or contaminated."),
    ] = None,
) -> None:
    """Publish a run on the hub, privately: tables, card, attribution, and with --journals what proves it.

    It refuses rows with secrets, licences that were not allowed, or contamination. If it breaks off, the same command goes on.
    """
    from snipmill.publish.hub_files import push_folder, repository_name
    from snipmill.publish.release import Release, stage_release

    repository, chosen = repository_name(name), list(dict.fromkeys(formats or ["messages"]))
    release = Release(
        run=run,
        formats=chosen,
        repository=repository,
        split=split,
        journals=journals,
        allow=frozenset(allow or ()),
        kind="jsonl" if jsonl else "parquet",
        shard_rows=shard_rows,
    )
    with tempfile.TemporaryDirectory(prefix="snipmill-") as folder:
        splits = stage_release(release, Path(folder), say)
        pushed = push_folder(
            Path(folder),
            repository,
            f"{sum(splits[chosen[0]].values()):,} examples, by snipmill {__version__}",
            public=public,
            force=force,
            tell=say,
        )
    say(f"{pushed.url} holds {', '.join(chosen)}, commit {pushed.commit[:12]}.")
    if pushed.private:
        say("Only you see it; change that there." if public else "Only you see it; --public makes a new one public.")


def reproduce(
    where: Annotated[str, typer.Argument(metavar="DIR|hub:OWNER/NAME", help="A run directory, or what was published.")],
    sandbox: Annotated[str, typer.Option("--sandbox", help="Tier for programs that run once more.")] = "auto",
    execute: Annotated[
        float, typer.Option("--execute", min=0.0, max=1.0, help="Share of the programs to run once more.")
    ] = 0.0,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit on the hub.", show_default="the newest")
    ] = None,
) -> None:
    """Prove a data set: make the same bytes again from its journals, without a model, and run some programs once more.

    What differs is listed on standard output, by file, record and field. The exit code is 8 if anything does.
    """
    from snipmill.errors import NotReproduced
    from snipmill.publish.hub_files import fetch_folder, repository_name
    from snipmill.publish.reproduce import prove
    from snipmill.tables.hub import PREFIX

    folder = Path(where)
    if where.startswith(PREFIX):
        folder = fetch_folder(repository_name(where), revision, say)
    elif not folder.is_dir():
        raise UsageError(f"There is no folder {where}. Give a run directory, a published folder, or hub:OWNER/NAME.")
    proof = prove(folder, execute, sandbox, say)
    for difference in proof.differences[:_MOST_TOLD]:
        typer.echo(str(difference))
    for note in proof.notes:
        say(note)
    if proof.differences:
        raise NotReproduced(
            f"{where} is not reproduced: {len(proof.differences):,} differences; the first are listed above."
        )
    say(f"{proof.rows:,} rows from {proof.seeds:,} seeds are the same, byte for byte: SHA-256 {proof.sha256}.")
    if proof.executed:
        told = f" {proof.doubtful:,} of them hit a limit of time or memory here or there." if proof.doubtful else ""
        say(f"{proof.executed:,} programs ran once more, with the verdicts that were recorded.{told}")


def forget(
    run: Annotated[str, typer.Argument(help="A run directory, finished or not.")],
    sources: Annotated[list[str] | None, typer.Option("--source", help="Name of a source; can be repeated.")] = None,
    licenses: Annotated[list[str] | None, typer.Option("--license", help="SPDX expression; can be repeated.")] = None,
    paths: Annotated[
        list[str] | None,
        typer.Option("--path", help="Pattern of paths within a source, as in 'lib/*'; can be repeated."),
    ] = None,
    ids: Annotated[str | None, typer.Option("--ids", help="File with ids of seeds or rows, one on each line.")] = None,
) -> None:
    """Take out of a run everything that grew from some code, as if it had never been there. No model is asked.

    Rows, card and attribution are made anew. Completions that nothing uses any more are deleted. Hashes stay, so that the next
    `run` does not mine the code again. What its duplicates had hidden comes back.
    """
    from snipmill.engine.forget import forget as forget_seeds
    from snipmill.publish.release import refresh_pages
    from snipmill.seeds.forgotten import Wanted
    from snipmill.store.run_directory import CONFIG, RunDirectory

    if not (sources or licenses or paths or ids):
        raise UsageError("Say what to forget: --source NAME, --license SPDX, --path PATTERN or --ids FILE.")
    directory = RunDirectory(run)
    wanted = Wanted(
        sources=frozenset(sources or ()),
        licenses=frozenset(licenses or ()),
        paths=tuple(paths or ()),
        ids=frozenset(_lines(ids)) if ids else frozenset(),
    )
    found = asyncio.run(forget_seeds(directory, wanted, say, lambda: refresh_pages(directory)))
    console.print(funnel_table(found.funnel))
    say(
        f"{found.seeds - found.changed:,} seeds, {found.rows:,} rows and {found.entries:,} entries of journals are gone from {run}."
    )
    if found.came_back:
        say(f"{found.came_back:,} seeds came in their place: they were hidden, or not reached.")
    if found.changed:
        say(f"{found.changed:,} more seeds are gone: their sources have changed on disk. Their completions are kept.")
    if found.unfinished:
        say(f"{found.unfinished:,} seeds wait for completions: `snipmill run {directory.path / CONFIG}` asks for them.")


def _lines(path: str) -> list[str]:
    try:
        return [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error


COMMANDS = {
    "export": lambda: export_command,
    "attribution": lambda: attribution,
    "card": lambda: card,
    "push": lambda: push,
    "reproduce": lambda: reproduce,
    "forget": lambda: forget,
}
