"""Selection over files of any size: rows are spooled to a temporary file, keys decide, chosen rows are read back.

Resident memory is about half a kilobyte for each row, near-duplicate search included; the rows themselves stay on disk.
What is worked out for each row alone is worked out on all cores, or was worked out when the row was made (`select_reduced`).
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from snipmill.config import SelectTable
from snipmill.parallel.chunks import CHUNK_IN_CACHE, map_chunks
from snipmill.reasons import Reason
from snipmill.records import Reject, Row, Verification
from snipmill.selection.choose import RARE, STAGE, ComparesTasksOnly, Finder, Key, Keys, choose, key_of, reject_for
from snipmill.similarity.minhash import PERMUTATIONS, Signatures, near_duplicates, signatures
from snipmill.similarity.semantic import embed, semantic_duplicates
from snipmill.stages.benchmark_files import decontaminator, forget_benchmarks
from snipmill.stages.embedder import load_embedder
from snipmill.store.jsonl import decode_record, encode_line
from snipmill.text.fences import find_fences

_BUFFER = 1 << 20
OnReject = Callable[[Reject], None]


def select_rows(rows: Iterable[Row], table: SelectTable, seed: int, on_reject: OnReject) -> Iterator[Row]:
    """As `select_lines`, with rows as records."""
    for line in select_lines(rows, table, seed, on_reject):
        yield decode_record(line, Row)


def select_lines(rows: Iterable[Row], table: SelectTable, seed: int, on_reject: OnReject) -> Iterator[bytes]:
    """The rows that stay as JSON lines, in the seeded order of the data set; the others go to `on_reject`.

    Args:
        rows: candidates, read once.
        table: which duplicates are dropped, and what rows are held against.
        seed: the run's seed.
        on_reject: called with each reject.

    Raises:
        UsageError: a benchmark cannot be read.
    """
    if table.benchmarks:
        forget_benchmarks()
    decontaminator(table.decontaminate, table.benchmarks)  # a benchmark that cannot be read is told before the work
    with _Pool(table) as pool:
        work = partial(reduce_rows, table=table, seed=seed)
        spooled = pool.spooled(rows)
        for reduced in map_chunks(work, spooled, size_here=CHUNK_IN_CACHE, pack=itemgetter(1), unpack=_read_back):
            pool.take(reduced, on_reject)
        yield from _chosen(pool, table, on_reject)


def select_reduced(
    rows: Path, offsets: array[int], reduced: Iterable[Reduced], table: SelectTable, on_reject: OnReject
) -> Iterator[bytes]:
    """As `select_lines`, of rows that were reduced before.

    Args:
        rows: the file with their lines.
        offsets: where each line begins, and where the last one ends.
        reduced: what decides about them, in the order of the lines, by the same table and seed.
        table, on_reject: as for `select_lines`.
    """
    with rows.open("rb") as file, _Pool(table, file, offsets) as pool:
        for some in reduced:
            pool.take(some, on_reject)
        yield from _chosen(pool, table, on_reject)


def _chosen(pool: _Pool, table: SelectTable, on_reject: OnReject) -> Iterator[bytes]:
    """Decide, and read the lines of the rows that stay."""
    choice = choose(
        pool.keys,
        keep=table.keep,
        excluded=frozenset(pool.refused),
        finders=pool.finders(),
        max_easy=table.max_easy,
        max_wrong=table.max_wrong,
    )
    for index, (reason, other) in choice.dropped.items():
        on_reject(reject_for(pool.keys, index, reason, other))
    for index in choice.kept:
        yield pool.line(index)


def _read_back(line: bytes) -> tuple[Row, bytes]:
    return decode_record(line, Row), line


class Reduced(NamedTuple):
    """What selection needs of some rows: keys, two kinds of signatures, and which are refused, why, by place."""

    keys: list[Key]
    instructions: bytes
    codes: bytes
    refused: dict[int, tuple[str, str]]


def reduce_rows(spooled: list[tuple[Row, bytes]], table: SelectTable, seed: int) -> Reduced:
    """Reduce rows, given with their lines, to what decides about them."""
    rows = [row for row, _ in spooled]
    blocks = [_codes(row) for row in rows] if table.near_code or table.decontaminate or table.benchmarks else []
    refused: dict[int, tuple[str, str]] = {}
    looker = decontaminator(table.decontaminate, table.benchmarks)
    for place, row in enumerate(rows):
        weak = weakness(row, table)
        match = looker.find([row.instruction, row.response], blocks[place]) if looker else None
        if match is not None:
            refused[place] = (Reason.CONTAMINATED, f"{match.item}, {match.kind}: {match.text}")
        elif weak is not None:
            refused[place] = weak
    return Reduced(
        keys=[key_of(row, seed, table.name_diversity) for row in rows],
        instructions=signatures([row.instruction for row in rows]).tobytes() if table.near_instructions else b"",
        codes=signatures(["\n".join(codes) for codes in blocks]).tobytes() if table.near_code else b"",
        refused=refused,
    )


def _codes(row: Row) -> list[str]:
    """What of a response is code: its blocks, or all of it where it has none, as in the style `codeonly`."""
    return [fence.code for fence in find_fences(row.response) if fence.is_in(row.language)] or [row.response]


def weakness(row: Row, table: SelectTable) -> tuple[str, str] | None:
    """Why a row's evidence is below the bar: a reason code and a sentence. A row without any has the least."""
    if row.is_unverified and not table.unverified:
        return Reason.UNVERIFIED, f"{row.language} was not executed; --unverified keeps such rows."
    found = row.verification or Verification(samples=1, passed=1)
    mutation = found.mutation if found.mutation is not None else 0.0
    if table.min_mutation and mutation < table.min_mutation:
        return Reason.WEAK_TESTS, f"Mutation score {mutation:.2f} is below {table.min_mutation}."
    reached = (row.verdict.reached if row.verdict is not None else None) or 0.0
    if table.min_reached and reached < table.min_reached:
        return Reason.WEAK_TESTS, f"{reached:.2f} of the checks came to a result, {table.min_reached} are asked for."
    if found.group < table.min_agreement:
        return Reason.LITTLE_AGREEMENT, f"{found.group} implementations agree, {table.min_agreement} are asked for."
    if found.ease < RARE and found.confidence < table.min_rare_confidence:
        detail = f"{found.passed} of {found.samples} samples passed: confidence {found.confidence:.2f} is below"
        return Reason.LOW_CONFIDENCE, f"{detail} {table.min_rare_confidence}."
    if found.confidence < table.min_confidence:
        return Reason.LOW_CONFIDENCE, f"Confidence {found.confidence:.2f} is below {table.min_confidence}."
    return None


