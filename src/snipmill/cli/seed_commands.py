"""`snipmill seeds` and `snipmill judge`: from anyone's code to seeds, and whether a model finds them fit."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, cast, get_args

import typer

from snipmill.cli import options
from snipmill.cli.display import live_count, say, show_stage
from snipmill.cli.errors import guarded
from snipmill.config import (
    ColumnsTable,
    Config,
    GenerateTable,
    JudgeTable,
    Kind,
    Language,
    ModelTable,
    RunTable,
    SeedsTable,
)
from snipmill.pipeline.funnel import StageCount
from snipmill.pipeline.judging import weigh
from snipmill.pipeline.stage_files import generate_file, seeds_file
from snipmill.prompts.judge import STAGE as JUDGE
from snipmill.records import Seed

_DEFAULTS = SeedsTable()
_RULES, _TABLES, _ORDER = "What a seed must be like", "Tables and data sets", "Which, and in what order"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("seeds", rich_help_panel=options.ONE_STAGE)(guarded(seeds))
    app.command("judge", rich_help_panel=options.ONE_STAGE)(guarded(judge))


def _column(name: str, holds: str) -> typer.models.OptionInfo:
    return cast(
        typer.models.OptionInfo,
        typer.Option(name, help=f"Column that holds {holds}.", rich_help_panel=_TABLES, show_default=False),
    )


def _switch(name: str, off: str) -> typer.models.OptionInfo:
    return cast(typer.models.OptionInfo, typer.Option(name, help=off, rich_help_panel=_RULES))


def seeds(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folder; git repository (its last commit, or PATH@REVISION, git+URL, git+URL@REVISION); sdist, wheel or "
            "archive; file of code; JSONL, CSV or Parquet with --column (patterns and .gz .bz2 .xz .zst are fine); "
            "hub:OWNER/NAME with --column; ready-made seeds as JSONL; stdlib[:MODULE,...].",
        ),
    ],
    out: options.Out,
    rejects: options.RejectsFile = None,
    licenses: Annotated[
        str,
        typer.Option(
            "--licenses",
            help="Licences that are taken: SPDX ids with commas between, `permissive` for a list of such, or `any`.",
            rich_help_panel=_RULES,
        ),
    ] = "permissive",
    license: options.License = None,
    kinds: Annotated[
        str, typer.Option("--kinds", help="function, method, class, with commas between.", rich_help_panel=_RULES)
    ] = "function",
    languages: Annotated[
        str,
        typer.Option(
            "--languages",
            help=f"With commas between: {', '.join(get_args(Language))}. Only Python can be verified.",
            rich_help_panel=_RULES,
        ),
    ] = "Python",
    allow: Annotated[
        str,
        typer.Option(
            "--allow",
            help="Rules that do not hold, by their reason codes, with commas between; docs/seeds.md lists them.",
            rich_help_panel=_RULES,
            show_default=False,
        ),
    ] = "",
    max_lines: Annotated[
        int, typer.Option("--max-lines", min=1, help="Longer functions are dropped.", rich_help_panel=_RULES)
    ] = _DEFAULTS.max_lines,
    max_context_lines: Annotated[
        int,
        typer.Option(
            "--max-context-lines", min=0, help="At most so many lines of its file go with it.", rich_help_panel=_RULES
        ),
    ] = _DEFAULTS.max_context_lines,
    no_types: Annotated[bool, _switch("--no-types", "Do not check names and types.")] = False,
    no_secrets: Annotated[bool, _switch("--no-secrets", "Do not look for secrets and personal data.")] = False,
    no_decontaminate: Annotated[bool, _switch("--no-decontaminate", "Do not look for benchmark tasks.")] = False,
    near: Annotated[
        float,
        typer.Option(
            "--near",
            min=0,
            max=1,
            help="Jaccard similarity from which a seed is a duplicate; 0: off.",
            rich_help_panel=_RULES,
        ),
    ] = _DEFAULTS.near,
    min_judge: Annotated[
        float,
        typer.Option("--min-judge", min=0, max=1, help="Drop judged seeds below this.", rich_help_panel=_RULES),
    ] = 0.0,
    column: Annotated[str | None, _column("--column", "the code")] = None,
    license_column: Annotated[str | None, _column("--license-column", "the licence, in any usual spelling")] = None,
    path_column: Annotated[str | None, _column("--path-column", "the path")] = None,
    source_column: Annotated[str | None, _column("--source-column", "the repository")] = None,
    revision_column: Annotated[str | None, _column("--revision-column", "the commit or version")] = None,
    language_column: Annotated[str | None, _column("--language-column", "the language")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the order.", rich_help_panel=_ORDER)] = 0,
    start: Annotated[int, typer.Option("--start", min=0, help="Pass over so many seeds.", rich_help_panel=_ORDER)] = 0,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="At most so many seeds.", rich_help_panel=_ORDER, show_default="all"),
    ] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Draw seeds in a random order.", rich_help_panel=_ORDER)
    ] = False,
) -> None:
    """Mine seeds: documented functions from real code, each with what it needs to stand alone, licensed and traced.

    Nothing is imported or run. The same command again continues where it was stopped.
    """
    table = SeedsTable(
        sources=tuple(sources),
        columns=ColumnsTable(
            code=column,
            license=license_column,
            path=path_column,
            source=source_column,
            revision=revision_column,
            language=language_column,
        ),
        start=start,
        limit=limit,
        shuffle=shuffle,
        kinds=cast(tuple[Kind, ...], options.among(kinds, get_args(Kind), "--kinds", any_case=True) or _DEFAULTS.kinds),
        languages=cast(
            tuple[Language, ...],
            options.among(languages, get_args(Language), "--languages", any_case=True) or _DEFAULTS.languages,
        ),
        allow=options.listed(allow),
        max_lines=max_lines,
        max_context_lines=max_context_lines,
        license=license,
        licenses=options.listed(licenses),
        types=not no_types,
        secrets=not no_secrets,
        decontaminate=not no_decontaminate,
        near=near,
        min_judge=min_judge,
    )
    count = StageCount()
    with live_count("seeds", count):
        seeds_file(Config(run=RunTable(seed=seed), seeds=table), out, rejects, count)
    show_stage("seeds", count)
    if not count.kept and count.rejected["license-unknown"]:
        say(options.NO_LICENSE)


def judge(
    source: options.Source,
    out: options.Out,
    rejects: options.RejectsFile = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, max=1, help="Probability of yes from which a seed stays.")
    ] = JudgeTable().threshold,
    shots: Annotated[
        int, typer.Option("--shots", min=0, max=8, help="Examples that the prompt shows.")
    ] = JudgeTable().shots,
    base_url: options.BaseUrl = None,
    model: options.Model = None,
    prompting: options.Prompting = "completion",
    concurrency: options.Concurrency = None,
    seed: options.SeedOption = 0,
    start: options.Start = 0,
    limit: options.Limit = None,
) -> None:
    """Ask a model whether each seed's docstring alone suffices to write it, and is true of it.

    The probability stands in the seed's column `judge`: with --threshold 0 all seeds stay, and `snipmill seeds FILE
    --min-judge 0.7` moves the bar later, without a model.
    """
    config = Config(
        run=RunTable(seed=seed),
        seeds=SeedsTable(start=start, limit=limit),
        judge=JudgeTable(enabled=True, threshold=threshold, shots=shots),
        model=ModelTable(
            base_url=options.addresses(base_url), name=model, prompting=prompting, concurrency=concurrency
        ),
        generate=GenerateTable(samples=1),
    )
    count = StageCount()
    bar = partial(weigh, threshold=threshold)
    with live_count(JUDGE.name, count):
        asyncio.run(generate_file(JUDGE, Seed, source, out, rejects, config, count, say, bar))
    show_stage(JUDGE.name, count)
