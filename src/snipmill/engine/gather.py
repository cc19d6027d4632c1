"""Joins the shards of a run: what they have grown, in the order of the seeds, then selection over all of it.

Any mix of finished and unfinished shards can be joined, also of several dealings; what is missing is told. The bytes of records
are copied as they are, and selection decides by the keys and signatures that the shards worked out: memory is that of selection.
"""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from snipmill.config import Config
from snipmill.config_file import load_config, render_config
from snipmill.engine.account import account
from snipmill.engine.enough import SeedState
from snipmill.engine.gathered_files import JoinedFiles, ShardReader
from snipmill.engine.local import refuse_interrupted_forget
from snipmill.engine.run_files import finish_with
from snipmill.engine.runners import join_shards, open_journals
from snipmill.engine.shard_files import SEEDS, Grown, Header, digest_of, path_of, read_grown, read_header, rejects_name
from snipmill.engine.shard_state import GATHERED, read_state, updated_at
from snipmill.engine.sharding import Sharding
from snipmill.errors import StoreError, UsageError
from snipmill.records import Reject, Row
from snipmill.selection.sanitize import STAGE as SANITIZE
from snipmill.stages.budget import prices_by_stage
from snipmill.stages.calibration_file import calibration_of
from snipmill.stages.funnel import Funnel
from snipmill.stages.select_rows import select_reduced
from snipmill.stages.spec import RESPONSES, VERIFY
from snipmill.store.jsonl import decode_record
from snipmill.store.run_directory import CALIBRATION, CONFIG, RunDirectory
from snipmill.verification.expected_wrong import ExpectedWrong

_ADDED = ("requests", "retries", "empty_answers", "tokens_per_second", "rows_per_hour")  # figures of sessions
_NOT_OF_A_RUN = (
    "status",
    "command",
    "grown",
    "seeds",
    "process",
    "stopped",
    "updated",
    "progress",
    "shard",
    "seconds",
    "funnel",
)


@dataclass(frozen=True)
class Shard:
    """A shard that belongs to what is joined."""

    directory: RunDirectory
    header: Header
    manifest: dict[str, Any]

    @property
    def sharding(self) -> Sharding:
        """Which one it is."""
        return Sharding(self.header.index, self.header.count)

    @property
    def is_done(self) -> bool:
        """Whether all its seeds are grown."""
        return self.manifest.get("status") == "done"

    @property
    def seeds(self) -> int | None:
        """The number of all seeds of the run, as the shard has seen them; None where it has not seen all."""
        return self.manifest.get("seeds") if self.is_done else None


@dataclass
class Gathered:
    """What was joined.

    Attributes:
        directory: of the run.
        funnel: counts by stage.
        missing: sentences about what is not there yet.
        shards: how many were joined.
        wrong: how many rows are expected to be wrong.
        shown: what people call the directory.
    """

    directory: RunDirectory
    funnel: Funnel = field(default_factory=Funnel)
    missing: list[str] = field(default_factory=list)
    shards: int = 0
    wrong: ExpectedWrong | None = None
    shown: str = ""

    @property
    def rows(self) -> int:
        """Rows of the data set."""
        return self.funnel["select"].kept


def gather(
    directory: RunDirectory, tell: Callable[[str], None] = lambda _text: None, name: str | None = None
) -> Gathered:
    """Join the shards of a run, and select.

    Args:
        directory: of the run.
        tell: is told what is being done.
        name: what the configuration calls the directory; None for its path.

    Raises:
        UsageError: there are no shards, or shards contradict each other.
        StoreError: another process works on the run, or a file is damaged.
    """
    shards, others = _of_one_basis(directory)
    dealing = [shard for shard in shards if shard.header.count == shards[0].header.count]
    if _is_complete(dealing):
        shards = dealing  # what an earlier dealing has left may be of other sources
    refuse_interrupted_forget(directory)
    config = _config_of(shards, name or str(directory.path))
    found = Gathered(directory, shards=len(shards), shown=str(directory.path))
    with open_journals(directory) as journals:
        directory.remove_leftovers()
        tell("joining the journals")
        join_shards(directory, journals)
        directory.write_text(CONFIG, render_config(config))
        directory.write_text(CALIBRATION, _calibration_of(shards[0].directory))
        tell("joining what was grown")
        with JoinedFiles(directory, config) as joined:
            _join_grown(shards, dealing, config, joined, found.funnel)
            found.missing = _what_is_missing(dealing, others, joined)
        tell(f"selecting among {joined.rows:,} rows")
        calibration = calibration_of(directory, config)
        reduced = joined.reduced()
        with contextlib.closing(reduced):

            def select(drop: Callable[[Reject], None]) -> Iterator[Row]:
                path = directory.kept(SANITIZE)
                for line in select_reduced(path, joined.offsets, reduced, config.select, drop):
                    yield decode_record(line, Row)

            found.wrong = finish_with(select, config, directory, found.funnel, calibration)
        _count_what_was_spent(dealing, found.funnel)
        directory.write_manifest(_manifest(dealing, config, found))
    return found


