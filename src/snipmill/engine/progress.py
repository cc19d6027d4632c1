"""What a run tells about itself while it works."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from snipmill.llm.fleet import Fleet
from snipmill.stages.funnel import Funnel


@dataclass
class Progress:
    """The state of a run.

    `with_rows` counts the seeds, in order, from which a row has come; the run ends when there are `enough`.
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
    started: float = field(default_factory=time.monotonic)
    fleet: Fleet | None = None

    @property
    def seeds(self) -> int | None:
        """The maximum number of seeds; None while it is not known."""
        return self.funnel["seeds"].kept if self.all_seeds_known else self.limit

    @property
    def seconds(self) -> float:
        """How long this session has taken."""
        return round(time.monotonic() - self.started, 1)
