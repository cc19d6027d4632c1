"""What a shard has grown: the records and rejects of each stage, and a line for each seed that says what belongs to it.

The line is appended last, in the order of the shard's seeds. A killed process leaves at most records without a line, which are cut
off. A shard that goes on makes the same again from its journals; what is there already is not written twice. `gather` copies the
bytes of each seed to their place among all seeds, and selects by the keys and signatures in the lines, without reading the records.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from snipmill.config import Config
from snipmill.engine.flow import SeedOutcome
from snipmill.engine.sharding import Sharding
from snipmill.errors import StoreError
from snipmill.records import Reject, Row, hash_bytes
from snipmill.selection.sanitize import STAGE as SANITIZE
from snipmill.stages.select_rows import Reduced, reduce_rows
from snipmill.stages.spec import STAGES
from snipmill.stages.stage_models import is_used
from snipmill.store.jsonl import encode_line
from snipmill.store.run_directory import RunDirectory, rejects_path

SEEDS = STAGES[0].name
OnCut = Callable[[Path, int], None]
S = TypeVar("S", bound=msgspec.Struct)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: the shard, and a hash of all that decides what grows."""

    basis: str
    index: int
    count: int


class Counts(NamedTuple):
    """What came of a seed at one stage."""

    kept: int
    rejected: dict[str, int]