def _temporary() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=_BUFFER)


class _Instruction(msgspec.Struct):
    instruction: str


class _Pool:
    """The candidates: lines and signatures in files, keys in memory. Use as a context manager.

    Args:
        table: how they are selected.
        rows: a file that has the lines already; None for a temporary one.
        offsets: where its lines begin, and where the last one ends.
    """

    def __init__(self, table: SelectTable, rows: IO[bytes] | None = None, offsets: array[int] | None = None) -> None:
        self.keys = Keys()
        self.refused: set[int] = set()
        self._table = table
        self._offsets = array("Q") if offsets is None else offsets
        self._rows = _temporary() if rows is None else rows
        self._instructions, self._codes = _temporary(), _temporary()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for file in (self._rows, self._instructions, self._codes):
            file.close()

    def spooled(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
        """Write rows down, and pass them on with their lines."""
        end = 0
        for row in rows:
            line = encode_line(row)
            self._rows.write(line)
            self._offsets.append(end)
            end += len(line)
            yield row, line
        self._offsets.append(end)
        self._rows.flush()

    def take(self, reduced: Reduced, on_reject: OnReject) -> None:
        """Take in what decides about the next rows."""
        first = len(self.keys)
        for key in reduced.keys:
            self.keys.add(key)
        self._instructions.write(reduced.instructions)
        self._codes.write(reduced.codes)
        for place, (reason, detail) in reduced.refused.items():
            self.refused.add(first + place)
            on_reject(Reject(id=reduced.keys[place].id, stage=STAGE, reason=reason, detail=detail))

    def finders(self) -> Iterator[tuple[str, ComparesTasksOnly, Finder]]:
        """What finds rows that are too alike; each holds its signatures only while it works."""
        for file, threshold, of_tasks in (
            (self._instructions, self._table.near_instructions, True),
            (self._codes, self._table.near_code, False),
        ):
            if threshold > 0:
                yield Reason.NEAR_DUPLICATE, of_tasks, partial(_find_near, file, threshold)
        if self._table.semantic > 0:
            yield Reason.SEMANTIC_DUPLICATE, True, self._find_semantic

    def _find_semantic(self, order: NDArray[np.int64]) -> dict[int, int]:
        decoder = msgspec.json.Decoder(_Instruction)
        instructions = (decoder.decode(self.line(index)).instruction for index in range(len(self.keys)))
        vectors = embed(load_embedder(self._table.embedding_model), instructions)
        return semantic_duplicates(vectors, order, self._table.semantic)

    def line(self, index: int) -> bytes:
        """A row as it came in."""
        start, end = self._offsets[index], self._offsets[index + 1]
        return os.pread(self._rows.fileno(), end - start, start)


def _find_near(file: IO[bytes], threshold: float, order: NDArray[np.int64]) -> dict[int, int]:
    file.seek(0)
    signs: Signatures = np.fromfile(file, dtype=np.uint32).reshape(-1, PERMUTATIONS)
    return near_duplicates(signs, order, threshold)
