"""Sanitising many rows on all cores: rows go in, encoded rows and rejects come out, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec

from snipmill.config import SelectTable
from snipmill.pipeline.cores import map_chunks
from snipmill.records import Reject, Row
from snipmill.select.sanitize import sanitize
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
    encoder = msgspec.json.Encoder()
    lines = (encode_line(encoder, row) for row in rows)
    for chunk in map_chunks(partial(_sanitize_lines, table=table, seed=seed), lines):
        yield from chunk


def _sanitize_lines(lines: list[bytes], table: SelectTable, seed: int) -> list[Sanitized]:
    switches: dict[str, Any] = msgspec.to_builtins(table.look)
    encoder = msgspec.json.Encoder()
    results: list[Sanitized] = []
    for line in lines:
        outcome = sanitize(decode_record(line, Row), table.style, seed, switches)
        results.append(
            Sanitized(encode_line(encoder, outcome), outcome.reason if isinstance(outcome, Reject) else None)
        )
    return results