class Grown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one seed.

    Attributes:
        position: of the seed among all seeds of the run.
        id: of the seed.
        has_row: whether a row came of it that clears the bars of selection.
        sizes: bytes in each file, by its name (`file_names`).
        digest: a hash of these bytes, in the order of the names.
        counts: by stage.
        rescued, spared: as in the funnel.
        reduced: what selection needs of its rows.
    """

    position: int
    id: str
    has_row: bool = False
    sizes: dict[str, int] = {}
    digest: int = 0
    counts: dict[str, Counts] = {}
    rescued: int = 0
    spared: int = 0
    reduced: Reduced | None = None


def file_names(config: Config) -> list[str]:
    """The stages before selection, each with its rejects."""
    names = [stage.name for stage in STAGES[:-1] if is_used(config, stage.name)]
    return [*names, *map(rejects_name, names)]


def rejects_name(stage: str) -> str:
    """What the rejects of a stage are called in `sizes`."""
    return f"{stage}.rejects"


def digest_of(parts: Mapping[str, bytes]) -> int:
    """A hash of the bytes that belong to a seed, by the names of the files."""
    return hash_bytes(b"".join(parts[name] for name in sorted(parts)))


def path_of(directory: RunDirectory, name: str) -> Path:
    """The file behind a name of `file_names`."""
    stage, _, kind = name.partition(".")
    return rejects_path(directory.kept(stage)) if kind else directory.kept(stage)


def read_header(directory: RunDirectory) -> Header | None:
    """The header of a shard; None where nothing has been grown."""
    try:
        with directory.grown.open("rb") as lines:
            return msgspec.json.decode(lines.readline(), type=Header)
    except (OSError, msgspec.DecodeError):
        return None


def read_grown(directory: RunDirectory, kind: type[S], start: int = 0) -> Iterator[tuple[S, int]]:
    """The lines of a shard, each with the offset of its end, as far as they are whole.

    Args:
        directory: of the shard.
        kind: `Grown`, or a type with some of its fields.
        start: the offset to begin at; 0 for the first line.

    Raises:
        StoreError: a line in the middle is damaged.
    """
    decoder = msgspec.json.Decoder(kind)
    if not directory.grown.exists():
        return
    with directory.grown.open("rb") as lines:
        offset = start or len(lines.readline())
        lines.seek(offset)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            try:
                grown = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise StoreError(
                    f"{directory.grown} is damaged at byte {offset}: {error}. Delete the file, and run the shard again; "
                    "its journals are not touched, so nothing is paid twice."
                ) from error
            offset += len(line)
            yield grown, offset


class ShardFiles:
    """The files of a shard, opened to go on where they end; use as a context manager.

    Args:
        directory: of the shard.
        config: of the run.
        sharding: which shard it is.
        basis: a hash of all that decides what grows; files that were grown on another are begun anew.
        on_cut: told of each file that may be cut back, and to how many bytes, before anything is appended to it.
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: Config,
        sharding: Sharding,
        basis: str,
        on_cut: OnCut = lambda _path, _size: None,
    ) -> None:
        self._directory = directory
        self._config = config
        self._on_cut = on_cut
        self._header = Header(basis=basis, index=sharding.index, count=sharding.count)
        self._files: dict[str, int] = {}
        self._there: Iterator[tuple[Grown, int]] = iter(())
        self._next: tuple[Grown, int] | None = None
        self._grown = -1
        self._ends: dict[str, int] = {}
        self._end = 0
        self.count = 0  # seeds whose lines are in place

    def __enter__(self) -> ShardFiles:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            is_new = read_header(self._directory) != self._header
            self._grown = os.open(self._directory.grown, flags | (os.O_TRUNC if is_new else 0), 0o644)
            for name in file_names(self._config):
                self._files[name] = os.open(path_of(self._directory, name), flags, 0o644)
        except OSError as error:
            self.__exit__()
            raise StoreError(f"{self._directory.path} cannot be written: {error.strerror}.") from error
        self._ends = dict.fromkeys(self._files, 0)
        if is_new:
            self._on_cut(self._directory.grown, 0)
            self._append(self._grown, self._directory.grown, msgspec.json.encode(self._header) + b"\n")
        self._end = os.fstat(self._grown).st_size if is_new else len(_first_line(self._directory.grown))
        self._there = read_grown(self._directory, Grown)
        self._next = next(self._there, None)
        if self._next is None:
            self._cut()
        return self

    def __exit__(self, *error: Any) -> None:
        for descriptor in (*self._files.values(), self._grown):
            if descriptor >= 0:
                os.close(descriptor)
        self._files, self._grown = {}, -1

    def write(self, position: int, outcome: SeedOutcome, dropped: Sequence[Reject]) -> None:
        """Append everything that came of the shard's next seed, unless it is there already.

        Args:
            position: of the seed among all.
            outcome: begins with the seed.
            dropped: the rejects of mining that stand before the seed.

        Raises:
            StoreError: the disk is full, or a file cannot be written.
        """
        (seed,) = outcome.kept[SEEDS]
        parts = self._parts(outcome, dropped)
        if self._next is not None:
            there, end = self._next
            if (there.position, there.id) == (position, seed.id) and self._holds(there, parts):
                self._advance(there.sizes, end)
                self._next = next(self._there, None)
                if self._next is None:
                    self._cut()
                return
            self._next = None  # the sources have changed, or a seed that was left out is grown now
            self._cut()
        for name, part in parts.items():
            self._append(self._files[name], path_of(self._directory, name), part)
        sizes = {name: len(part) for name, part in parts.items()}
        line = encode_line(self._grown_line(position, seed.id, outcome, dropped, parts))
        self._append(self._grown, self._directory.grown, line)
        self._advance(sizes, self._end + len(line))

    def end(self, dropped: Sequence[Reject]) -> None:
        """After the last seed: cut off what does not belong to the shard any more, and append the last rejects of mining."""
        if self._next is not None:
            self._next = None
        self._cut()
        name = rejects_name(SEEDS)
        self._append(self._files[name], path_of(self._directory, name), b"".join(map(encode_line, dropped)))

    def _holds(self, there: Grown, parts: Mapping[str, bytes]) -> bool:
        """Whether the files have what was made again: a machine that lost its power may have kept the line alone."""
        if there.sizes.keys() != parts.keys() or there.digest != digest_of(parts):
            return False
        return all(os.pread(self._files[name], len(part), self._ends[name]) == part for name, part in parts.items())

    def _advance(self, sizes: Mapping[str, int], end: int) -> None:
        self._end = end
        self.count += 1
        for name, size in sizes.items():
            self._ends[name] += size

    def _cut(self) -> None:
        os.ftruncate(self._grown, self._end)
        self._on_cut(self._directory.grown, self._end)
        for name, descriptor in self._files.items():
            os.ftruncate(descriptor, self._ends[name])
            self._on_cut(path_of(self._directory, name), self._ends[name])

    def _parts(self, outcome: SeedOutcome, dropped: Sequence[Reject]) -> dict[str, bytes]:
        parts = {stage: b"".join(map(encode_line, records)) for stage, records in outcome.kept.items()}
        rejected = {**outcome.rejected, SEEDS: [*dropped, *outcome.rejected.get(SEEDS, ())]}
        parts |= {rejects_name(stage): b"".join(map(encode_line, records)) for stage, records in rejected.items()}
        return {name: part for name, part in parts.items() if part}

    def _grown_line(
        self, position: int, seed_id: str, outcome: SeedOutcome, dropped: Sequence[Reject], parts: Mapping[str, bytes]
    ) -> Grown:
        sizes, digest = {name: len(part) for name, part in parts.items()}, digest_of(parts)
        counts: dict[str, Counts] = {stage: Counts(len(records), {}) for stage, records in outcome.kept.items()}
        for stage, rejects in ((SEEDS, list(dropped)), *outcome.rejected.items()):
            count = counts.setdefault(stage, Counts(0, {}))
            for reject in rejects:
                count.rejected[reject.reason] = count.rejected.get(reject.reason, 0) + 1
        rows: list[Row] = outcome.kept.get(SANITIZE, [])
        spooled = [(row, b"") for row in rows]
        table, seed = self._config.select, self._config.run.seed
        return Grown(
            position=position,
            id=seed_id,
            has_row=outcome.has_row(table),
            sizes=sizes,
            digest=digest,
            counts=counts,
            rescued=outcome.rescued,
            spared=outcome.spared,
            reduced=reduce_rows(spooled, table, seed) if rows else None,
        )

    def _append(self, descriptor: int, path: Path, part: bytes) -> None:
        try:
            if part and os.write(descriptor, part) == len(part):
                return
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written: {error.strerror}. Everything paid for is in the journals; fix this and run again."
            ) from error
        if part:
            raise StoreError(
                f"{path} cannot be written: the disk is full. Free space and run again; nothing is paid twice."
            )


def _first_line(path: Path) -> bytes:
    with path.open("rb") as lines:
        return lines.readline()
