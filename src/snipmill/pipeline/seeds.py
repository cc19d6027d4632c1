"""Seeds from sources, in the order that a run uses them, with what was dropped on the way."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from snipmill.config import SeedsTable
from snipmill.randomness import generator
from snipmill.records import Reject, Seed
from snipmill.seeds.sources import is_stdlib, mine
from snipmill.store.jsonl import decode_record, encode_line, read_records
from snipmill.store.places import Places

STAGE = "seeds"


def iterate_seeds(table: SeedsTable, seed: int, on_reject: Callable[[Reject], None]) -> Iterator[Seed]:
    """The seeds of a configuration: mined or read, without repetitions, shuffled if wished, from `start` to `limit`.

    Args:
        table: sources and limits. Memory does not grow with the seeds' texts: where they are shuffled, they wait in a
            temporary file.
        seed: the run's seed, for shuffling.
        on_reject: called with each reject.

    Raises:
        UsageError: a source is not there.
    """
    unique = _unique(table, on_reject)
    if table.shuffle:
        unique = _shuffled(unique, seed)
    for number, record in enumerate(unique):
        if table.limit is not None and number >= table.start + table.limit:
            return
        if number >= table.start:
            yield record


def _shuffled(seeds: Iterator[Seed], seed: int) -> Iterator[Seed]:
    offsets, draws = array("Q"), array("d")
    end = 0
    with tempfile.TemporaryFile() as spool:
        for record in seeds:
            line = encode_line(record)
            spool.write(line)
            offsets.append(end)
            draws.append(generator(seed, "shuffle", record.id).random())
            end += len(line)
        for index in sorted(range(len(draws)), key=draws.__getitem__):
            spool.seek(offsets[index])
            yield decode_record(spool.readline(), Seed)


def _unique(table: SeedsTable, on_reject: Callable[[Reject], None]) -> Iterator[Seed]:
    seen = Places()
    for source in table.sources:
        for record in _read(source, table.max_lines):
            if isinstance(record, Reject):
                on_reject(record)
            elif record.id in seen:
                detail = "The same code was already there under the same id."
                on_reject(Reject(id=record.id, stage=STAGE, reason="duplicate-seed", detail=detail))
            else:
                seen.put(record.id)
                yield record


def _read(source: str, max_lines: int) -> Iterator[Seed | Reject]:
    if is_stdlib(source) or (source != "-" and Path(source).suffix not in (".jsonl", ".json")):
        return mine(source, max_lines)
    return read_records(source, Seed, STAGE)
