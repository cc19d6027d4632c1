"""The runner over any work: what was done once is looked up, and a journal that was cut loses nothing but what was in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from snipmill.records import Reject, Response, Verdict
from snipmill.stages.runner import Runner
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import VerdictEntry
from snipmill.store.journal import Journal


@dataclass(frozen=True)
class Job:
    keys: tuple[str, ...]


@dataclass
class Squares:
    """Work with several entries for each task; odd numbers are rejected, and entries of 3 are our own fault."""

    done: list[str] = field(default_factory=list)
    stage: str = "squares"

    def prepare(self, task: range) -> Job:
        return Job(tuple(map(str, task)))

    def can_be_reused(self, entry: VerdictEntry) -> bool:
        return entry.outcome != "unsupported"

    async def do(self, job: Job, count: StageCount) -> Sequence[VerdictEntry]:
        count.requests += 1
        self.done += job.keys
        return [
            VerdictEntry(id=key, outcome="sandbox-error" if key == "3" else "passed", verdict=Verdict(status="passed"))
            for key in job.keys
        ]

    def replaces(self, entry: VerdictEntry, earlier: VerdictEntry) -> bool:
        return entry.outcome != earlier.outcome

    def is_evidence(self, job: Job, entry: VerdictEntry) -> bool:
        return entry.outcome != "sandbox-error"

    def charge(self, entry: VerdictEntry, count: StageCount, *, fresh: bool) -> None:
        count.fresh += fresh

    def read(self, job: Job, entries: Sequence[VerdictEntry]) -> list[Response | Reject]:
        return [
            Reject(id=entry.id, stage=self.stage, reason="failed")
            if int(entry.id) % 2
            else Response(id=entry.id, seed="", concepts=[], instruction="", response=str(int(entry.id) ** 2))
            for entry in entries
        ]


TASKS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)).map(lambda p: range(p[0], p[0] + p[1])), max_size=12)


@given(TASKS, st.integers(0, 400))
def test_a_cut_journal_gives_the_same_outcomes_and_does_little_again(tasks: list[range], cut: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"

        def make_all(work: Squares, count: StageCount) -> list[Sequence[Response | Reject]]:
            with Journal(path, VerdictEntry) as journal:
                runner = Runner(work, journal, count)
                return [asyncio.run(runner.make(task)) for task in tasks]

        first, again, whole = Squares(), Squares(), StageCount()
        outcomes = make_all(first, whole)
        assert whole.came_in == sum(map(len, tasks)) >= whole.fresh + whole.reused
        with Journal(path, VerdictEntry, read_only=True) as journal:
            looked_up = [Runner(Squares(), journal).look_up(task) for task in tasks]
        assert [found for task, found in zip(tasks, looked_up, strict=True) if 3 not in task] == [
            made for task, made in zip(tasks, outcomes, strict=True) if 3 not in task
        ]
        assert all(found is None for task, found in zip(tasks, looked_up, strict=True) if 3 in task)
        assert make_all(again, StageCount()) == outcomes
        assert again.done == [] or any(3 in task for task in tasks), "only what is our own fault is done again"
        if path.exists():
            path.write_bytes(path.read_bytes()[:cut])
        assert make_all(Squares(), StageCount()) == outcomes
