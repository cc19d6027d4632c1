"""Files that only grow, kept as numbered segments on a store that cannot append, such as S3.

A segment is one object, `NAME/SESSION-NUMBER-OFFSET-LENGTH-SESSION-NUMBER`, which appears whole or not at all. It has whole lines,
and replaces everything from its offset on. Each process that writes has a session of its own. The last two numbers name the segment
after which the session began: a process that was given up for dead cannot spoil what its successor writes, since what it pushes
later belongs to no session that goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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
        after: session and number of the last segment that was there when the session began; zeros where there was none.
    """

    session: int
    number: int
    offset: int
    length: int
    after: tuple[int, int] = (0, 0)

    @property
    def key(self) -> tuple[int, int]:
        """Session and number."""
        return self.session, self.number

    @property
    def name(self) -> str:
        """Its name; names sort as segments do."""
        session, number = self.after
        return f"{self.session:06d}-{self.number:08d}-{self.offset:015d}-{self.length:012d}-{session:06d}-{number:08d}"


def parse_segment(name: str) -> Segment | None:
    """The segment with a name; None where it is no segment's."""
    parts = name.split("-")
    if len(parts) != 6 or not all(part.isdecimal() for part in parts):
        return None
    session, number, offset, length, *after = map(int, parts)
    return Segment(session, number, offset, length, (after[0], after[1]))


def valid_segments(segments: Iterable[Segment]) -> list[Segment]:
    """The segments that make up a file, in order: those of the newest session, those it began after, and so on."""
    sessions: dict[int, list[Segment]] = {}
    for segment in sorted(segments):
        sessions.setdefault(segment.session, []).append(segment)
    parts: list[list[Segment]] = []
    end = max((group[-1].key for group in sessions.values()), default=(0, 0))
    while (group := sessions.pop(end[0], None)) is not None:
        parts.append([segment for segment in group if segment.key <= end])
        end = group[0].after
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

    def missing(self, segments: Iterable[Segment]) -> list[Segment]:
        """The segments that are still to be taken, in order. Of one that is appended to, there may be more than was taken."""
        valid = valid_segments(segments)
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
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.seek(segment.offset)
            file.write(data)
            file.truncate()
        self.size = segment.offset + len(data)
        self._taken.append(segment)
