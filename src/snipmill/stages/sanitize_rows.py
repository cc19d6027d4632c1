"""Sanitising many rows on all cores: rows go in, rows as JSON lines and rejects come out, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from snipmill.config import SelectTable
from snipmill.parallel.chunks import CHUNK_IN_CACHE, map_chunks
from snipmill.records import Reject, Row
from snipmill.selection.sanitize import sanitize
from snipmill.selection.styles import Look, resolve_look
from snipmill.store.jsonl import decode_record, encode_line


def sanitize_rows(rows: Iterable[Row], table: SelectTable, seed: int) -> Iterator[bytes | Reject]:
    """Each row in the configured style, or why it has none.

    Args:
        rows: read as results are taken.
        table: style and switches.
        seed: the run's seed, for the draws of `smart`.
    """
    work = partial(_sanitize_all, look=resolve_look(table.style, table.look), seed=seed)
    unpack = partial(decode_record, kind=Row)
    for chunk in map_chunks(work, rows, size_here=CHUNK_IN_CACHE, pack=encode_line, unpack=unpack):
        yield from chunk


def _sanitize_all(rows: list[Row], look: Look, seed: int) -> list[bytes | Reject]:
    outcomes = (sanitize(row, look, seed) for row in rows)
    return [outcome if isinstance(outcome, Reject) else encode_line(outcome) for outcome in outcomes]
