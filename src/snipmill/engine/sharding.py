"""Shards: a run's seeds, dealt by a hash of their ids, so that who deals among more or fewer finds what was paid for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from snipmill.errors import UsageError
from snipmill.records import hash64
from snipmill.store.run_directory import RunDirectory

_COUNTS = "counts.json"
_MOST = 100_000


@dataclass(frozen=True, slots=True, order=True)
class Sharding:
    """Shard `index` of `count`, numbered from 0."""

    index: int
    count: int

    def has(self, seed_id: str) -> bool:
        """Whether a seed is dealt to this shard."""
        return hash64(seed_id) % self.count == self.index

    def may_share_seeds(self, index: int, count: int) -> bool:
        """Whether shard `index` of a dealing among `count` may have been dealt some of the same seeds."""
        return (index - self.index) % math.gcd(count, self.count) == 0

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def dealings(directory: RunDirectory) -> frozenset[int]:
    """The numbers of shards among which seeds were dealt whenever something grew in a shard's directory."""
    path: Path = directory.path / _COUNTS
    try:
        return frozenset(msgspec.json.decode(path.read_bytes(), type=list[int]))
    except (OSError, msgspec.DecodeError):
        return frozenset()


def note_dealing(directory: RunDirectory, sharding: Sharding) -> None:
    """Note in a shard's directory among how many seeds are dealt now."""
    counts = dealings(directory) | {sharding.count}
    if not dealings(directory) and any(path.stat().st_size for path in directory.path.glob("journal/*.jsonl")):
        counts |= {1}  # among how many seeds were dealt is not known any more, so anything may be there
    directory.write_text(_COUNTS, msgspec.json.encode(sorted(counts)).decode())


def parse_sharding(text: str) -> Sharding:
    """A shard as it is given, such as `0/4`.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    if found is None or int(found[1]) >= int(found[2]) or int(found[2]) > _MOST:
        raise UsageError(
            f"--shard {text}: give I/N, with I from 0 to N - 1, such as 0/4 for the first of four shards, and N at most {_MOST:,}."
        )
    return Sharding(int(found[1]), int(found[2]))
