"""Waiting times: the adaptive timeout for a silent server, and the delay before a retry."""

from __future__ import annotations

import random
from collections import deque

_SEEN = 256
_ENOUGH = 16
_FACTOR = 5.0
_STRETCH = 4.0


class HangTimeout:
    """The time without a byte after which a request counts as hung.

    It is five times the longest wait of the last 256 answers. Each hang doubles it, up to fourfold, until the
    next answer. It is at least `least` and at most `most` seconds, and it is `most` until there have been 16 answers.
    """

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._waits: deque[float] = deque(maxlen=_SEEN)
        self._longest = 0.0
        self._stretch = 1.0

    def waited(self, seconds: float) -> None:
        """Record an answer and its longest wait for a byte, in seconds."""
        if len(self._waits) == _SEEN and self._waits[0] >= self._longest:
            self._waits.popleft()
            self._longest = max(self._waits)
        self._waits.append(seconds)
        self._longest = max(self._longest, seconds)
        self._stretch = 1.0

    def hung(self) -> None:
        """Record that a hung request was abandoned."""
        self._stretch = min(2 * self._stretch, _STRETCH)

    @property
    def seconds(self) -> float:
        """The current timeout in seconds."""
        if len(self._waits) < _ENOUGH:
            return self._most
        return min(self._most, max(self._least, _FACTOR * self._longest) * self._stretch)


def backoff(attempt: int) -> float:
    """Seconds to wait before try number `attempt` (from 1): exponential up to 4, with full jitter.

    The jitter is not drawn from any record's random numbers. The wait can be short, because a server that keeps failing
    is set aside as a whole.
    """
    return random.uniform(0.1, 1.0) * min(0.1 * 2.0 ** min(attempt - 1, 6), 4.0)
