"""Random draws that are seeded per record, so that order, concurrency and resumption do not affect them.

Covers: one generator per (run seed, purpose, keys) and one integer seed per request. Does not cover: any global state.
"""

from __future__ import annotations

import random

from snipmill.records import hash64


def _digest(seed: int, purpose: str, keys: tuple[str | int, ...]) -> int:
    return hash64(str(seed), purpose, *map(str, keys))


def generator(seed: int, purpose: str, *keys: str | int) -> random.Random:
    """A generator for one draw.

    Args:
        seed: the run's seed.
        purpose: what is drawn, for example ``"difficulty"``; different purposes are independent.
        keys: identify the draw, for example record id and sample index.
    """
    return random.Random(_digest(seed, purpose, keys))


def rank(seed: int, purpose: str, *keys: str | int) -> int:
    """A random number of 64 bits, for putting records into a random order."""
    return _digest(seed, purpose, keys)


def request_seed(seed: int, purpose: str, *keys: str | int) -> int:
    """A sampling seed for one request to a server: 0 <= seed < 2**31, which every server accepts."""
    return _digest(seed, purpose, keys) % (1 << 31)
