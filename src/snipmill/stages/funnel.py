"""Counts of what came in, what stayed, and what was dropped for which reason, with tokens and seconds, per stage."""

from __future__ import annotations

from typing import Any

from snipmill.stages.spec import STAGES
from snipmill.stages.stage_count import StageCount


class Funnel:
    """The counts of all stages, in the order of the data."""

    def __init__(self) -> None:
        self.stages: dict[str, StageCount] = {stage.name: StageCount() for stage in STAGES}

    def __getitem__(self, stage: str) -> StageCount:
        return self.stages[stage]

    def agree_with(self, harvested: Funnel) -> None:
        """Take over the counts of what was written to files; tokens and seconds stay, since they were spent."""
        for name, count in self.stages.items():
            count.kept, count.rejected = harvested[name].kept, harvested[name].rejected
            count.rescued = harvested[name].rescued

    def replace_with(self, other: Funnel) -> None:
        """Take over all counts of another funnel."""
        self.stages = other.stages

    def to_json(self) -> dict[str, Any]:
        """Stages that saw anything."""
        return {name: count.to_json() for name, count in self.stages.items() if count.came_in}
