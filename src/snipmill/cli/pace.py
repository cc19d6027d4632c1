"""How far a run is, how fast it goes, what it costs, and when it is done: figures of its progress as short texts."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field

from snipmill.cli.display import duration
from snipmill.engine.progress import Progress
from snipmill.stages.budget import cost
from snipmill.stages.spec import ASKING, EXECUTE

_LEAST = 3  # results before a time is forecast
_EIGHTY_PERCENT = 1.28  # standard deviations on each side
_SPEED_WINDOW = 30.0  # seconds


def time_to_go(progress: Progress, now: float) -> str:
    """When the run is done: a range in which it ends four times in five, from the pace since its first new completion.

    Results are taken as independent of each other, so the range narrows with the square root of their number.
    """
    if progress.paced_from is None:
        return ""
    since, seeds_then, found_then = progress.paced_from
    if progress.enough is not None:
        done, left = progress.found - found_then, progress.enough - progress.with_rows
    elif progress.seeds is not None:
        done, left = progress.seeds_done - seeds_then, progress.seeds - progress.seeds_done
    else:
        return ""
    if left <= 0:
        return ""
    if done < _LEAST:
        return "time to go not known yet"
    seconds = left * (now - since) / done
    error = _EIGHTY_PERCENT / math.sqrt(done)
    low, high = duration(seconds / (1 + error)), duration(seconds / (1 - error)) if error < 0.9 else None
    if low == high:
        return f"done in about {low}"
    return f"done in {low} to {high}" if high is not None else f"done in {low} at least"


def rows_line(progress: Progress, now: float) -> list[str]:
    """How many tasks have a row, how fast they come, what each takes, and how many are expected to be wrong."""
    parts = [f"{progress.found:,} found"]
    if (
        progress.paced_from is not None
        and progress.found > progress.paced_from[2]
        and now - progress.paced_from[0] > 30
    ):
        since, _, before = progress.paced_from
        parts.append(f"{3600 * (progress.found - before) / (now - since):,.0f} an hour")
    if progress.found:
        tokens = sum(progress.funnel[stage].completion_tokens for stage in ASKING)
        parts.append(f"{tokens / progress.found:,.0f} tokens each")
        parts.append(f"{progress.doubt / progress.found:.0%} expected wrong")
    return parts


def cost_line(progress: Progress) -> list[str]:
    """What was spent, with limits where there are any; empty where nothing has a price."""
    budget = progress.budget
    if budget is None:
        return []
    parts, spent = [], sum(cost(progress.funnel[stage].usage, budget.prices[stage]) for stage in ASKING)
    if spent:
        limit = f" of {budget.max_cost:,.4g}" if budget.max_cost is not None else ""
        parts.append(f"{spent:,.4g}{limit} spent")
        if progress.found:
            parts.append(f"{spent / progress.found:,.2g} each row")
    if budget.max_tokens is not None:
        parts.append(f"{budget.tokens:,} of {budget.max_tokens:,} tokens")
    return parts


@dataclass
class Speeds:
    """Tokens a second of each server, over the last half minute."""

    _seen: deque[tuple[float, dict[str, int]]] = field(default_factory=deque)

    def read(self, progress: Progress, now: float) -> dict[str, float]:
        """The speed of each server by its address; those that are set aside have none."""
        servers = [server for fleet in progress.fleets for server in fleet.servers]
        tokens = {server.url: server.tokens for server in servers}
        self._seen.append((now, tokens))
        while now - self._seen[0][0] > _SPEED_WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        seconds = now - then
        if seconds < 1:
            return {}
        return {
            server.url: 0.0 if server.is_set_aside else (server.tokens - before.get(server.url, 0)) / seconds
            for server in servers
        }


def plain_line(progress: Progress, speeds: Speeds, now: float | None = None) -> str:
    """All of it in one line, for a log."""
    moment = time.monotonic() if now is None else now
    known = f" of {progress.seeds:,}" if progress.seeds is not None else ""
    parts = [progress.phase, duration(moment - progress.started), f"{progress.seeds_done:,}{known} seeds done"]
    speed = sum(speeds.read(progress, moment).values())
    if speed:
        parts.append(f"{speed:,.0f} tokens/s")
    if progress.funnel["responses"].came_in:
        parts.append(f"{progress.funnel[EXECUTE].kept:,} of {progress.funnel['responses'].came_in:,} responses passed")
    wanted = f" of {progress.enough:,} wanted" if progress.enough is not None else ""
    if progress.fleets:
        rows = rows_line(progress, moment)
        parts += [f"rows: {progress.with_rows if wanted else progress.found:,}{wanted or ' found'}", *rows[1:]]
        parts += cost_line(progress)
        parts.append(f"{progress.in_flight} in flight")
    parts += filter(None, (progress.trouble, time_to_go(progress, moment)))
    return " · ".join(parts)
