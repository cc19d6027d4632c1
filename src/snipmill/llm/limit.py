"""How many requests a server is worth: found by itself, rising while throughput rises, falling when it is overloaded.

A round is as many answers as requests may be in flight. The limit doubles from round to round while a round brings a
tenth more tokens per second than the best before it; then it rests a quarter above that best, so that the server always
has a next request at hand, and looks upwards again from time to time. Overload (429, 503, or a quarter of a round hung)
takes a third away, once per round. No clock of its own and no IO: times are given.
"""

from __future__ import annotations

START = 32
MOST = 1024
_RISE = 1.1
_MARGIN = 1.25
_LOOK_AGAIN = 24  # rounds of rest after which the limit looks upwards again


class Limit:
    """The number of requests in flight at one server.

    Args:
        fixed: the number, where a person has chosen one.
        now: monotonic seconds.
    """

    def __init__(self, fixed: int | None, now: float) -> None:
        self.value = fixed or START
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
        """Tokens have arrived."""
        self._tokens += tokens

    def full(self) -> None:
        """A request had to wait for a place: only then does throughput say something about the limit."""
        self._full = True

    def answered(self, now: float) -> None:
        """A request has its answer."""
        self._answers += 1
        if self._fixed or self._answers < self.value:
            return
        rate = self._tokens / max(now - self._started, 1e-6)
        if self._full and not self._lowered_in_round:
            self._judge(rate)
        self._begin(now)

    def _judge(self, rate: float) -> None:
        if self._creeping:  # after overload: slowly, since the edge is near
            self.value = min(MOST, self.value + max(1, self.value // 10))
            self._rested += 1
            self._creeping = self._rested < _LOOK_AGAIN
        elif self._rising and rate > _RISE * self._best_rate:
            self._best_rate, self._best = rate, self.value
            self.value = min(MOST, 2 * self.value)
        elif self._rising:
            self._rising, self._rested = False, 0
            self.value = min(MOST, int(self._best * _MARGIN) + 1)
        else:
            self._best_rate += 0.3 * (rate - self._best_rate)
            self._rested += 1
            if self._rested >= _LOOK_AGAIN:
                self._rising = True
                self.value = min(MOST, 2 * self._best)

    def hung(self, in_flight: int) -> None:
        """A request was given up. One may be an accident; many say that the server cannot keep up."""
        self._hung += 1
        if self._hung > max(4, (self._answers + self._hung) // 4):
            self.overloaded(in_flight)

    def overloaded(self, in_flight: int) -> None:
        """The server said that it has too much to do."""
        if self._fixed or self._lowered_in_round:
            return
        self.value = max(1, min(self.value, in_flight) * 2 // 3)
        self._lowered_in_round = True
        self._rising, self._creeping, self._rested = False, True, 0
        self._best, self._answers = self.value, 0
