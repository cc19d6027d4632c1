"""The stages after verification, by hand: `snipmill sanitize` and `select`; and `fingerprint` for selection's benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from snipmill.cli import options
from snipmill.cli.configured import Choice, configured
from snipmill.cli.display import finish_stage, live_count, say
from snipmill.config import Config, LookTable
from snipmill.errors import UsageError
from snipmill.stages.stage_count import StageCount

if TYPE_CHECKING:
    from snipmill.similarity.contamination import Item

_SANITIZE = ("select.style", "run.seed", *(f"select.look.{name}" for name in LookTable.__struct_fields__))
_SELECT = (
    "select.keep",
    "select.name_diversity",
    "select.near_instructions",
    "select.near_code",
    "select.semantic",
    "select.embedding_model",
    "select.min_mutation",
    "select.min_reached",
    "select.min_agreement",
    "select.min_confidence",
    "select.min_rare_confidence",
    "select.max_wrong",
    "verify.calibration",
    "select.max_easy",
    "select.unverified",
    "select.decontaminate",
    Choice(
        "select.benchmarks",
        help="One more set to decontaminate against: JSONL, JSON, Parquet, .fingerprints or hub:owner/name/path; can be repeated.",
    ),
    "run.seed",
)


def sanitize(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """Check that responses are well-formed, and write them as rows in a style."""
    from snipmill.engine.files import Files
    from snipmill.engine.rows_by_hand import sanitize_file

    count = StageCount()
    with live_count("sanitize", count):
        sanitize_file(Files(source, out, rejects), config, count)
    finish_stage("sanitize", count)


def select(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """Choose the rows of a data set: one for each instruction, without duplicates, in a seeded order."""
    from snipmill.engine.files import Files
    from snipmill.engine.rows_by_hand import select_file
    from snipmill.stages.calibration_file import load_calibration

    count = StageCount()
    with live_count("select", count):
        wrong = select_file(Files(source, out, rejects), config, count)
    finish_stage("select", count)
    if wrong.rows:
        say(f"Expected to be wrong: {wrong}, by {load_calibration(config.verify.calibration).sources()}.")


def fingerprint(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="NAME=FILE...", help="Benchmarks: JSONL or JSON, also gzipped.", show_default=False),
    ],
    out: options.Out,
    license: Annotated[
        list[str] | None,
        typer.Option("--license", metavar="NAME=TEXT", help="Origin and licence to note for a benchmark."),
    ] = None,
    ngram: Annotated[
        int | None,
        typer.Option("--ngram", min=3, help="Number of words in a row that count as overlap.", show_default="13"),
    ] = None,
) -> None:
    """Make a fingerprint index of benchmarks, to decontaminate rows without having the benchmarks' texts."""
    from snipmill.similarity.contamination import NGRAM, build_index
    from snipmill.stages.benchmark_files import write_index

    items = [item for source in sources for item in _items_of(source)]
    said = dict(part.partition("=")[::2] for part in license or [])
    index = build_index(
        items, {source.partition("=")[0]: said.get(source.partition("=")[0], "") for source in sources}, ngram or NGRAM
    )
    write_index(index, out)
    say(f"{len(items):,} tasks, {len(index.grams) // 8:,} fingerprints in {out}")


def _items_of(source: str) -> list[Item]:
    from snipmill.stages.benchmark_files import read_items

    name, equals, path = source.partition("=")
    if not equals:
        raise UsageError(f"{source!r} does not say which benchmark it is: write NAME=FILE.")
    return [msgspec.structs.replace(item, name=f"{name}/{item.name.rpartition('/')[2]}") for item in read_items(path)]


COMMANDS = {
    "sanitize": lambda: configured(sanitize, _SANITIZE, {"select.style": "raw"}),
    "select": lambda: configured(select, _SELECT),
    "fingerprint": lambda: fingerprint,
}
