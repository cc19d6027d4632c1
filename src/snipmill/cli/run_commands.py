"""`snipmill quickstart` and `snipmill run`: from code to a data set in one command."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
import typer

from snipmill.cli import options
from snipmill.cli.display import console, funnel_table, live, say
from snipmill.cli.errors import guarded
from snipmill.config import (
    Config,
    ExecuteTable,
    GenerateTable,
    ModelTable,
    RunTable,
    SeedsTable,
    ShotsTable,
    load_config,
)
from snipmill.pipeline.funnel import Funnel
from snipmill.pipeline.run import Progress, run
from snipmill.records import Row
from snipmill.store.jsonl import decode_record
from snipmill.store.run_directory import RunDirectory

_MAIN = "From code to data set"

# What a small model on two cores can do in a few minutes: short seeds, easy tasks, one prefix to keep warm per stage.
QUICK_SEEDS, QUICK_ENOUGH, QUICK_SAMPLES, QUICK_TOKENS, QUICK_LINES, QUICK_CONTEXT = 16, 2, 4, 400, 30, 10
# Modules whose functions compute something: tasks about sockets and import machinery are beyond a small model.
QUICK_SOURCE = (
    "stdlib:statistics,heapq,_pydecimal,calendar,difflib,textwrap,functools,ipaddress,base64,shlex,pprint,json,string,html,"
    "fnmatch,datetime,_strptime,genericpath,operator,quopri,colorsys,copy,bisect,random"
)
QUICK_TEMPERATURE = 0.4
# What the small model imitates decides: with this example 9 of its 60 responses passed, with two other easy ones 1 of 78.
QUICK_EXAMPLES = ("08-rotate",)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("quickstart", rich_help_panel=_MAIN)(guarded(quickstart))
    app.command("run", rich_help_panel=_MAIN)(guarded(run_config))


def quickstart(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Folders, git repositories, archives, seeds as JSONL, or stdlib[:MODULE,...].",
            show_default="some of stdlib",
        ),
    ] = None,
    directory: Annotated[str, typer.Option("--dir", help="The run directory.")] = "snipmill-quickstart",
    license: options.License = None,
    seed: options.SeedOption = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many seeds.")] = QUICK_SEEDS,
    enough: options.Enough = QUICK_ENOUGH,
    samples: options.Samples = QUICK_SAMPLES,
    base_url: options.BaseUrl = None,
    model: options.Model = None,
    prompting: options.Prompting = "completion",
    temperature: options.Temperature = QUICK_TEMPERATURE,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Requests in flight at each server.", rich_help_panel="Server")
    ] = 4,
    sandbox: options.SandboxTier = "auto",
) -> None:
    """Make a small verified data set in a few minutes, with a real model on this machine's CPU.

    Seeds come from Python's standard library (modules that compute something) unless you name sources of your
    own. The same command again continues a run that was stopped.
    """
    config = Config(
        run=RunTable(dir=directory, seed=seed),
        seeds=SeedsTable(
            sources=tuple(sources or [QUICK_SOURCE]),
            shuffle=True,
            limit=limit,
            max_lines=QUICK_LINES,
            max_context_lines=QUICK_CONTEXT,
            license=license,
        ),
        model=ModelTable(
            base_url=options.addresses(base_url),
            name=model,
            prompting=prompting,
            temperature=temperature,
            max_tokens=QUICK_TOKENS,
            concurrency=concurrency,
        ),
        generate=GenerateTable(
            samples=samples,
            enough=enough,
            accept=0,
            shots=ShotsTable(instructions=6),
            draws=1,
            match_examples=True,
            response_examples=QUICK_EXAMPLES if base_url is None and model is None else (),
            categories=("function",),
            difficulties=("easy",),
        ),
        execute=ExecuteTable(sandbox=sandbox),
    )
    say(
        f"Growing seeds, with {samples} samples each, until {enough} tasks have a verified response (at most {limit} seeds). "
        f"Everything goes to {directory}/."
    )
    finished = _run(config)
    _show_one_row(finished)
    say("")
    say("What next:")
    say(f"  snipmill show {directory} ID          one row with its ancestors, prompts and verdict")
    say(f"  snipmill status {directory}           the funnel again")
    say(
        "  snipmill quickstart YOUR/FOLDER --license LicenseRef-ours --dir mine --enough 20   grow tasks from your own code"
    )
    say(f"  snipmill run {directory}/config.toml    the same, with everything under your control")


def run_config(
    config: Annotated[str, typer.Argument(metavar="CONFIG.toml", help="The configuration; see docs/configuration.md.")],
    directory: Annotated[
        str | None, typer.Option("--dir", help="The run directory, instead of the configured one.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The seed, instead of the configured one.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="The number of seeds, instead of the configured one.")
    ] = None,
    base_url: options.BaseUrl = None,
    model: options.Model = None,
    prompting: Annotated[
        Literal["completion", "chat"] | None,
        typer.Option("--prompting", help="How the model is asked, instead of the configured way."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, help="Requests in flight at each server, instead of the configured number."
        ),
    ] = None,
) -> None:
    """Make a data set as a configuration file says, or continue making it."""
    loaded = load_config(config)
    replace = msgspec.structs.replace
    if directory is not None:
        loaded = replace(loaded, run=replace(loaded.run, dir=directory))
    if seed is not None:
        loaded = replace(loaded, run=replace(loaded.run, seed=seed))
    if limit is not None:
        loaded = replace(loaded, seeds=replace(loaded.seeds, limit=limit))
    if base_url is not None:
        loaded = replace(loaded, model=replace(loaded.model, base_url=options.addresses(base_url)))
    if model is not None:
        loaded = replace(loaded, model=replace(loaded.model, name=model))
    if prompting is not None:
        loaded = replace(loaded, model=replace(loaded.model, prompting=prompting))
    if concurrency is not None:
        loaded = replace(loaded, model=replace(loaded.model, concurrency=concurrency))
    _run(loaded)


def _run(config: Config) -> RunDirectory:
    progress = Progress()
    with live(progress):
        directory = asyncio.run(run(config, progress))
    say(f"Model: {progress.model}. Sandbox: {progress.tier}.")
    console.print(funnel_table(progress.funnel.to_json()))
    reused = sum(count.reused for count in progress.funnel.stages.values())
    if reused:
        say(f"{reused:,} completions and verdicts were there already and were not paid again.")
    rows = progress.funnel["select"].kept
    say(f"{rows:,} {'row' if rows == 1 else 'rows'} in {directory.dataset}")
    if not rows:
        say(_why_no_rows(progress.funnel, directory))
    return directory


def _why_no_rows(funnel: Funnel, directory: RunDirectory) -> str:
    """Where the last record was lost, and what helps."""
    if not funnel["seeds"].kept:
        if funnel["seeds"].rejected["license-unknown"]:
            return options.NO_LICENSE
        return f"No function became a seed; {directory.rejects('seeds')} says why, one by one."
    if funnel["select"].rejected["unverified"]:
        return "All rows are in languages that cannot be executed here; unverified = true in [select] keeps such rows."
    if funnel["sanitize"].kept:
        return f"Rows were made, and selection dropped them all; {directory.rejects('select')} says why."
    if funnel["execute"].kept:
        return (
            "Responses passed their own tests, and none stood what came after; "
            f"{directory.rejects('verify')} and {directory.rejects('sanitize')} say why."
        )
    if funnel["responses"].kept:
        return (
            "No response passed its own tests. More samples ([generate] samples) or seeds ([seeds] limit), or a stronger "
            "model, will help."
        )
    return f"The model has written no response that can be read; the rejects in {directory.rejects('seeds').parent} say why."


def _show_one_row(directory: RunDirectory) -> None:
    try:
        with directory.dataset.open("rb") as handle:
            line = handle.readline()
    except OSError:
        return
    if not line.strip():
        return
    row = decode_record(line, Row)
    console.rule(f"row {row.id}")
    say(f"Instruction: {row.instruction}\n")
    say(row.response)
    if row.provenance is not None and row.verdict is not None:
        origin = row.provenance
        console.rule()
        say(
            f"Grown from {origin.source} {origin.revision or ''} {origin.path}:{origin.line_start} "
            f"({origin.license or 'licence unknown'}); {row.verdict.checks_executed} checks passed in the sandbox."
        )
