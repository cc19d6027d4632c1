"""Seeds from sources, in the order that a run uses them, with what was dropped on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from snipmill.config import SeedsTable
from snipmill.randomness import generator
from snipmill.records import Reject, Seed
from snipmill.seeds.sources import is_stdlib, mine
from snipmill.store.jsonl import read_records

STAGE = "seeds"


def iterate_seeds(table: SeedsTable, seed: int, on_reject: Callable[[Reject], None]) -> Iterator[Seed]:
    """The seeds of a configuration: mined or read, without repetitions, shuffled if wished, from `start` to `limit`.

    Args:
        table: sources and limits. Shuffling needs all seeds in memory; without it memory does not grow with the seeds'
            texts.
        seed: the run's seed, for shuffling.
        on_reject: called with each reject.

    Raises:
        UsageError: a source is not there.
    """
    unique = _unique(table, on_reject)
    if table.shuffle:
        unique = iter(sorted(unique, key=lambda record: (generator(seed, "shuffle", record.id).random(), record.id)))
    for number, record in enumerate(unique):
        if table.limit is not None and number >= table.start + table.limit:
            return
        if number >= table.start:
            yield record


def _unique(table: SeedsTable, on_reject: Callable[[Reject], None]) -> Iterator[Seed]:
    seen: set[str] = set()
    for source in table.sources:
        for record in _read(source, table.max_lines):
            if isinstance(record, Reject):
                on_reject(record)
            elif record.id in seen:
                detail = "The same code was already there under the same id."
                on_reject(Reject(id=record.id, stage=STAGE, reason="duplicate-seed", detail=detail))
            else:
                seen.add(record.id)
                yield record


def _read(source: str, max_lines: int) -> Iterator[Seed | Reject]:
    if is_stdlib(source) or (source != "-" and Path(source).suffix not in (".jsonl", ".json")):
        return mine(source, max_lines)
    return read_records(source, Seed, STAGE)
