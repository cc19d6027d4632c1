"""Writes the report of a run, or the comparison of two, to a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snipmill.errors import UsageError
from snipmill.records import Row
from snipmill.reporting.build import MOST_DETAILS, MOST_ROWS, Tell, read_report
from snipmill.reporting.compare import compare
from snipmill.reporting.page import MARK, render_comparison, render_report
from snipmill.store.jsonl import Writer
from snipmill.store.run_directory import RunDirectory

_COMPARISON = "comparison.html"
_HEAD = 4096  # bytes in which a page of ours has its mark


@dataclass(frozen=True)
class Written:
    """What was written: where, how many bytes, and how many things in it deserve a look."""

    path: Path
    size: int
    problems: int


async def write_report(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    most_rows: int = MOST_ROWS,
    most_details: int = MOST_DETAILS,
    tell: Tell = lambda _text: None,
) -> Written:
    """Write one HTML file that needs no network.

    Args:
        runs: a run directory, or two to compare.
        out: the file; report.html in the run, or comparison.html for two.
        most_rows: how many rows of a run are listed; of more, a random sample.
        most_details: how many of these open with all samples.
        tell: is told what is being done.

    Raises:
        UsageError: there is no run, a file of it is damaged, or `out` is something else than a report.
        StoreError: the file cannot be written.
    """
    if not 1 <= len(runs) <= 2:
        raise UsageError("Give one run, or two to compare.")
    target = Path(out) if out is not None else _default(runs)
    _refuse_other_files(target)
    reports = [await read_report(run, most_rows, most_details if len(runs) == 1 else 0, tell) for run in runs]
    tell("Writing the page.")
    page = render_report(reports[0]) if len(reports) == 1 else render_comparison(compare(*reports))
    text = page.encode("utf-8", "replace")
    with Writer[Row](target) as writer:
        writer.write_line(text)
    return Written(target, len(text), sum(len(report.problems) for report in reports))


def _default(runs: Sequence[str | Path]) -> Path:
    return RunDirectory(runs[0]).report if len(runs) == 1 else Path(_COMPARISON)


def _refuse_other_files(target: Path) -> None:
    """Write over nothing but an earlier report.

    Raises:
        UsageError: there is something else.
    """
    if str(target) == "-" or not target.is_file():
        return
    with target.open("rb") as handle:
        if MARK.encode() not in handle.read(_HEAD):
            raise UsageError(f"{target} is there and is no report. Give another file as --out.")
