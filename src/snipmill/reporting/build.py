"""Makes the report of a run: reads its files once, and writes one HTML file."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from snipmill.config import Config
from snipmill.config_file import load_config
from snipmill.engine.status import read_funnel
from snipmill.errors import UsageError
from snipmill.publish.journals import current_files
from snipmill.records import Row
from snipmill.reporting.confidence_bars import ConfidenceBar, confidence_bars
from snipmill.reporting.distributions import Chart, Spread
from snipmill.reporting.diversity import MOST_TEXTS, Figure, concept_figures, embedding_figures, text_figures
from snipmill.reporting.drops import Step, read_counts, read_steps
from snipmill.reporting.problems import find_problems
from snipmill.reporting.reading import Key, structs_of
from snipmill.reporting.row_table import RowTable, bar_for, instruction_key, rank
from snipmill.reporting.row_way import describe_row, read_ways
from snipmill.reporting.stage_charts import stage_charts
from snipmill.reporting.summary import Run, Summary, summarize
from snipmill.stages.embedder import load_embedder
from snipmill.store.run_directory import CONFIG, MANIFEST, RunDirectory
from snipmill.verification.expected_wrong import ExpectedWrong

MOST_ROWS = 50_000
MOST_DETAILS = 500

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """All that a page shows of one run.

    Attributes:
        run: as its directory records it.
        summary: the top.
        problems: what deserves a look.
        steps: the funnel.
        spread: of the rows.
        charts: of numbers and labels.
        stage_charts: tokens, time and verdicts.
        same: labels that all rows have, as pairs of a title and the value.
        confidence: what rows with at least some confidence are worth.
        diversity: as figures.
        instructions: a hash of each row's instruction.
        keys: those of the listed rows.
        rows: columns for the browser of rows.
        details: what opens with a row, in the order that `rows` names.
        prompts: beginnings of prompts, which details refer to.
    """

    run: Run
    summary: Summary
    problems: list[str]
    steps: list[Step]
    spread: Spread
    charts: list[Chart]
    stage_charts: list[Chart]
    same: list[tuple[str, str]]
    confidence: list[ConfidenceBar]
    diversity: list[Figure]
    instructions: array[int] = field(default_factory=lambda: array("Q"))
    keys: list[int] = field(default_factory=list)
    rows: dict[str, Any] = field(default_factory=dict)
    details: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)


@dataclass
class _Pass:
    """What one pass over the rows collects."""

    spread: Spread = field(default_factory=Spread)
    table: RowTable = field(default_factory=RowTable)
    detailed: list[Row] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    instructions: array[int] = field(default_factory=lambda: array("Q"))


async def read_report(
    path: str | Path,
    most_rows: int = MOST_ROWS,
    most_details: int = MOST_DETAILS,
    tell: Tell = lambda _text: None,
) -> Report:
    """All that a page shows of a run, finished or not.

    Args:
        path: of the run directory.
        most_rows: how many rows are listed; of more, a random sample.
        most_details: how many of these open whole.
        tell: is told what is being read.

    Raises:
        UsageError: there is no run, or a file is damaged.
    """
    directory = RunDirectory(path)
    manifest = directory.read_manifest()
    if not directory.is_there:
        raise UsageError(f"{directory.path} has no {CONFIG}. Give the directory of a run.")
    config = load_config(directory.path / CONFIG)
    async with current_files(directory, config, manifest) as (files, replayed):
        funnel = read_funnel(directory, manifest) if replayed is None else replayed.funnel
        wrong = _expected_wrong(manifest) if replayed is None else replayed.wrong
        counts = read_counts(funnel, directory.path / MANIFEST)
        run = Run(directory.path, manifest, config, counts, wrong)
        tell("Reading the rows.")
        found = _read_rows(files, most_rows, most_details)
        tell("Reading what was dropped.")
        steps = read_steps(files, directory, run.funnel)
        tell(f"Following {len(found.detailed):,} rows back to their seeds.")
        ways = read_ways(found.detailed, files, directory, config)
        details = [describe_row(row, ways) for row in found.detailed]
    spread = found.spread
    return Report(
        run=run,
        summary=summarize(run, spread.rows, len(spread.labels["source"])),
        problems=find_problems(run, steps, spread),
        steps=steps,
        spread=spread,
        charts=spread.charts(),
        stage_charts=stage_charts(steps),
        same=spread.same(),
        confidence=confidence_bars(spread.numbers["confidence"]),
        diversity=_diversity(spread, found.texts, steps, config),
        instructions=found.instructions,
        keys=found.table.keys,
        rows=found.table.to_json([row.id for row in found.detailed]),
        details=details,
        prompts=ways.book.beginnings,
    )


def _expected_wrong(manifest: dict[str, Any]) -> ExpectedWrong | None:
    found = manifest.get("expected_wrong")
    try:
        return msgspec.convert(found, ExpectedWrong)
    except msgspec.ValidationError:
        return None


def _read_rows(files: RunDirectory, most_rows: int, most_details: int) -> _Pass:
    """Count all rows, list some, and keep those that open whole."""
    ranks = np.frombuffer(array("Q", (rank(key.id) for key in structs_of(files.dataset, Key))), dtype=np.uint64)
    listed = bar_for(ranks, most_rows)
    opened, read = min(bar_for(ranks, most_details), listed), bar_for(ranks, MOST_TEXTS)
    found, texts = _Pass(), list[tuple[int, str]]()
    for row in found.spread.watch(structs_of(files.dataset, Row)):
        place = rank(row.id)
        if place < listed:
            found.table.add(row)
        if place < opened:
            found.detailed.append(row)
        if place < read:
            texts.append((place, row.instruction))
        found.instructions.append(instruction_key(row))
    found.texts = [text for _, text in sorted(texts)]  # in random order
    return found


def _diversity(spread: Spread, texts: list[str], steps: list[Step], config: Config) -> list[Figure]:
    figures = [*concept_figures(spread.labels["concept"], spread.rows), *text_figures(texts)]
    select = next((step for step in steps if step.stage == "select"), None)
    if select is not None and select.came_in:
        near = sum(drop.count for drop in select.drops if "duplicate" in drop.reason)
        figures.append(
            Figure(
                "Duplicates dropped",
                f"{near / select.came_in:.1%}",
                "exact, near and semantic, of what came to selection",
            )
        )
    if config.select.semantic and Path(config.select.embedding_model).is_dir():  # nothing is downloaded for a report
        with contextlib.suppress(UsageError):
            figures += embedding_figures(texts, load_embedder(config.select.embedding_model))
    return figures
