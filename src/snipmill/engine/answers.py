"""The answers in a data set of anyone's: each with its task, its tests and its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from snipmill.errors import UsageError
from snipmill.reasons import Reason
from snipmill.records import Reject, Row, content_hash
from snipmill.tables.table import Table
from snipmill.tables.values import BrokenOff, Unreadable, decode_row
from snipmill.verification.data_sets import LAYOUTS, Columns, Layout, layout_named, layout_of, read_item, with_columns
from snipmill.verification.foreign_tests import ForeignTests

STAGE = "audit"
_LOOKED_AT = 100  # rows by whose columns a layout is known
_MOST_SHOWN = 20

_Numbered = tuple[int, dict[str, Any] | Unreadable | BrokenOff]


@dataclass(frozen=True, slots=True)
class Answer:
    """A row of a data set: its task and answer, its tests where they stand apart, and where it stands."""

    row: Row
    tests: ForeignTests | None
    where: str


def read_answers(
    table: Table, columns: Columns, layout: str | None, limit: int | None, announce: Callable[[str], None]
) -> Iterator[Answer | Reject]:
    """The rows of a data set; each is named by its own id, or by a hash of its content where it has none.

    Args:
        table: the data set.
        columns: those that the user names.
        layout: the name of its layout; None to know it by the columns.
        limit: at most as many rows; None for all.
        announce: is told the layout.

    Raises:
        UsageError: the layout is not known.
    """
    rows: Iterator[_Numbered] = ((number, decode_row(value)) for number, value in table.rows())
    first = list(islice(rows, _LOOKED_AT))
    reading = _layout(first, columns, layout, table.shown)
    if layout is None and columns == Columns():
        announce(f"read as {reading.name}{f' ({reading.sets})' if reading.sets else ''}; --layout names another")
    seen: set[str] = set()
    for number, row in islice(chain(first, rows), limit):
        where = table.place(number)
        if not isinstance(row, dict):
            problem = row.problem if isinstance(row, Unreadable) else f"cannot be read on from here: {row.problem}."
            reason = Reason.NOT_JSON if isinstance(row, Unreadable) else Reason.DAMAGED_FILE
            yield Reject(id=where, stage=STAGE, reason=reason, detail=f"{where} {problem}", where=where)
            continue
        item = read_item(row, reading)
        if item is None:
            detail = f"{where} has no task or no answer where the layout {reading.name} has them; {_shown(row)}."
            yield Reject(id=where, stage=STAGE, reason=Reason.MISSING_FIELD, detail=detail, where=where)
            continue
        given = row.get("id", row.get("task_id"))
        name = (
            str(given) if isinstance(given, str | int) and str(given) else f"r-{content_hash(item.task, item.answer)}"
        )
        if name in seen:
            name = f"{name}@{number}"
        seen.add(name)
        yield Answer(Row(id=name, seed="", concepts=[], instruction=item.task, response=item.answer), item.tests, where)


def _layout(first: list[_Numbered], columns: Columns, name: str | None, shown: str) -> Layout:
    """The layout that the user names, or that all or most columns of the first rows have."""
    rows = [row for _, row in first if isinstance(row, dict)]
    unread = next((row for _, row in first if not isinstance(row, dict)), None)
    if unread is not None and not rows:
        what = f"its first row {unread.problem}" if isinstance(unread, Unreadable) else f"{unread.problem}."
        raise UsageError(f"{shown} cannot be read: {what}")
    together = {column: None for row in rows for column in row}
    known = layout_named(name) if name is not None else None
    if known is None:
        known = next(filter(None, (layout_of(row) for row in rows)), None) or layout_of(together)
    layout = with_columns(known, columns)
    named = (columns.instruction, columns.response, columns.tests, columns.entry_point, columns.module)
    missing = [one for one in named if one is not None and one not in together]
    if rows and missing:
        raise UsageError(f"{shown} has no column {missing[0]!r}; {_shown(together)}.")
    if layout is None:
        names = ", ".join(one.name for one in LAYOUTS)
        raise UsageError(
            f"{shown} is in no layout that is known: {_shown(together)}. Name the columns with --instruction-column and "
            f"--response-column, or a layout with --layout ({names})."
        )
    return layout


def _shown(row: dict[str, Any]) -> str:
    names = ", ".join(sorted(map(str, row))[:_MOST_SHOWN])
    return f"its columns are {names}" if names else "it has no columns"
