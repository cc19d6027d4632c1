"""What a run tells about itself while it works."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from snipmill.llm.fleet import Fleet
from snipmill.stages.funnel import Funnel
from snipmill.verification.expected_wrong import ExpectedWrong


@dataclass
class Progress:
    """The state of a run.

    `with_rows` counts the seeds, in order, from which a row has come; the run ends when there are `enough`. `stopped` says
    why it ended before its seeds did.
    """

    funnel: Funnel = field(default_factory=Funnel)
    seeds_done: int = 0
    limit: int | None = None
    all_seeds_known: bool = False
    with_rows: int = 0
    enough: int | None = None
    phase: str = "starting"
    model: str = ""
    tier: str = ""
    stopped: str = ""
    started: float = field(default_factory=time.monotonic)
    fleets: list[Fleet] = field(default_factory=list)
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
    def trouble(self) -> str:
        """What keeps servers from working; empty if all work."""
        return "; ".join(filter(None, (fleet.trouble for fleet in self.fleets)))

    @property
    def notes(self) -> list[str]:
        """What servers do not take, and is left out; and what else a person should know."""
        return [*(note for fleet in self.fleets for note in fleet.notes), *self.remarks]

    @property
    def seconds(self) -> float:
        """How long this session has taken."""
        return round(time.monotonic() - self.started, 1)
