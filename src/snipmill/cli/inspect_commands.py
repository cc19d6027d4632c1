"""`snipmill doctor`, `status` and `show`: what works here, how far a run is, where a record comes from."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.markup import escape

from snipmill import __version__
from snipmill.cli.configured import SetOption
from snipmill.cli.display import console, funnel_table, say
from snipmill.config_file import change_config, load_config, parse_assignments
from snipmill.config_model import ModelTable
from snipmill.errors import SnipmillError, UsageError

if TYPE_CHECKING:
    from snipmill.engine.forecast import Forecast
    from snipmill.engine.lineage import Ancestor
    from snipmill.store.run_directory import RunDirectory


def doctor(
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url",
            help="Address of an OpenAI-compatible server, with /v1; several, separated by commas.",
            show_default="OPENAI_BASE_URL",
        ),
    ] = None,
) -> None:
    """Say what is installed, which server answers with which model, and how well programs are isolated here."""
    from importlib.metadata import version

    from snipmill.llm.connect import server_addresses
    from snipmill.llm.embedded import engine_installed
    from snipmill.llm.weights import find_weights
    from snipmill.sandbox.driver import try_tier
    from snipmill.sandbox.program import TIERS

    lines = [
        ("snipmill", __version__),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        (
            "packages",
            ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "msgspec", "rich", "tree-sitter", "typer")),
        ),
        (
            "embedded engine",
            f"xllamacpp {version('xllamacpp')}" if engine_installed() else "not installed (extra local)",
        ),
    ]
    try:
        weights = find_weights()
        lines.append(("embedded model", f"{weights.name}, from {weights.origin}"))
    except SnipmillError as error:
        lines.append(("embedded model", str(error)))
    address = base_url or os.environ.get("OPENAI_BASE_URL")
    healthy = True
    if address:
        try:
            for each in server_addresses(ModelTable(base_url=address)):
                served = asyncio.run(_served(each))
                lines.append(("server", f"{each} serves {', '.join(served) or 'no model'}"))
        except SnipmillError as error:
            healthy = False
            lines.append(("server", str(error)))
    else:
        lines.append(("server", "none given (--base-url or OPENAI_BASE_URL): the embedded one is used"))
    isolated = False
    for tier in TIERS:
        if tier == "none":
            continue
        refused = asyncio.run(try_tier(tier))
        isolated = isolated or refused is None
        lines.append((f"sandbox {tier}", "works" if refused is None else f"no: {refused}"))
    for name, text in lines:
        typer.echo(f"{name:16} {text}")
    if not (healthy and isolated):
        raise typer.Exit(1)


async def _served(address: str) -> list[str]:
    from snipmill.llm.client import Client, Server

    async with Client(Server(address, os.environ.get("OPENAI_API_KEY") or None)) as client:
        return await client.models()


def status(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run directory; with --config, also one that does not exist yet.", show_default="that of --config"
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Also look up what is there already, and forecast what is still to be done and spent."
        ),
    ] = False,
    config: Annotated[
        str | None,
        typer.Option("--config", help="Plan with another configuration than the run's own: what would be done again?"),
    ] = None,
    assignments: SetOption = None,
) -> None:
    """Show a run's funnel so far, also while it runs; with --plan, what the next session would do and what it would not."""
    from snipmill.engine.shard_state import is_at_work
    from snipmill.engine.status import read_funnel
    from snipmill.store.run_directory import CONFIG, RunDirectory

    if run is None and config is None:
        raise UsageError("Give a run directory, or --config with the configuration of a run that has not begun.")
    if run is None:
        run = change_config(load_config(str(config)), parse_assignments(assignments or []), "--set").run.dir
    directory = RunDirectory(run)
    if config is not None and not directory.has_run:
        console.print(escape(f"{directory.path}: not begun."))
        _print_plan(directory, {}, config, assignments or [])
        return
    if directory.shards() and _shards_are_newer(directory):
        _print_shards(directory)
        if not directory.has_run:
            return
    manifest = directory.read_manifest()
    state = str(manifest.get("status", "unknown"))
    if state == "running" and not is_at_work(directory):
        state = "stopped; the command that began it continues it"
    console.print(
        escape(f"{directory.path}: {state}, model {manifest.get('model')}, sandbox {manifest.get('sandbox_tier')}")
    )
    console.print(funnel_table(read_funnel(directory, manifest)))
    if manifest.get("stopped"):
        console.print(escape(str(manifest["stopped"])), soft_wrap=True)
    if directory.dataset.exists():
        console.print(escape(f"The data set is {directory.dataset}."), soft_wrap=True)
        _print_expected_wrong(directory, manifest)
    else:
        console.print("The data set is not written yet.")
    if plan or config is not None or assignments:
        _print_plan(directory, manifest, config or str(directory.path / CONFIG), assignments or [])


def _shards_are_newer(directory: RunDirectory) -> bool:
    """Whether shards have grown since the run's files were joined."""
    from snipmill.engine.shard_state import gathered_at, updated_at

    joined = gathered_at(directory)
    manifests = (shard.read_manifest() for shard in directory.shards().values() if shard.has_run)
    return any(updated_at(manifest) > joined for manifest in manifests)