def _of_one_basis(directory: RunDirectory) -> tuple[list[Shard], list[Shard]]:
    """The shards that have grown from the same as the newest one, which comes first, and those that have not."""
    found: list[Shard] = []
    for shard in directory.shards().values():
        header = read_header(shard)
        if header is not None and shard.has_run:
            found.append(Shard(shard, header, shard.read_manifest()))
    if not found:
        raise UsageError(
            f"{directory.path} has no shards that have grown anything. `snipmill run CONFIG.toml --shard 0/4` grows the first "
            "of four."
        )
    newest = max(found, key=lambda shard: updated_at(shard.manifest))
    found.sort(key=lambda shard: shard is not newest)  # stable: by number behind the newest
    same = [shard for shard in found if shard.header.basis == newest.header.basis]
    return same, [shard for shard in found if shard not in same]


def _is_complete(dealing: list[Shard]) -> bool:
    """Whether all shards of a dealing are done, and have seen the same seeds."""
    seen = {shard.seeds for shard in dealing if shard.seeds is not None}
    return len(dealing) == dealing[0].header.count and all(shard.is_done for shard in dealing) and len(seen) <= 1


def _calibration_of(shard: RunDirectory) -> str:
    try:
        return (shard.path / CALIBRATION).read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{shard.path / CALIBRATION} cannot be read: {error.strerror}. Run the shard again."
        ) from error


def _config_of(shards: list[Shard], name: str) -> Config:
    config = load_config(shards[0].directory.path / CONFIG)
    return msgspec.structs.replace(config, run=msgspec.structs.replace(config.run, dir=name))


class _Grown(NamedTuple):
    """A line of a shard, with where the seed's bytes begin in each of its files."""

    position: int
    grown: Grown
    shard: int
    begins: dict[str, int]


def _lines(shard: Shard, number: int) -> Iterator[_Grown]:
    begins: dict[str, int] = {}
    for grown, _ in read_grown(shard.directory, Grown):
        yield _Grown(grown.position, grown, number, dict(begins))
        for name, size in grown.sizes.items():
            begins[name] = begins.get(name, 0) + size


def _join_grown(shards: list[Shard], dealing: list[Shard], config: Config, joined: JoinedFiles, funnel: Funnel) -> None:
    """Copy what came of each seed, in the order of the seeds, until there are enough."""
    enough, most = config.generate.enough, shards[0].seeds
    with contextlib.closing(ShardReader()) as files:
        streams = (_lines(shard, number) for number, shard in enumerate(shards))
        for position, same in groupby(
            heapq.merge(*streams, key=attrgetter("position", "shard")), attrgetter("position")
        ):
            one, *others = same
            for other in others:
                if other.grown.id != one.grown.id:
                    raise UsageError(
                        f"Shards {shards[one.shard].sharding} and {shards[other.shard].sharding} have different seeds in place "
                        f"{position:,}: the sources have changed in between. Run the older one again."
                    )
            if most is not None and position >= most:  # of a time when the sources had more
                break
            parts = _parts_of(one, shards[one.shard].directory, files)
            if parts is None:
                joined.damaged.append(str(shards[one.shard].sharding))
                continue
            for name, part in parts.items():
                joined.write(name, part)
            if one.grown.reduced is not None:
                joined.keep(one.grown.reduced)
            _count(one.grown, funnel)
            joined.gaps += position - joined.last - 1
            joined.last = position
            joined.with_rows += one.grown.has_row
            if enough is not None and joined.with_rows >= enough:
                joined.enough = True
                return
        _append_last_rejects(dealing, files, joined, funnel)


def _parts_of(one: _Grown, directory: RunDirectory, files: ShardReader) -> dict[str, bytes] | None:
    """What belongs to a seed; None where that is not what its shard has written."""
    try:
        parts = {
            name: files.read(path_of(directory, name), one.begins.get(name, 0), size)
            for name, size in one.grown.sizes.items()
        }
    except StoreError:
        return None
    return parts if digest_of(parts) == one.grown.digest else None


