"""Files that only grow, kept as numbered segments on a store that cannot append, such as S3.

A segment is one object, `NAME/SESSION-NUMBER-OFFSET-LENGTH`, which appears whole or not at all. It holds whole lines, and replaces
everything from its offset on. Each process that writes has a session of its own; a process that was given up for dead cannot spoil
what its successor writes, since the successor's first segment says where it went on.
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
    """

    session: int
    number: int
    offset: int
    length: int

    @property
    def name(self) -> str:
        """Its name; names sort as segments do."""
        return f"{self.session:06d}-{self.number:08d}-{self.offset:015d}-{self.length:012d}"


def parse_segment(name: str) -> Segment | None:
    """The segment with a name; None where it is no segment's."""
    parts = name.split("-")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return None
    return Segment(*map(int, parts))


class Assembled:
    """A file in a folder on this machine, put together from segments as they appear.

    Args:
        path: of the file.
        shown: what errors call it.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        self._shown = shown
        self._last: Segment | None = None
        self.size = 0

    def missing(self, segments: Iterable[Segment]) -> list[Segment]:
        """The segments that are still to be taken, in order. Of one that is appended to, there may be more than was taken.

        What a process writes after its successor has begun comes too late, and is not among them.
        """
        last = self._last
        return sorted(
            one for one in segments if last is None or one > last or (one == last and one.length == _APPENDED)
        )

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
        self._last = segment
