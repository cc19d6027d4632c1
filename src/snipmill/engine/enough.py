"""How far all shards of a run are, for runs that end once enough tasks have a row.

Where that is, is decided in the order of the seeds: a shard may stop once all seeds before it are grown in all shards.
"""

from __future__ import annotations

import msgspec

from snipmill.engine.shard_files import read_grown, read_header
from snipmill.store.run_directory import RunDirectory


class SeedState(msgspec.Struct, frozen=True):
    """What counts of a seed here."""

    position: int
    has_row: bool = False


class Neighbours:
    """Reads what all shards have grown, each time from where it ended.

    Args:
        whole: the run's directory.
        count: the number of shards.
        basis: of what they grow (`basis`).
        enough: tasks with a row that end the run.
    """

    def __init__(self, whole: RunDirectory, count: int, basis: str, enough: int) -> None:
        self._shards = [whole.shard(index) for index in range(count)]
        self._count, self._basis, self._enough = count, basis, enough
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._ends = [0] * self._count
        self._known: dict[int, bool] = {}
        self._next = self._with_rows = 0

    def last_position(self) -> int | None:
        """The position of the seed that makes enough; None while it is not known."""
        for place, shard in enumerate(self._shards):
            header = read_header(shard)
            if header is None or (header.basis, header.count) != (self._basis, self._count):
                continue
            if shard.grown.stat().st_size < self._ends[place]:  # it was cut back
                self._begin_anew()
                return None
            for state, end in read_grown(shard, SeedState, self._ends[place]):
                self._known[state.position] = state.has_row
                self._ends[place] = end
        while self._next in self._known:
            self._with_rows += self._known.pop(self._next)
            self._next += 1
            if self._with_rows >= self._enough:
                return self._next - 1
        return None
