"""The stages after execution, file to file: `snipmill sanitize`, `select`, and `fingerprint` for selection's benchmarks."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import typer

from snipmill.cli import options
from snipmill.cli.display import live_count, say, show_stage
from snipmill.cli.errors import guarded
from snipmill.config import Config, LookTable, RunTable, SelectTable
from snipmill.errors import UsageError
from snipmill.pipeline.benchmarks import read_items, write_index
from snipmill.pipeline.funnel import StageCount
from snipmill.pipeline.stage_files import sanitize_file, select_file
from snipmill.select.contamination import NGRAM, Item, build_index

_PARTS = "Parts of the look, instead of the style's"


def register(app: typer.Typer) -> None:
    """Add the commands in the order of the way of the data."""
    for name, command in (("sanitize", sanitize), ("select", select), ("fingerprint", fingerprint)):
        app.command(name, rich_help_panel=options.ONE_STAGE)(guarded(command))


def sanitize(
    source: options.Source,
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
    source: options.Source,
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
    min_mutation: Annotated[
        float, typer.Option("--min-mutation", min=0, max=1, help="Least mutation score of a row's tests.")
    ] = 0.0,
    min_agreement: Annotated[
        int, typer.Option("--min-agreement", min=1, help="Least number of implementations that compute the same.")
    ] = 1,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", min=0, max=1, help="Least probability that a row's code is right.")
    ] = 0.0,
    min_rare_confidence: Annotated[
        float,
        typer.Option(
            "--min-rare-confidence",
            min=0,
            max=1,
            help="The same where fewer than a third of the task's samples passed.",
        ),
    ] = 0.0,
    max_easy: Annotated[
        float,
        typer.Option(
            "--max-easy",
            min=0,
            max=1,
            help="At most this share of rows whose task more than two thirds of samples solve.",
        ),
    ] = 1.0,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Keep rows in languages that are not executed here.")
    ] = False,
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
            min_mutation=min_mutation,
            min_agreement=min_agreement,
            min_confidence=min_confidence,
            min_rare_confidence=min_rare_confidence,
            max_easy=max_easy,
            unverified=unverified,
            decontaminate=decontaminate,
            benchmarks=tuple(benchmarks or ()),
        ),
    )
    count = StageCount()
    with live_count("select", count):
        select_file(source, out, rejects, config, count)
    show_stage("select", count)
