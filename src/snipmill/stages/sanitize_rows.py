"""Sanitising many rows on all cores: rows go in, encoded rows and rejects come out, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from snipmill.config import SelectTable
from snipmill.parallel.chunks import map_chunks
from snipmill.records import Reject, Row
from snipmill.select.sanitize import sanitize
from snipmill.select.styles import Look, resolve_look
from snipmill.store.jsonl import decode_record, encode_line


class Sanitized(NamedTuple):
    """A row or a reject as a JSON line, and the reject's reason."""

    line: bytes
    reason: str | None


def sanitize_rows(rows: Iterable[Row], table: SelectTable, seed: int) -> Iterator[Sanitized]:
    """Each row in the configured style, or why it has none.

    Args:
        rows: read as results are taken.
        table: style and switches.
        seed: the run's seed, for the draws of `smart`.
    """
    work = partial(_sanitize_all, look=resolve_look(table.style, table.look), seed=seed)
    for chunk in map_chunks(work, rows, pack=encode_line, unpack=partial(decode_record, kind=Row)):
        yield from chunk


def _sanitize_all(rows: list[Row], look: Look, seed: int) -> list[Sanitized]:
    results: list[Sanitized] = []
    for row in rows:
        outcome = sanitize(row, look, seed)
        results.append(Sanitized(encode_line(outcome), outcome.reason if isinstance(outcome, Reject) else None))
    return results
