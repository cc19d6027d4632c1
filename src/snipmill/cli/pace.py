"""How far a run is, how fast it goes, what it costs, and when it is done: figures of its progress as short texts."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from snipmill.engine.duration import duration
from snipmill.engine.progress import Progress
from snipmill.stages.budget import Budget, cost
from snipmill.stages.spec import ASKING, EXECUTE

_LEAST = 3  # results before a time is forecast
_EIGHTY_PERCENT = 1.28  # standard deviations on each side
_SPEED_WINDOW = 30.0  # seconds


def time_to_go(progress: Progress, now: float) -> str:
    """When the run is done: a range in which it ends four times in five, from the pace since the first request of this session.

    It ends when its seeds are grown, when enough of them have rows, or when its tokens are spent, whichever comes first. Seeds end
    in bursts at first, so nothing is said before as many have ended as are under way. After that, results are taken as
    independent: the range narrows with the square root of their number.
    """
    if progress.first_request is None or progress.phase != "writing":
        return ""
    forecasts = list(_forecasts(progress, now - progress.first_request))
    if not forecasts:
        return ""
    done = progress.seeds_done - progress.replayed[0]
    seconds, results = min(forecasts)
    if done < min(progress.window, (progress.seeds or progress.window) // 3) or results < _LEAST:
        return "time to go not known yet"
    error = _EIGHTY_PERCENT / math.sqrt(results)
    low, high = duration(seconds / (1 + error)), duration(seconds / (1 - error))
    return f"done in about {low}" if low == high else f"done in {low} to {high}"


def _forecasts(progress: Progress, seconds: float) -> Iterator[tuple[float, int]]:
    """For each thing that ends the run: in how many seconds it does so, and on how many results that rests."""
    seeds_before, found_before = progress.replayed
    done, found = progress.seeds_done - seeds_before, progress.found - found_before
    if progress.seeds is not None and progress.seeds > progress.seeds_done:
        yield (progress.seeds - progress.seeds_done) * seconds / max(done, 1), done
    if progress.enough is not None and progress.enough > progress.with_rows and (found or progress.seeds is None):
        yield (progress.enough - progress.with_rows) * seconds / max(found, 1), found
    budget, fresh = progress.budget, sum(progress.funnel[stage].fresh_tokens for stage in ASKING)
    if budget is not None and budget.max_tokens is not None and fresh and budget.tokens < budget.max_tokens:
        # Tokens of prompts count, too; they come at the same rate as those of completions.
        share = budget.tokens / max(sum(progress.funnel[stage].completion_tokens for stage in ASKING), 1)
        yield (budget.max_tokens - budget.tokens) * seconds / (fresh * share), done


def rows_line(progress: Progress, now: float) -> list[str]:
    """How many tasks have a row, of those that are wanted, how fast they come, what each takes, and how many are likely wrong."""
    wanted = progress.enough
    parts = [f"{progress.found:,} found" if wanted is None else f"{progress.with_rows:,} of {wanted:,} wanted"]
    begun, before = progress.first_request, progress.replayed[1]
    if begun is not None and progress.found > before and now - begun > 30:
        parts.append(f"{3600 * (progress.found - before) / (now - begun):,.0f} an hour")
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
    # A limit counts everything in the journals, also what another configuration paid for.
    spent = budget.cost if budget.is_limited else _cost(progress, budget)
    parts = []
    if spent:
        limit = f" of {_money(budget.max_cost)}" if budget.max_cost is not None else ""
        parts.append(f"{_money(spent)}{limit} spent")
        if progress.found:
            parts.append(f"{_money(spent / progress.found)} each row")
    if budget.max_tokens is not None:
        parts.append(f"{budget.tokens:,} of {budget.max_tokens:,} tokens")
    return parts


def _cost(progress: Progress, budget: Budget) -> float:
    return sum(cost(progress.funnel[stage].usage, budget.prices[stage]) for stage in ASKING)


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.3g}"


@dataclass
class Speeds:
    """Tokens a second of each server, over the last half minute."""

    _seen: deque[tuple[float, Counter[str]]] = field(default_factory=deque)

    def read(self, progress: Progress, now: float) -> dict[str, float]:
        """The speed of each server by its address; those that are set aside have none."""
        tokens: Counter[str] = Counter()
        working: set[str] = set()
        for server in (server for fleet in progress.fleets for server in fleet.servers):
            tokens[server.url] += server.tokens  # several fleets may use one server
            if not server.is_set_aside:
                working.add(server.url)
        self._seen.append((now, tokens))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _SPEED_WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        seconds = now - then
        if seconds < 1:
            return {}
        return {url: (count - before[url]) / seconds if url in working else 0.0 for url, count in tokens.items()}


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
    if progress.fleets:
        found, *others = rows_line(progress, moment)
        parts += [f"rows: {found}", *others]
        parts += cost_line(progress)
        parts.append(f"{progress.in_flight} in flight")
    parts += filter(None, (progress.trouble, time_to_go(progress, moment)))
    return " · ".join(parts)
