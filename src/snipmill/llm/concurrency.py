"""Tunes the number of requests in flight at a server: up while throughput rises, down when the server is overloaded.

A round lasts for as many answers as requests may be in flight. The limit doubles each round while throughput, in tokens
per second, exceeds that of the best round so far by a tenth. It then settles a quarter above the limit of that best
round, so that the server always has a request queued, and is probed upwards again from time to time. Overload (429,
503, or a quarter of a round hung) reduces the limit by a third, once per round. No clock and no IO: callers pass the
times.
"""

from __future__ import annotations

INITIAL_CONCURRENCY = 32
MAX_CONCURRENCY = 1024
_RISE = 1.1
_MARGIN = 1.25
_LOOK_AGAIN = 24  # steady rounds after which the limit is probed upwards again


class ConcurrencyLimit:
    """The maximum number of requests in flight at one server.

    Args:
        fixed: the user's fixed limit; None to tune it automatically.
        now: monotonic seconds.
    """

    def __init__(self, fixed: int | None, now: float) -> None:
        self.value = fixed or INITIAL_CONCURRENCY
        self._fixed = fixed is not None
        self._rising = True
        self._creeping = False
        self._best_rate = 0.0
        self._best = self.value
        self._rested = 0
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._started = now
        self._tokens = 0
        self._answers = 0
        self._full = False
        self._hung = 0
        self._lowered_in_round = False

    def progress(self, tokens: int) -> None:
        """Record that tokens have arrived."""
        self._tokens += tokens

    def full(self) -> None:
        """Record that a request had to wait. Throughput says something about the limit only in such a round."""
        self._full = True

    def answered(self, now: float) -> None:
        """Record that a request was answered."""
        self._answers += 1
        if self._fixed or self._answers < self.value:
            return
        rate = self._tokens / max(now - self._started, 1e-6)
        if self._full and not self._lowered_in_round:
            self._adjust(rate)
        self._begin(now)

    def _adjust(self, rate: float) -> None:
        if self._creeping:  # after overload, rise slowly: the server is near its capacity
            self.value = min(MAX_CONCURRENCY, self.value + max(1, self.value // 10))
            self._rested += 1
            self._creeping = self._rested < _LOOK_AGAIN
        elif self._rising and rate > _RISE * self._best_rate:
            self._best_rate, self._best = rate, self.value
            self.value = min(MAX_CONCURRENCY, 2 * self.value)
        elif self._rising:
            self._rising, self._rested = False, 0
            self.value = min(MAX_CONCURRENCY, int(self._best * _MARGIN) + 1)
        else:
            self._best_rate += 0.3 * (rate - self._best_rate)
            self._rested += 1
            if self._rested >= _LOOK_AGAIN:
                self._rising = True
                self.value = min(MAX_CONCURRENCY, 2 * self._best)

    def hung(self, in_flight: int) -> None:
        """Record that a hung request was abandoned. A few may be accidents; many mean that the server is too slow."""
        self._hung += 1
        if self._hung > max(4, (self._answers + self._hung) // 4):
            self.overloaded(in_flight)

    def overloaded(self, in_flight: int) -> None:
        """Record that the server is overloaded."""
        if self._fixed or self._lowered_in_round:
            return
        self.value = max(1, min(self.value, in_flight) * 2 // 3)
        self._lowered_in_round = True
        self._rising, self._creeping, self._rested = False, True, 0
        self._best, self._answers = self.value, 0
