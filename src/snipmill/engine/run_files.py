"""The files that a run derives from its journals: each stage's records and rejects, and the data set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from snipmill.config import Config
from snipmill.engine.flow import SeedOutcome
from snipmill.records import Reject, Row
from snipmill.selection.sanitize import STAGE as SANITIZE
from snipmill.stages.funnel import Funnel
from snipmill.stages.sanitize_rows import sanitize_rows
from snipmill.stages.select_rows import select_rows
from snipmill.stages.spec import RESPONSES, STAGES, VERIFY
from snipmill.stages.stage_models import is_used
from snipmill.store.jsonl import Writer
from snipmill.store.reading import read_records
from snipmill.store.run_directory import RunDirectory
from snipmill.verification.calibration import Calibration
from snipmill.verification.expected_wrong import ExpectedWrong, WrongRows


def count_grown(outcome: SeedOutcome, funnel: Funnel) -> None:
    """Count what no runner counts."""
    funnel[RESPONSES].spared += outcome.spared
    funnel[VERIFY].rescued += outcome.rescued
    funnel[SANITIZE].kept += len(outcome.kept.get(SANITIZE, ()))
    funnel[SANITIZE].rejected.update(reject.reason for reject in outcome.rejected.get(SANITIZE, ()))


class RunFiles:
    """The files of all stages before selection; use as a context manager."""

    def __init__(self, directory: RunDirectory, config: Config) -> None:
        self._directory = directory
        self._names = [stage.name for stage in STAGES[:-1] if is_used(config, stage.name)]
        self.kept: dict[str, Writer[Any]] = {}
        self.rejects: dict[str, Writer[Reject]] = {}

    def __enter__(self) -> RunFiles:
        with contextlib.ExitStack() as stack:
            for name in self._names:
                self.kept[name] = stack.enter_context(Writer(self._directory.kept(name)))
                self.rejects[name] = stack.enter_context(Writer(self._directory.rejects(name)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, outcome: SeedOutcome) -> None:
        """Append everything that came of a seed."""
        for writers, by_stage in ((self.kept, outcome.kept), (self.rejects, outcome.rejected)):
            for stage, records in by_stage.items():
                for record in records:
                    writers[stage].write(record)


def finish(config: Config, directory: RunDirectory, funnel: Funnel, calibration: Calibration) -> ExpectedWrong:
    """Select among all rows and write the data set in the configured style.

    Returns:
        how many of its rows are expected to be wrong; those that were not executed do not count.
    """

    def select(drop: Callable[[Reject], None]) -> Iterator[Row]:
        return select_rows(_raw_rows(directory), config.select, config.run.seed, drop)

    return finish_with(select, config, directory, funnel, calibration)


def finish_with(
    select: Callable[[Callable[[Reject], None]], Iterator[Row]],
    config: Config,
    directory: RunDirectory,
    funnel: Funnel,
    calibration: Calibration,
) -> ExpectedWrong:
    """As `finish`, with the selection as a function that is told where rejects go, and gives the rows that stay."""
    seed, count, wrong = config.run.seed, funnel["select"], WrongRows(calibration)
    with Writer[Row](directory.dataset) as dataset, Writer[Reject](directory.rejects("select")) as rejects:

        def drop(reject: Reject) -> None:
            rejects.write(reject)
            count.count(reject.reason)

        for outcome in sanitize_rows(select(drop), config.select, seed):
            if isinstance(outcome, Reject):
                drop(outcome)
            else:
                dataset.write_line(outcome)
                count.count(None)
                wrong.add_line(outcome)
    return wrong.estimate()


def _raw_rows(directory: RunDirectory) -> Iterator[Row]:
    path = directory.kept(SANITIZE)
    if path.stat().st_size:
        for row in read_records(str(path), Row, "select"):
            if isinstance(row, Row):
                yield row
