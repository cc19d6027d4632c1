"""Each stage of the method alone, file to file."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import typer

from snipmill.cli import options
from snipmill.cli.display import live_count, say, show_stage
from snipmill.cli.errors import guarded
from snipmill.config import (
    CATEGORIES,
    DIFFICULTIES,
    Category,
    Config,
    Difficulty,
    ExecuteTable,
    GenerateTable,
    ModelTable,
    RunTable,
    SeedsTable,
    ShotsTable,
)
from snipmill.pipeline.funnel import StageCount
from snipmill.pipeline.stage_files import execute_file, generate_file
from snipmill.prompts.concepts import STAGE as CONCEPTS
from snipmill.prompts.instructions import STAGE as INSTRUCTIONS
from snipmill.prompts.responses import STAGE as RESPONSES
from snipmill.prompts.stage import Stage
from snipmill.records import Concepts, Instruction, Seed


def register(app: typer.Typer) -> None:
    """Add the commands in the order of the way of the data."""
    for name, command in (
        ("concepts", concepts),
        ("instructions", instructions),
        ("responses", responses),
        ("execute", execute),
    ):
        app.command(name, rich_help_panel=options.ONE_STAGE)(guarded(command))


def concepts(
    source: options.Source,
    out: options.Out,
    rejects: options.RejectsFile = None,
    base_url: options.BaseUrl = None,
    model: options.Model = None,
    prompting: options.Prompting = "completion",
    concurrency: options.Concurrency = None,
    temperature: options.Temperature = 0.7,
    max_tokens: options.MaxTokens = 1536,
    shots: options.Shots = None,
    draws: options.Draws = 16,
    samples: options.Samples = 1,
    fewshot: options.Fewshot = None,
    seed: options.SeedOption = 0,
    start: options.Start = 0,
    limit: options.Limit = None,
) -> None:
    """S->C: ask a model which programming concepts each seed exercises."""
    _generate(CONCEPTS, Seed, locals())


def instructions(
    source: options.Source,
    out: options.Out,
    rejects: options.RejectsFile = None,
    base_url: options.BaseUrl = None,
    model: options.Model = None,
    prompting: options.Prompting = "completion",
    concurrency: options.Concurrency = None,
    temperature: options.Temperature = 0.7,
    max_tokens: options.MaxTokens = 1536,
    shots: options.Shots = None,
    draws: options.Draws = 16,
    match_examples: options.MatchExamples = False,
    samples: options.Samples = 1,
    fewshot: options.Fewshot = None,
    categories: options.Categories = "function,class,program",
    difficulties: options.Difficulties = "easy,medium,hard",
    seed: options.SeedOption = 0,
    start: options.Start = 0,
    limit: options.Limit = None,
) -> None:
    """C->I: ask a model to write a task from each record's concepts."""
    _generate(INSTRUCTIONS, Concepts, locals())


def responses(
    source: options.Source,
    out: options.Out,
    rejects: options.RejectsFile = None,
    base_url: options.BaseUrl = None,
    model: options.Model = None,
    prompting: options.Prompting = "completion",
    concurrency: options.Concurrency = None,
    temperature: options.Temperature = 0.7,
    max_tokens: options.MaxTokens = 1536,
    shots: options.Shots = None,
    draws: options.Draws = 16,
    match_examples: options.MatchExamples = False,
    samples: options.Samples = 10,
    per_request: options.PerRequest = 1,
    fewshot: options.Fewshot = None,
    seed: options.SeedOption = 0,
    start: options.Start = 0,
    limit: options.Limit = None,
) -> None:
    """I->R: ask a model for several responses to each instruction, with tests of its own."""
    _generate(RESPONSES, Instruction, locals())


def _generate(stage: Stage[Any, Any], kind: type[Any], given: dict[str, Any]) -> None:
    shots = ShotsTable() if given["shots"] is None else ShotsTable(**{stage.name: given["shots"]})
    config = Config(
        run=RunTable(seed=given["seed"]),
        seeds=SeedsTable(start=given["start"], limit=given["limit"]),
        model=ModelTable(
            base_url=options.addresses(given["base_url"]),
            name=given["model"],
            prompting=given["prompting"],
            concurrency=given["concurrency"],
            temperature=given["temperature"],
            max_tokens=given["max_tokens"],
        ),
        generate=GenerateTable(
            samples=given["samples"],
            per_request=given.get("per_request", 1),
            fewshot=given["fewshot"],
            shots=shots,
            draws=given["draws"],
            match_examples=given.get("match_examples", False),
            categories=cast(tuple[Category, ...], _choices(given.get("categories"), CATEGORIES, "--categories")),
            difficulties=cast(
                tuple[Difficulty, ...], _choices(given.get("difficulties"), DIFFICULTIES, "--difficulties")
            ),
        ),
    )
    count = StageCount()
    with live_count(stage.name, count):
        asyncio.run(generate_file(stage, kind, given["source"], given["out"], given["rejects"], config, count, say))
    show_stage(stage.name, count)


def _choices(text: str | None, allowed: tuple[str, ...], option: str) -> tuple[str, ...]:
    return (options.among(text, allowed, option) if text is not None else ()) or allowed


def execute(
    source: options.Source,
    out: options.Out,
    rejects: options.RejectsFile = None,
    sandbox: options.SandboxTier = "auto",
    timeout: options.Timeout = 10.0,
    memory: options.Memory = 1024,
    workers: options.Workers = 0,
    interpreter: options.Interpreter = None,
    allow_fork: options.AllowFork = False,
    start: options.Start = 0,
    limit: options.Limit = None,
) -> None:
    """Run each response's implementation and tests in the sandbox; what passes is kept, with its evidence."""
    config = Config(
        seeds=SeedsTable(start=start, limit=limit),
        execute=ExecuteTable(
            sandbox=sandbox,
            timeout=timeout,
            memory=memory,
            workers=workers,
            interpreter=interpreter,
            allow_fork=allow_fork,
        ),
    )
    count = StageCount()
    with live_count("execute", count):
        asyncio.run(execute_file(source, out, rejects, config, count, say))
    show_stage("execute", count)