def _print_shards(directory: RunDirectory) -> None:
    """The shards of a run that were not gathered yet, and the sum of their funnels."""
    from collections import Counter

    from snipmill.engine.shard_state import is_at_work, join_funnels, read_reports

    reports = read_reports(directory)
    if not reports:
        console.print(escape(f"{directory.path}: its shards have not begun yet."))
        return
    states: Counter[str] = Counter()
    for one in reports:
        is_cut_off = one.status == "running" and not is_at_work(directory.shard(one.index))
        states["stopped" if is_cut_off else one.status] += 1
    if len(reports) < reports[0].count:
        states["not begun"] = reports[0].count - len(reports)
    told = ", ".join(f"{number:,} {state}" for state, number in states.items())
    seeds, found = (sum(getattr(one.state, name) for one in reports) for name in ("seeds_done", "found"))
    console.print(
        escape(
            f"{directory.path}: {reports[0].count} shards ({told}), {seeds:,} seeds grown, {found:,} of them with rows"
        )
    )
    console.print(funnel_table(join_funnels(one.funnel for one in reports).to_json()))
    console.print(escape(f"`snipmill gather {directory.path}` joins what is there."), soft_wrap=True)


def _print_expected_wrong(directory: RunDirectory, manifest: dict[str, Any]) -> None:
    """How many of the rows that are there are expected to be wrong."""
    from snipmill.stages.calibration_file import calibration_of
    from snipmill.store.run_directory import CONFIG
    from snipmill.verification.expected_wrong import ExpectedWrong

    told = manifest.get("expected_wrong")
    if not isinstance(told, dict) or not told.get("rows"):
        return
    calibration = calibration_of(directory, load_config(str(directory.path / CONFIG)))
    found = msgspec.convert(told, ExpectedWrong)
    console.print(escape(f"Expected to be wrong: {found}, by {calibration.sources()}."), soft_wrap=True)


def _print_plan(directory: RunDirectory, manifest: dict[str, Any], path: str, assignments: list[str]) -> None:
    from rich.table import Table

    from snipmill.engine.forecast import forecast
    from snipmill.engine.plan import plan_run
    from snipmill.engine.status import recorded_models
    from snipmill.stages.settings import resolve
    from snipmill.stages.spec import ASKING
    from snipmill.stages.stage_models import model_of_stage

    config = change_config(load_config(path), parse_assignments(assignments), "--set")
    known = recorded_models(manifest)
    models = {stage: model_of_stage(config, stage).name or known[stage] for stage in ASKING}
    tier = str(manifest.get("sandbox_tier")) if config.execute.sandbox == "auto" else config.execute.sandbox
    settings = resolve(config)
    found = plan_run(settings, directory, models, tier)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stage", "there already", "to be done", "may follow, at most"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name, stage in found.items():
        table.add_row(name, *(f"{number:,}" for number in (stage.there, stage.missing, stage.may_follow)))
    console.print(escape(f"\nWith {', '.join([path, *assignments])}:"))
    console.print(table)
    if any(stage.missing for stage in found.values()):
        _print_forecast(forecast(settings, directory, models, found), has_enough=config.generate.enough is not None)


def _print_forecast(found: Forecast, *, has_enough: bool) -> None:
    """A line for each number, with its interval."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("still to be spent", "about", "from", "to"):
        table.add_column(name, justify="left" if name == "still to be spent" else "right")
    for name, one in (
        ("completions", found.completions),
        ("prompt tokens", found.prompt_tokens),
        ("generated tokens", found.completion_tokens),
    ):
        table.add_row(name, *(f"{number:,.0f}" for number in (one.middle, one.low, one.high)))
    if found.cost.high:
        table.add_row("cost", *(f"{number:,.4g}" for number in (found.cost.middle, found.cost.low, found.cost.high)))
    console.print("")
    console.print(table)
    guessed = f"guesses from the few-shot examples for {', '.join(found.guessed)}" if found.guessed else ""
    known = f"{found.known:,} completions of this run" if found.known else ""
    told = [
        f"The interval holds nine of ten simulated runs. It rests on {' and '.join(filter(None, (known, guessed)))}."
    ]
    told += ["Guesses are without thoughts."] if found.guessed else []
    told += ["The run may end earlier, by generate.enough."] if has_enough else []
    console.print(" ".join(told), style="dim", soft_wrap=True)


def show(
    run: Annotated[str, typer.Argument(help="A run directory.")],
    record_id: Annotated[str, typer.Argument(metavar="ID", help="The id of any record, or its beginning.")],
) -> None:
    """Show one record with all its ancestors, the exact prompts, and its verdict."""
    from snipmill.engine.lineage import trace
    from snipmill.stages.calibration_file import calibration_of
    from snipmill.store.run_directory import CONFIG, RunDirectory

    directory = RunDirectory(run)
    ancestors = trace(directory, record_id)
    if not ancestors:
        raise UsageError(f"{run} has no record whose id begins with {record_id!r}. Ids stand in {run}/dataset.jsonl.")
    for ancestor in ancestors:
        _print_ancestor(ancestor)
    if any(ancestor.record.get("verification") for ancestor in ancestors):
        calibration = calibration_of(directory, load_config(directory.path / CONFIG))
        say(f"The confidence rests on {calibration.sources()}.")


def _print_ancestor(ancestor: Ancestor) -> None:
    out = sys.stdout
    out.write(f"{'=' * 20} {ancestor.stage} {ancestor.record.get('id')} {'=' * 20}\n")
    if ancestor.prompt is not None:
        out.write(f"--- prompt ---\n{ancestor.prompt}\n--- answer ---\n")
    for name in ancestor.shown:
        value: Any = ancestor.record.get(name)
        if value is None:
            continue
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        out.write(f"{name}: {text}\n" if "\n" not in text else f"{name}:\n{text}\n")
    out.write("\n")


COMMANDS = {"doctor": lambda: doctor, "status": lambda: status, "show": lambda: show}