def _append_last_rejects(shards: list[Shard], files: ShardReader, joined: JoinedFiles, funnel: Funnel) -> None:
    """The rejects of mining behind the last seed: the first shard has them behind its own."""
    name = rejects_name(SEEDS)
    for shard in shards:
        path = path_of(shard.directory, name)
        if shard.header.index == 0 and shard.is_done and path.exists():
            begin = sum(grown.sizes.get(name, 0) for grown, _ in read_grown(shard.directory, Grown))
            part = files.read(path, begin, path.stat().st_size - begin)
            joined.write(name, part)
            for line in part.splitlines():
                funnel[SEEDS].count(decode_record(line, Reject).reason)
            return


def _count(grown: Grown, funnel: Funnel) -> None:
    for stage, counts in grown.counts.items():
        funnel[stage].kept += counts.kept
        funnel[stage].rejected.update(counts.rejected)
    funnel[VERIFY].rescued += grown.rescued
    funnel[RESPONSES].spared += grown.spared


def _what_is_missing(dealing: list[Shard], others: list[Shard], joined: JoinedFiles) -> list[str]:
    """Sentences about what is not there yet, or not any more."""
    newest, total = dealing[0].sharding, dealing[0].seeds
    found: list[str] = []
    if joined.damaged:
        found.append(
            f"Damaged are {len(joined.damaged):,} seeds of shard {', '.join(sorted(set(joined.damaged)))}. Run it again."
        )
    if not joined.gaps and (joined.enough or (_is_complete(dealing) and joined.last + 1 == total)):
        return found
    by_index = {shard.header.index: shard for shard in dealing}
    changed = [index for index in (shard.header.index for shard in others) if index < newest.count]
    absent = [index for index in range(newest.count) if index not in by_index and index not in changed]
    if absent:
        found.append(f"Not begun among {newest.count}: shard {_ranges(absent)}.")
    if changed:
        found.append(
            f"Grown with another configuration, model or sandbox than shard {newest}: shard {_ranges(sorted(changed))}. Run "
            "it again."
        )
    for shard in sorted(by_index.values(), key=lambda one: one.header.index):
        state = read_state(shard.manifest)
        known = f" of {state.seeds:,}" if state.seeds is not None else ""
        lines = sum(1 for _ in read_grown(shard.directory, SeedState))
        if not shard.is_done:
            found.append(f"Shard {shard.sharding} is not done: {state.seeds_done:,}{known} seeds are grown.")
        elif shard.seeds is not None and total is not None and shard.seeds != total:
            found.append(
                f"Shard {shard.sharding} saw {shard.seeds:,} seeds, and shard {newest} saw {total:,}: the sources have changed in "
                "between. Run it again."
            )
        elif lines < int(shard.manifest.get("grown", lines)):
            found.append(
                f"Shard {shard.sharding} has lost {shard.manifest['grown'] - lines:,} of its seeds. Run it again."
            )
    return found or [f"{joined.gaps:,} seeds before the last one are missing. Run the shards again."]


def _ranges(numbers: list[int]) -> str:
    """Numbers as a person writes them: 0-3, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _count_what_was_spent(shards: list[Shard], funnel: Funnel) -> None:
    """Add up what the shards have spent: requests, tokens, seconds."""
    for shard in shards:
        recorded = shard.manifest.get("funnel")
        for stage, counts in (recorded if isinstance(recorded, dict) else {}).items():
            if stage in funnel.stages:
                funnel[stage].add_spent(counts)


def _manifest(shards: list[Shard], config: Config, found: Gathered) -> dict[str, Any]:
    first = {name: value for name, value in shards[0].manifest.items() if name not in _NOT_OF_A_RUN}
    seconds = max((float(shard.manifest.get("seconds", 0)) for shard in shards), default=0.0)
    accounts = [one for shard in shards if isinstance(one := shard.manifest.get("accounting"), dict)]
    total = {name: sum(one.get(name, 0) for one in accounts) for name in _ADDED}
    manifest = {
        **first,
        "status": "done",
        "seconds": seconds,
        "accounting": {**account(found.funnel, [], seconds, prices_by_stage(config)), **total},
        "expected_wrong": None if found.wrong is None else asdict(found.wrong),
        GATHERED: {"shards": found.shards, "when": time.time(), "missing": found.missing},
        "funnel": found.funnel.to_json(),
    }
    if found.missing:
        manifest["stopped"] = " ".join(found.missing)
    return manifest
