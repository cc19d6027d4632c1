"""What a run tells about itself while it works."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from snipmill.llm.fleet import Counts, ServerState
from snipmill.stages.budget import Budget
from snipmill.stages.funnel import Funnel
from snipmill.verification.expected_wrong import ExpectedWrong


class FleetView(Protocol):
    """What is told of servers, by the fleet itself or by another process that has one.

    `first_request` is when the first request was sent, on the monotonic clock.
    """

    first_request: float | None

    @property
    def servers(self) -> list[ServerState]:
        """Each server as it stands now."""

    @property
    def counts(self) -> Counts:
        """What the fleet has done so far."""

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""

    @property
    def trouble(self) -> str:
        """What keeps servers from working; empty if all work."""

    @property
    def notes(self) -> list[str]:
        """What servers do not take."""


@dataclass
class Progress:
    """The state of a run.

    Attributes:
        funnel: counts by stage.
        seeds_done: seeds that are grown.
        limit: the most seeds that are used, if there is one.
        all_seeds_known: whether mining has ended.
        with_rows: seeds, in their order, from which a row has come.
        enough: the run ends when so many seeds have a row.
        found: as `with_rows`, in any order.
        doubt: the sum of the probabilities that their best rows are wrong.
        stages: those that the run has.
        budget: what may be spent, and what tokens cost.
        window: how many seeds may be under way.
        replayed: `seeds_done` and `found` when the first request was sent: what was there already came at another pace.
        phase: what is being done.
        model, tier: who answers, and where programs run.
        stopped: why it ended before its seeds did.
        store_trouble: what keeps the store of the run from working.
        started: on the monotonic clock.
        fleets: the servers.
        remarks: what a person should know.
        weights: what confidences rest on.
        wrong: how many rows are expected to be wrong, at the end.
    """

    funnel: Funnel = field(default_factory=Funnel)
    seeds_done: int = 0
    limit: int | None = None
    all_seeds_known: bool = False
    with_rows: int = 0
    found: int = 0
    doubt: float = 0.0
    stages: tuple[str, ...] = ()
    budget: Budget | None = None
    window: int = 1
    replayed: tuple[int, int] = (0, 0)
    enough: int | None = None
    phase: str = "starting"
    model: str = ""
    tier: str = ""
    stopped: str = ""
    store_trouble: str = ""
    started: float = field(default_factory=time.monotonic)
    fleets: Sequence[FleetView] = ()
    remarks: list[str] = field(default_factory=list)
    weights: str = ""
    wrong: ExpectedWrong | None = None

    @property
    def seeds(self) -> int | None:
        """The maximum number of seeds; None while it is not known."""
        return self.funnel["seeds"].kept if self.all_seeds_known else self.limit

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        return sum(fleet.in_flight for fleet in self.fleets)

    @property
    def first_request(self) -> float | None:
        """When the first request of this session was sent, on the monotonic clock."""
        return min((fleet.first_request for fleet in self.fleets if fleet.first_request is not None), default=None)

    def seed_ended(self, *, has_row: bool, confidence: float) -> None:
        """Count a seed that is grown."""
        self.seeds_done += 1
        if has_row:
            self.found += 1
            self.doubt += 1 - confidence
        if self.first_request is None:
            self.replayed = self.seeds_done, self.found

    @property
    def trouble(self) -> str:
        """What keeps servers, or the store, from working; empty if all work."""
        return "; ".join(filter(None, (*(fleet.trouble for fleet in self.fleets), self.store_trouble)))

    @property
    def notes(self) -> list[str]:
        """What servers do not take, and is left out; and what else a person should know."""
        return [*(note for fleet in self.fleets for note in fleet.notes), *self.remarks]

    @property
    def seconds(self) -> float:
        """How long this session has taken."""
        return round(time.monotonic() - self.started, 1)
