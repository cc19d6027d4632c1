"""Each stage of the method alone, file to file."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal, cast

import msgspec
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
    LookTable,
    ModelTable,
    RunTable,
    SeedsTable,
    SelectTable,
    ShotsTable,
)
from snipmill.errors import UsageError
from snipmill.pipeline.benchmarks import read_items, write_index
from snipmill.pipeline.funnel import StageCount
from snipmill.pipeline.stage_files import execute_file, generate_file, sanitize_file, seeds_file, select_file
from snipmill.prompts.concepts import STAGE as CONCEPTS
from snipmill.prompts.instructions import STAGE as INSTRUCTIONS
from snipmill.prompts.responses import STAGE as RESPONSES
from snipmill.prompts.stage import Stage
from snipmill.records import Concepts, Instruction, Seed
from snipmill.select.contamination import NGRAM, Item, build_index

_PANEL = "One stage alone, file to file"
_PARTS = "Parts of the look, instead of the style's"
_Input = typer.Argument(help="Input file of JSON lines, or - for standard input.", show_default=False)


def register(app: typer.Typer) -> None:
    """Add the commands in the order of the way of the data."""
    for name, command in (
        ("seeds", seeds),
        ("concepts", concepts),
        ("instructions", instructions),
        ("responses", responses),
        ("execute", execute),
        ("sanitize", sanitize),
        ("select", select),
        ("fingerprint", fingerprint),
    ):
        app.command(name, rich_help_panel=_PANEL)(guarded(command))


def seeds(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Folders, Python files, seeds as JSONL, or stdlib[:MODULE,...]."),
    ],
    out: options.Out,
    rejects: options.RejectsFile = None,
    seed: options.SeedOption = 0,
    start: options.Start = 0,
    limit: options.Limit = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Draw seeds in a random order.")] = False,
    max_lines: Annotated[int, typer.Option("--max-lines", min=1, help="Longer functions are dropped.")] = 150,
) -> None:
    """Mine seeds: documented functions from real code. Nothing is imported or run."""
    table = SeedsTable(sources=tuple(sources), start=start, limit=limit, shuffle=shuffle, max_lines=max_lines)
    count = StageCount()
    with live_count("seeds", count):
        seeds_file(Config(run=RunTable(seed=seed), seeds=table), out, rejects, count)
    show_stage("seeds", count)


def concepts(
    source: Annotated[str, _Input],
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
    source: Annotated[str, _Input],
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
    source: Annotated[str, _Input],
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
    if text is None:
        return allowed
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in chosen:
        if part not in allowed:
            raise UsageError(f"{option}: {part!r} is none of {', '.join(allowed)}.")
    return chosen or allowed


def execute(
    source: Annotated[str, _Input],
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


def sanitize(
    source: Annotated[str, _Input],
    out: options.Out,
    style: Annotated[
        Literal["raw", "plain", "smart", "codeonly"],
        typer.Option(
            "--style",
            help="raw keeps the section tags, plain drops them, smart varies what a row shows, codeonly is code.",
        ),
    ] = "raw",
    rejects: options.RejectsFile = None,
    seed: options.SeedOption = 0,
    tags: Annotated[bool | None, typer.Option(help="Section tags.", rich_help_panel=_PARTS)] = None,
    comments: Annotated[bool | None, typer.Option(help="Comments in the code.", rich_help_panel=_PARTS)] = None,
    tests: Annotated[
        Literal["keep", "drop", "asked"] | None,
        typer.Option("--tests", help="asked: where the instruction speaks of tests.", rich_help_panel=_PARTS),
    ] = None,
    reasoning: Annotated[
        float | None,
        typer.Option("--reasoning", min=0, max=1, help="Share of rows that keep it.", rich_help_panel=_PARTS),
    ] = None,
    explanation: Annotated[
        float | None,
        typer.Option("--explanation", min=0, max=1, help="Share of rows that keep it.", rich_help_panel=_PARTS),
    ] = None,
    shown_asserts: Annotated[
        float | None,
        typer.Option(
            "--shown-asserts", min=0, max=1, help="Share of instructions that get assertions.", rich_help_panel=_PARTS
        ),
    ] = None,
    refuse_incomplete: Annotated[
        bool | None, typer.Option(help="Refuse code with placeholders.", rich_help_panel=_PARTS)
    ] = None,
) -> None:
    """Check that responses are well-formed, and write them as rows in a style."""
    look = LookTable(
        tags=tags,
        comments=comments,
        tests=tests,
        reasoning=reasoning,
        explanation=explanation,
        shown_asserts=shown_asserts,
        refuse_incomplete=refuse_incomplete,
    )
    config = Config(run=RunTable(seed=seed), select=SelectTable(style=style, look=look))
    count = StageCount()
    with live_count("sanitize", count):
        sanitize_file(source, out, rejects, config, count)
    show_stage("sanitize", count)


def fingerprint(
    sources: Annotated[
        list[str], typer.Argument(metavar="NAME=FILE...", help="Benchmarks: JSONL or JSON, also gzipped.")
    ],
    out: options.Out,
    license: Annotated[
        list[str] | None, typer.Option("--license", help="NAME=what the index shall say of its origin and licence.")
    ] = None,
    ngram: Annotated[int, typer.Option("--ngram", min=3, help="How many words in a row count as overlap.")] = NGRAM,
) -> None:
    """Make a fingerprint index of benchmarks, to hold rows against without having their texts."""
    items = [item for source in sources for item in _items_of(source)]
    said = dict(part.partition("=")[::2] for part in license or [])
    index = build_index(
        items, {source.partition("=")[0]: said.get(source.partition("=")[0], "") for source in sources}, ngram
    )
    write_index(index, out)
    say(f"{len(items):,} tasks, {len(index.grams) // 8:,} fingerprints in {out}")


def _items_of(source: str) -> list[Item]:
    name, equals, path = source.partition("=")
    if not equals:
        raise UsageError(f"{source!r} does not say which benchmark it is: write NAME=FILE.")
    return [msgspec.structs.replace(item, name=f"{name}/{item.name.rpartition('/')[2]}") for item in read_items(path)]


def select(
    source: Annotated[str, _Input],
    out: options.Out,
    rejects: options.RejectsFile = None,
    keep: Annotated[
        Literal["one", "all"], typer.Option("--keep", help="One row for each instruction, or all of them.")
    ] = "one",
    name_diversity: Annotated[
        bool, typer.Option("--name-diversity", help="Drop rows whose function names an earlier row already has.")
    ] = False,
    near_instructions: Annotated[
        float,
        typer.Option(
            "--near-instructions", min=0, max=1, help="Jaccard similarity at which two tasks are one; 0: off."
        ),
    ] = 0.7,
    near_code: Annotated[
        float, typer.Option("--near-code", min=0, max=1, help="The same for the code of two responses; 0: off.")
    ] = 0.7,
    semantic: Annotated[
        float,
        typer.Option(
            "--semantic", min=0, max=1, help="Cosine similarity at which two instructions mean the same; 0: off."
        ),
    ] = 0.0,
    embedding_model: Annotated[
        str, typer.Option("--embedding-model", help="For --semantic: a model2vec model, a folder or a name on the hub.")
    ] = "minishlab/potion-base-8M",
    decontaminate: Annotated[
        bool, typer.Option(help="Drop rows that hold text of HumanEval or MBPP, by the index that comes along.")
    ] = True,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmark", help="One more set to hold rows against: JSONL, JSON, or a .fingerprints index."),
    ] = None,
    seed: options.SeedOption = 0,
) -> None:
    """Choose the rows of a data set: one for each instruction, no two the same, in a seeded order."""
    config = Config(
        run=RunTable(seed=seed),
        select=SelectTable(
            keep=keep,
            name_diversity=name_diversity,
            near_instructions=near_instructions,
            near_code=near_code,
            semantic=semantic,
            embedding_model=embedding_model,
            decontaminate=decontaminate,
            benchmarks=tuple(benchmarks or ()),
        ),
    )
    count = StageCount()
    with live_count("select", count):
        select_file(source, out, rejects, config, count)
    show_stage("select", count)
