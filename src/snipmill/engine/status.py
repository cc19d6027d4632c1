"""The funnel of a run directory, also of one that another process is working on: read from its journals."""

from __future__ import annotations

from typing import Any

from snipmill.stages.funnel import Funnel
from snipmill.stages.spec import ASKING, EXECUTE
from snipmill.store.entries import CompletionEntry, VerdictEntry
from snipmill.store.journal import read_journal
from snipmill.store.run_directory import RunDirectory


def recorded_models(manifest: dict[str, Any]) -> dict[str, str]:
    """The model's name by generation stage, as a run's manifest has it."""
    by_stage = manifest.get("models")
    known = by_stage if isinstance(by_stage, dict) else {}
    return {stage: str(known.get(stage) or manifest.get("model")) for stage in ASKING}


def read_funnel(directory: RunDirectory, manifest: dict[str, Any]) -> dict[str, Any]:
    """The finished funnel where the run is done, else what the journals hold so far.

    Journals also hold what earlier configurations of the same directory paid for; it is counted as well.
    """
    finished = manifest.get("funnel")
    if manifest.get("status") == "done" and isinstance(finished, dict):
        return finished
    funnel = Funnel()
    for stage in ASKING:
        newest = {entry.id: entry for entry in read_journal(directory.journal(stage), CompletionEntry)}
        for entry in newest.values():
            funnel[stage].count(None if entry.outcome == "kept" else entry.outcome)
            if entry.completion is not None:
                funnel[stage].spend(entry.completion.usage, entry.seconds)
    verdicts = {entry.id: entry for entry in read_journal(directory.journal(EXECUTE), VerdictEntry)}
    for executed in verdicts.values():
        funnel[EXECUTE].count(None if executed.outcome == "passed" else executed.outcome)
        funnel[EXECUTE].seconds += executed.verdict.wall_ms / 1000
    return funnel.to_json()
