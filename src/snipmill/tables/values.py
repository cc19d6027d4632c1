"""What reading a file of rows gives: rows, rows that cannot be read, and where a file breaks off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read, and why, as the end of a sentence that begins with its place."""

    problem: str


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The rest of a file cannot be read: it is truncated or damaged."""

    problem: str


# A row is the bytes of a JSON value, or an object where the format is another one.
Value = bytes | Row | Unreadable | BrokenOff


def decode_row(value: Value) -> Row | Unreadable | BrokenOff:
    """A row as an object. JSON is read as other writers produce it: with NaN and lone surrogates."""
    if not isinstance(value, bytes):
        return value
    try:
        row = json.loads(value)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"is not valid JSON: {error}.")
    if isinstance(row, dict):
        return row
    return Unreadable(f"contains {'null' if row is None else type(row).__name__}, not an object.")
