"""Files that only grow, kept as numbered segments on a store that cannot append, such as S3.

A segment is one object, `NAME/SESSION-NUMBER-OFFSET-LENGTH`, which appears whole or not at all. It holds whole lines, and replaces
everything from its offset on. Each process that writes a shard has a session of its own. When it begins, it writes down where each
file of the shard ended for it (`SessionStart`). What a process pushes later that was given up for dead belongs to no session that
goes on, so it cannot spoil what its successor writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from snipmill.errors import StoreError

FOLDER = "segments"
_APPENDED = 0  # the length in the name of a segment that is appended to


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment of a file.

    Attributes:
        session: of the process that wrote it.
        number: within the session.
        offset: in the file.
        length: in bytes; 0 for one that is appended to.
    """

    session: int
    number: int
    offset: int
    length: int

    @property
    def key(self) -> tuple[int, int]:
        """Session and number."""
        return self.session, self.number

    @property
    def name(self) -> str:
        """Its name; names sort as segments do."""
        return f"{self.session:06d}-{self.number:08d}-{self.offset:015d}-{self.length:012d}"


class SessionStart(msgspec.Struct, frozen=True):
    """Where each file of a shard ended when a session began: session and number of its last segment, by name."""

    ends: dict[str, tuple[int, int]] = {}


def parse_segment(name: str) -> Segment | None:
    """The segment with a name; None where it is no segment's."""
    parts = name.split("-")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return None
    return Segment(*map(int, parts))


def valid_segments(segments: Iterable[Segment], name: str, starts: Mapping[int, SessionStart]) -> list[Segment]:
    """The segments that make up a file, in order: those of the newest session, those that it began after, and so on.

    Args:
        segments: all of the file.
        name: of the file.
        starts: of all sessions, by number.
    """
    sessions: dict[int, list[Segment]] = {}
    for segment in sorted(segments):
        sessions.setdefault(segment.session, []).append(segment)
    parts: list[list[Segment]] = []
    end = max([*sessions, *starts], default=0), sys.maxsize
    while end[0]:
        parts.append([segment for segment in sessions.get(end[0], ()) if segment.key <= end])
        earlier = starts[end[0]].ends.get(name, (0, 0)) if end[0] in starts else (0, 0)
        end = earlier if earlier < end else (0, 0)
    return [segment for part in reversed(parts) for segment in part]


class Assembled:
    """A file in a folder on this machine, put together from segments as they appear.

    Args:
        path: of the file.
        shown: what errors call it.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        self._shown = shown
        self._taken: list[Segment] = []
        self.size = 0

    @property
    def last(self) -> tuple[int, int]:
        """Session and number of the last segment that was taken; zeros where there is none."""
        return self._taken[-1].key if self._taken else (0, 0)

    def missing(self, valid: list[Segment]) -> list[Segment]:
        """Of the segments that make up the file, those that are still to be taken, in order.

        Of one that is appended to, there may be more than was taken.
        """
        if self._taken and self._taken[-1].length == _APPENDED:
            self._taken.pop()
        if valid[: len(self._taken)] != self._taken:  # some came from a process that had a successor already
            self._taken, self.size = [], 0
        return valid[len(self._taken) :]

    def take(self, segment: Segment, data: bytes) -> None:
        """Write a segment to its place, and cut off what stood behind it.

        Raises:
            StoreError: it is not whole, or one before it is missing.
        """
        if segment.length == _APPENDED:
            data = data[: data.rfind(b"\n") + 1]  # the last line may still be on its way
        elif len(data) != segment.length:
            raise StoreError(
                f"{self._shown}: segment {segment.name} has {len(data):,} bytes, not as many as its name says."
            )
        if segment.offset > self.size:
            raise StoreError(f"{self._shown}: a segment before {segment.name} is missing, so that the file has a gap.")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._taken:  # a new file, also in place of one that others are reading
            partial = self._path.with_name(f".{self._path.name}.partial")
            partial.write_bytes(data)
            partial.replace(self._path)
        else:
            with self._path.open("r+b") as file:
                file.seek(segment.offset)
                file.write(data)
                file.truncate()
        self.size = segment.offset + len(data)
        self._taken.append(segment)
