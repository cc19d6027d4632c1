"""`snipmill prompts lint`: what is wrong with a few-shot bank."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from snipmill.cli.display import say
from snipmill.cli.errors import guarded
from snipmill.config import ExecuteTable

if TYPE_CHECKING:
    from snipmill.engine.lint_bank import BankFinding
    from snipmill.prompts.fewshot import Bank


def lint(
    bank: Annotated[
        str | None,
        typer.Argument(
            help="A folder of examples, or the original project's text file.",
            show_default="the built-in bank and judge",
        ),
    ] = None,
    sandbox: Annotated[str, typer.Option("--sandbox", help="Tier in which responses run, or auto.")] = "auto",
) -> None:
    """Say what is wrong with a few-shot bank.

    Concepts that a snippet does not exercise, responses that fail, tests that notice too little, near copies of benchmarks.

    The exit code is 1 where an example has a fault. Remarks that only deserve a look do not count.
    """
    from snipmill.engine.lint_bank import lint_judging
    from snipmill.stages.fewshot_files import load_bank, load_judging

    loaded = load_bank(bank)
    found = asyncio.run(_lint(loaded, sandbox))
    if bank is None:
        found += lint_judging(load_judging())
    for finding in found:
        say(f"{finding.example}: {'' if finding.is_fault else 'look: '}{finding.what}")
    faults = sum(finding.is_fault for finding in found)
    kinds = Counter(f"{example.category}, {example.difficulty}" for example in loaded.examples)
    say(f"{len(loaded.examples)} examples: " + "; ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items())))
    say(f"{faults} {'fault' if faults == 1 else 'faults'}, {len(found) - faults} to look at")
    if faults:
        raise typer.Exit(1)


async def _lint(bank: Bank, tier: str) -> list[BankFinding]:
    from snipmill.engine.lint_bank import lint_bank
    from snipmill.stages.settings import resolve_execution

    async with resolve_execution(ExecuteTable(sandbox=tier)).open() as sandboxes:
        return await lint_bank(bank, sandboxes)


def _prompts() -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help="Check the few-shot examples that a model imitates.")
    group.callback()(lambda: None)  # else the only command would stand for the group
    group.command("lint")(guarded(lint))
    return group


COMMANDS = {"prompts": _prompts}
