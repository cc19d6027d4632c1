"""Detects texts that have begun to repeat themselves, as weak models do until they run out of tokens."""

from __future__ import annotations

SHORTEST, LONGEST, REPEATS = 12, 240, 4


def ends_in_loop(text: str, repeats: int = REPEATS) -> bool:
    """Whether a text ends with the same piece of 12 to 240 characters, several times in a row.

    Pieces of white space and rules (`-----`) do not count.
    """
    tail = text[-LONGEST * repeats :]
    for length in range(SHORTEST, min(LONGEST, len(tail) // repeats) + 1):
        piece = tail[-length:]
        if tail.endswith(piece * repeats) and len(set(piece)) > 3:
            return True
    return False
