"""Mines a data set on the hub that has a column of code."""

from __future__ import annotations

from collections.abc import Iterator

from snipmill.records import Reject
from snipmill.seeds.document import Document
from snipmill.seeds.sources.table import Columns, row_documents
from snipmill.seeds.sources.tree import Origin
from snipmill.tables.hub import PREFIX, open_hub


def hub_documents(address: str, columns: Columns, origin: Origin) -> Iterator[Document | Reject]:
    """A document for each row of a data set.

    Args:
        address: hub:OWNER/NAME, with options (`tables.hub`).
        columns: which column holds what.
        origin: the licence that the user states, and the languages to look for.

    Raises:
        UsageError: it cannot be reached, it lacks a column, an option is unknown, or the extra is not installed.
    """
    name = address.removeprefix(PREFIX).partition("?")[0]
    revision, rows = open_hub(address)
    own = Origin(f"{PREFIX}{name}", revision, origin.license, origin.languages)
    placed = ((f"{name}:{number}", row) for number, row in enumerate(rows, start=1))
    yield from row_documents(placed, name, columns, own)
