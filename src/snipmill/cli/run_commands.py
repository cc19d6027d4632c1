"""`snipmill quickstart` and `snipmill run`: from code to a data set in one command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from snipmill.cli import options
from snipmill.cli.configured import configured
from snipmill.cli.display import console, funnel_table, refuse_damage, say
from snipmill.cli.live_run import live
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.errors import UsageError

if TYPE_CHECKING:
    from snipmill.engine.gather import Gathered
    from snipmill.stages.funnel import Funnel
    from snipmill.store.run_directory import RunDirectory

# Modules whose functions compute something: tasks about sockets and import machinery are beyond a small model.
QUICK_SOURCE = (
    "stdlib:statistics,heapq,_pydecimal,calendar,difflib,textwrap,functools,ipaddress,base64,shlex,pprint,json,string,html,"
    "fnmatch,datetime,_strptime,genericpath,operator,quopri,colorsys,copy,bisect,random"
)
# What a small model on two cores can do in a few minutes: short seeds, easy tasks, one prefix to keep warm per stage.
# With this seed, two tasks are verified after 3.5 minutes on two cores; with seed 0, after more than 5.
QUICK = {
    "run.dir": "snipmill-quickstart",
    "run.seed": 3,
    "seeds.sources": [QUICK_SOURCE],
    "seeds.shuffle": True,
    "seeds.limit": 16,
    "seeds.max_lines": 30,
    "seeds.max_context_lines": 10,
    "model.sampling.temperature": 0.4,
    "model.max_tokens": 400,
    "model.concurrency": 4,
    "generate.samples": 4,
    "generate.enough": 2,
    "generate.accept": 0,
    "generate.shots.concepts": 6,
    "generate.shots.instructions": 6,
    "generate.draws": 1,
    "generate.match_examples": True,
    "generate.categories": ["function"],
    "generate.difficulties": ["easy"],
}
# The small model imitates what it sees. With this example 9 of 15 responses became verified, with two other easy ones 0 of 47.
QUICK_EXAMPLES = ["38-digit-sum"]
_QUICKSTART = (
    "run.dir",
    "run.seed",
    "seeds.license",
    "seeds.limit",
    *options.SERVER,
    "model.serve",
    "model.sampling.temperature",
    "generate.samples",
    "generate.enough",
    "execute.sandbox",
)
_RUN = ("run.dir", "run.seed", "seeds.limit", *options.SERVER, "cluster.address", "cluster.workers")


def quickstart(
    config: Config,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Folders, git repositories, archives, seeds as JSONL, or stdlib[:MODULE,...].",
            show_default="some of stdlib",
        ),
    ] = None,
) -> None:
    """Make a small verified data set in a few minutes, with a real model on this machine's CPU.

    Seeds come from Python's standard library (modules that compute something) unless you name sources of your own. The same
    command again continues a run that was stopped.
    """
    if sources:
        config = change_config(config, {"seeds.sources": sources}, "SOURCE")
    if config.model.base_url is None and config.model.name is None and not config.generate.response_examples:
        config = change_config(config, {"generate.response_examples": QUICK_EXAMPLES}, "quickstart")
    directory, table = config.run.dir, config.generate
    until = f", until {table.enough} tasks have a verified response" if table.enough is not None else ""
    most = f" (at most {config.seeds.limit} seeds)" if config.seeds.limit is not None else ""
    say(f"Growing seeds, with {table.samples} samples each{until}{most}. Everything goes to {directory}/.")
    finished = _run(config)
    _show_one_row(finished)
    say("")
    say("What next:")
    say(f"  snipmill report {directory} --open    a page that shows every row, and what was dropped and why")
    say(f"  snipmill show {directory} ID          one row with its ancestors, prompts and verdict")
    say(
        "  snipmill quickstart YOUR/FOLDER --license LicenseRef-ours --dir mine --enough 20   grow tasks from your own code"
    )
    say(f"  snipmill run {directory}/config.toml    the same, with everything under your control")


def run_config(
    config: Config,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="`local` for this machine, `ray` for the nodes of a Ray cluster.", rich_help_panel="Cluster"),
    ] = "local",
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Grow only shard I of N, from 0 to N - 1, on this machine; `snipmill gather` joins the shards.",
            show_default=False,
            rich_help_panel="Cluster",
        ),
    ] = None,
) -> None:
    """Make a data set as a configuration file says, or continue making it."""
    if shard is not None:
        if engine != "local":
            raise UsageError("--shard and --engine ray exclude each other: Ray places the shards itself.")
        _run_shard(config, shard)
    elif engine == "ray":
        _run_on_ray(config)
    else:
        _run(config)


def _run_shard(config: Config, shard: str) -> None:
    from snipmill.engine.progress import Progress
    from snipmill.engine.remote import run_remote_shard
    from snipmill.engine.shard import run_shard
    from snipmill.engine.sharding import parse_sharding
    from snipmill.store.remote import is_remote

    sharding, progress = parse_sharding(shard), Progress()
    with live(progress):
        if is_remote(config.run.dir):
            asyncio.run(run_remote_shard(config, sharding, progress))
        else:
            asyncio.run(run_shard(config, sharding, progress))
    say(f"Model: {progress.model}. Sandbox: {progress.tier}.")
    console.print(funnel_table(progress.funnel.to_json()))
    _say_what_was_reused(progress.funnel)
    say(
        f"Shard {sharding}: {progress.seeds_done:,} seeds are grown, {progress.found:,} of them have rows. "
        f"`snipmill gather {config.run.dir}` joins all shards that are there."
    )
    refuse_damage(progress.funnel["seeds"])


def _run_on_ray(config: Config) -> None:
    from snipmill.engine.progress import Progress
    from snipmill.stages.budget import HOW_TO_GO_ON

    try:
        from snipmill.cluster.ray_engine import run_on_ray
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise UsageError("--engine ray needs Ray. Install it with: pip install 'snipmill[ray]'") from None
    progress = Progress()
    with live(progress):
        found = run_on_ray(config, progress)
    say(f"Model: {progress.model}. Sandbox: {progress.tier}.")
    for note in progress.notes:
        say(note)
    _say_what_was_gathered(found)
    if progress.stopped:
        say(f"{progress.stopped} {HOW_TO_GO_ON}")


def gather_shards(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The directory of a run that was grown in shards.")],
) -> None:
    """Join the shards of a run, finished or not, and select the rows of the data set."""
    from snipmill.engine.gather import gather
    from snipmill.engine.remote import gather_remote
    from snipmill.store.remote import is_remote
    from snipmill.store.run_directory import RunDirectory

    _say_what_was_gathered(gather_remote(run, say) if is_remote(run) else gather(RunDirectory(run), say))


def _say_what_was_gathered(found: Gathered) -> None:
    console.print(funnel_table(found.funnel.to_json()))
    for sentence in found.missing:
        say(sentence)
    if found.missing:
        say("Gather again once they are grown.")
    rows = found.rows
    where = found.shown.rstrip("/")
    say(f"{rows:,} {'row' if rows == 1 else 'rows'} in {where}/{found.directory.dataset.name}.")
    if found.wrong is not None and found.wrong.rows:
        say(f"Expected to be wrong: {found.wrong}.")


def _say_what_was_reused(funnel: Funnel) -> None:
    reused = sum(count.reused for count in funnel.stages.values())
    if reused:
        say(f"{reused:,} completions and verdicts were there already and were not paid again.")


def _run(config: Config) -> RunDirectory:
    from snipmill.engine.local import run
    from snipmill.engine.progress import Progress
    from snipmill.stages.budget import HOW_TO_GO_ON

    progress = Progress()
    with live(progress):
        directory = asyncio.run(run(config, progress))
    say(f"Model: {progress.model}. Sandbox: {progress.tier}.")
    console.print(funnel_table(progress.funnel.to_json()))
    for note in progress.notes:
        say(note)
    if progress.stopped:
        say(f"{progress.stopped} {HOW_TO_GO_ON}")
    _say_what_was_reused(progress.funnel)
    rows = progress.funnel["select"].kept
    say(
        f"{rows:,} {'row' if rows == 1 else 'rows'} in {directory.dataset}; `snipmill report {directory.path}` shows them."
    )
    if progress.wrong is not None and progress.wrong.rows:
        say(f"Expected to be wrong: {progress.wrong}, by {progress.weights}.")
    if not rows and not progress.stopped:
        say(_why_no_rows(progress.funnel, directory))
    refuse_damage(progress.funnel["seeds"])
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
    from snipmill.records import Row
    from snipmill.store.jsonl import decode_record

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


COMMANDS = {
    "quickstart": lambda: configured(quickstart, _QUICKSTART, QUICK),
    "run": lambda: configured(run_config, _RUN, from_file=True),
    "gather": lambda: gather_shards,
}
