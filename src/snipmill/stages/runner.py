"""Look up, do, write down, count: written once for every stage that is paid for.

What is particular to a stage is its `Work`. A runner makes the outcomes of a task, or looks them up; it never decides which
tasks there are (`engine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from snipmill.records import Record, Reject
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import Entry
from snipmill.store.journal import Journal

E = TypeVar("E", bound=Entry)


class Job(Protocol):
    """A task that is ready to be done or looked up."""

    @property
    def keys(self) -> Sequence[str]:
        """The journal's key of each of its entries; none where nothing has to be done."""


Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
J = TypeVar("J", bound=Job)
Task_contra = TypeVar("Task_contra", contravariant=True)
Outcome_co = TypeVar("Outcome_co", covariant=True)


class Work(Protocol[Task_contra, J, E, Outcome_co]):
    """What a stage does with a task."""

    @property
    def stage(self) -> str:
        """The stage's name."""

    def prepare(self, task: Task_contra) -> J:
        """The task as a job with its keys: a pure function."""

    def can_be_reused(self, entry: E) -> bool:
        """Whether doing it again could give nothing else. What should be tried again is decided here, and in `replaces`."""

    async def do(self, job: J, count: StageCount) -> Sequence[E]:
        """Do the job: an entry for each key."""

    def replaces(self, entry: E, earlier: E) -> bool:
        """Whether an entry is news beside one that the journal has under the same key."""

    def is_evidence(self, job: J, entry: E) -> bool:
        """Whether an entry is worth writing down; what our own faults caused is not."""

    def charge(self, entry: E, count: StageCount, *, fresh: bool) -> None:
        """Count what an entry cost, in this session (`fresh`) or an earlier one."""

    def read(self, job: J, entries: Sequence[E]) -> Sequence[Outcome_co]:
        """The outcomes of a job: a pure function, so that looking up and making give the same."""


class Runner(Generic[Task, J, E, Outcome]):
    """A stage's work over its journal, counted in the funnel.

    Args:
        work: what is particular to the stage.
        journal: where entries are written down before they are used.
        count: the stage's share of the funnel.
    """

    def __init__(self, work: Work[Task, J, E, Outcome], journal: Journal[E], count: StageCount | None = None) -> None:
        self.work = work
        self.count = count or StageCount()
        self._journal = journal

    def look_up(self, task: Task) -> Sequence[Outcome] | None:
        """The outcomes of a task, or None where it has to be done."""
        job = self.work.prepare(task)
        entries = [entry for entry in map(self._reusable_entry, job.keys) if entry is not None]
        return self.work.read(job, entries) if len(entries) == len(job.keys) else None

    async def make(self, task: Task) -> Sequence[Outcome]:
        """The outcomes of a task. What the journal does not hold yet is done, and written down before it is used."""
        job = self.work.prepare(task)
        known = [self._reusable_entry(key) for key in job.keys]
        entries = [entry for entry in known if entry is not None]
        if len(entries) == len(known):
            self.count.reused += len(known)
        else:
            done = await self.work.do(job, self.count)
            entries = [old or self._write_down(job, new) for old, new in zip(known, done, strict=True)]
        for old, entry in zip(known, entries, strict=True):
            self.work.charge(entry, self.count, fresh=old is None)
        outcomes = self.work.read(job, entries)
        for outcome in outcomes:
            if isinstance(outcome, Record):
                self.count.count(outcome.reason if isinstance(outcome, Reject) else None)
        return outcomes

    def _reusable_entry(self, key: str) -> E | None:
        return self._journal.find(key, self.work.can_be_reused)

    def _write_down(self, job: J, entry: E) -> E:
        earlier = self._journal.get(entry.id)  # an equal task may have been done meanwhile
        if earlier is not None and not self.work.replaces(entry, earlier):
            return earlier
        if self.work.is_evidence(job, entry):
            self._journal.append(entry)
        return entry
