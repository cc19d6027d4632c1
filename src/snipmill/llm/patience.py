"""How long to wait: for a byte from a server, by what it has needed so far, and before a request is made again."""

from __future__ import annotations

import random
from collections import deque

_SEEN = 256
_ENOUGH = 16
_FACTOR = 5.0
_STRETCH = 4.0


class Patience:
    """The time without a byte after which a request counts as hung.

    Five times the longest wait among the last 256, up to four times that after hangs with no answer between them; never
    less than `least` nor more than `most` seconds, and `most` until there are 16 answers to judge by.
    """

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._waits: deque[float] = deque(maxlen=_SEEN)
        self._longest = 0.0
        self._stretch = 1.0

    def waited(self, seconds: float) -> None:
        """An answer came, and this was its longest wait for a byte."""
        if len(self._waits) == _SEEN and self._waits[0] >= self._longest:
            self._waits.popleft()
            self._longest = max(self._waits)
        self._waits.append(seconds)
        self._longest = max(self._longest, seconds)
        self._stretch = 1.0

    def hung(self) -> None:
        """A request was given up."""
        self._stretch = min(2 * self._stretch, _STRETCH)

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        if len(self._waits) < _ENOUGH:
            return self._most
        return min(self._most, max(self._least, _FACTOR * self._longest) * self._stretch)


def backoff(attempt: int) -> float:
    """Seconds before try number `attempt` (from 1): exponential up to 4, with full jitter. Not a draw of any record.

    It need not be long: a server that only fails is set aside as a whole.
    """
    return random.uniform(0.1, 1.0) * min(0.1 * 2.0 ** min(attempt - 1, 6), 4.0)
