"""The ids under which records of an input go, each of which names one record."""

from __future__ import annotations

import re
from typing import TypeVar

from snipmill.id_index import IdIndex
from snipmill.records import Record
from snipmill.store.foreign import content_id, rename

R = TypeVar("R", bound=Record)
_OURS = re.compile(r"[a-z]-[0-9a-f]{20}")  # an id that hashes what a record was made from


class RecordIds:
    """The ids that were read, and where their records stand.

    An id of the user's may name several records, such as the samples of one task: all but the first get an id of ours, and keep
    the user's as `source_id`.
    """

    def __init__(self) -> None:
        self._numbers = IdIndex()
        self._contents = IdIndex()  # of records whose id is the user's

    def number_of(self, record_id: str) -> int | None:
        """The number of the record with an id; None if none was read."""
        return self._numbers.get(record_id)

    def admit(self, record: R, number: int) -> tuple[R, int | None]:
        """A record under the id that it goes by, and the number of an equal one that was read before."""
        earlier = self._numbers.add(record.id, number)
        if _OURS.fullmatch(record.id) is not None:
            return record, earlier
        content = content_id(record)
        is_new = self._contents.add(content, number) is None
        if earlier is None or not is_new:
            return record, earlier
        return rename(record, content), self._numbers.add(content, number)
