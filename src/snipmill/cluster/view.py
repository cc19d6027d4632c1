"""How far the workers of a cluster are, read from what each shard tells, and shown as one run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from snipmill.engine.progress import Progress
from snipmill.engine.shard_state import ShardState, join_funnels, read_reports
from snipmill.llm.fleet import Counts, ServerState
from snipmill.store.run_directory import RunDirectory


@dataclass
class ClusterServers:
    """The servers that all workers ask, as the workers tell of them (`progress.FleetView`)."""

    servers: list[ServerState] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    in_flight: int = 0
    first_request: float | None = None
    trouble: str = ""
    notes: list[str] = field(default_factory=list)


class ClusterView:
    """Keeps the progress of a cluster's run up to date.

    Args:
        directory: of the run.
        progress: is kept up to date.
        count: the number of shards.
        command: by which workers of this command are known: what others have told is of another time.
    """

    def __init__(self, directory: RunDirectory, progress: Progress, count: int, command: str) -> None:
        self._directory, self._progress, self._count, self._command = directory, progress, count, command
        self._servers = ClusterServers()
        self.grown: dict[int, int] = {}  # by shard, the most seeds that it has ever had grown
        progress.fleets = (self._servers,)

    def read(self) -> None:
        """Read how far all shards are."""
        reports = [one for one in read_reports(self._directory) if one.command == self._command]
        for one in reports:
            self.grown[one.index] = max(self.grown.get(one.index, 0), one.state.seeds_done)
        states = [one.state for one in reports]
        progress = self._progress
        progress.funnel.replace_with(join_funnels(one.funnel for one in reports))
        progress.seeds_done = sum(one.seeds_done for one in states)
        progress.found, progress.with_rows = sum(one.found for one in states), sum(one.with_rows for one in states)
        progress.doubt = sum(one.doubt for one in states)
        progress.window = sum(one.window for one in states) or 1
        progress.replayed = (sum(one.replayed[0] for one in states), sum(one.replayed[1] for one in states))
        known = [one.seeds for one in states if one.seeds is not None]
        if len(known) == self._count:
            progress.limit = sum(known)
        self._read_servers(states)

    def _read_servers(self, states: Sequence[ShardState]) -> None:
        servers = self._servers
        by_url: dict[str, list[tuple[int, bool]]] = {}
        for state in states:
            for url, told in state.tokens.items():
                by_url.setdefault(url, []).append(told)
        servers.servers = [
            ServerState(url, sum(tokens for tokens, _ in told), 0, not any(works for _, works in told))
            for url, told in by_url.items()
        ]
        servers.in_flight = sum(state.in_flight for state in states)
        asked = [state.asked_for for state in states if state.asked_for is not None]
        if asked:
            servers.first_request = time.monotonic() - max(asked)
        servers.trouble = next((state.trouble for state in states if state.trouble), "")
        servers.notes = list(dict.fromkeys(note for state in states for note in state.notes))
