from __future__ import annotations

from pathlib import Path

from snipmill.engine.status import read_funnel
from snipmill.records import Verdict
from snipmill.store.entries import VerdictEntry
from snipmill.store.journal import Journal
from snipmill.store.run_directory import RunDirectory


def test_a_program_that_was_tried_again_counts_once(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with Journal(directory.journal("execute"), VerdictEntry) as journal:
        for status in ("unsupported", "passed"):
            journal.append(VerdictEntry(id="x-1", outcome=status, verdict=Verdict(status=status, wall_ms=100.0)))
    found = read_funnel(directory, {})["execute"]
    assert (found["in"], found["kept"], found["rejected"]) == (1, 1, {})
