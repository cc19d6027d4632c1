"""Resolves a source argument to its documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from snipmill.errors import UsageError
from snipmill.records import Reject
from snipmill.seeds.document import Document
from snipmill.seeds.sources import archive, hub, repository
from snipmill.seeds.sources.folder import file_document, folder_documents
from snipmill.seeds.sources.stdlib import STDLIB, stdlib_documents
from snipmill.seeds.sources.table import Columns, table_documents
from snipmill.seeds.sources.tree import Origin
from snipmill.tables.hub import PREFIX as HUB
from snipmill.tables.shards import expand_pattern, format_of, is_pattern


def expand_glob(source: str) -> list[str]:
    """Expand a glob pattern to the sources that match it, sorted. Other sources are returned unchanged.

    Raises:
        UsageError: nothing matches.
    """
    return [source] if _has_scheme(source) or not is_pattern(source) else expand_pattern(source)


def is_ready_made(source: str, columns: Columns | None) -> bool:
    """Whether a source is a file of ready-made seeds rather than code."""
    is_json = not _has_scheme(source) and format_of(source) in ("jsonl", "json")
    return source == "-" or (columns is None and is_json)


def _has_scheme(source: str) -> bool:
    return source == STDLIB or source.startswith((f"{STDLIB}:", repository.PREFIX, HUB))


def open_source(source: str, columns: Columns | None, origin: Origin) -> Iterator[Document | Reject]:
    """The documents of a source, in a fixed order.

    Args:
        source: `stdlib`, `stdlib:heapq,json`; a folder; a git repository, by its folder or as git+URL, with @REVISION; a
            source distribution, wheel or other archive; a table with a column of code; hub:OWNER/NAME; a file of code.
        columns: which columns of a table to read.
        origin: the licence that the user states, and the languages to look for.

    Raises:
        UsageError: there is no such source, or it cannot be read.
    """
    if source == STDLIB or source.startswith(f"{STDLIB}:"):
        return stdlib_documents(source.partition(":")[2])
    if source.startswith(repository.PREFIX):
        url, revision = _split_revision(source.removeprefix(repository.PREFIX))
        return repository.repository_documents(url, revision, origin)
    if source.startswith(HUB):
        return hub.hub_documents(source, _needed(columns, source), origin)
    path = Path(source)
    if path.is_dir():
        if repository.is_repository(path):
            return repository.repository_documents(source, None, origin)
        return folder_documents(path, Origin(path.resolve().name, None, origin.license, origin.languages))
    if path.is_file():
        if path.name.endswith(archive.SUFFIXES):
            return archive.archive_documents(path, origin)
        if format_of(path.name) is not None:
            return table_documents(path, _needed(columns, source), origin)
        return iter([file_document(path, Origin(path.name, None, origin.license, origin.languages))])
    folder, revision = _split_revision(source)
    if revision is not None and Path(folder).is_dir():
        return repository.repository_documents(folder, revision, origin)
    raise UsageError(
        f"There is no file or folder {source!r}. Give an existing file, folder or archive, git+URL, hub:OWNER/NAME, "
        f"or `{STDLIB}` for Python's standard library."
    )


def _split_revision(spec: str) -> tuple[str, str | None]:
    """Split address@revision into address and revision. The @ of user@host is part of the address."""
    host = re.match(r"[a-z+]+://[^/]*/|[^/@]+@[^/:]+:", spec)
    start = host.end() if host else 0
    address, _, revision = spec[start:].rpartition("@")
    return (spec[:start] + address, revision) if address and revision else (spec, None)


def _needed(columns: Columns | None, source: str) -> Columns:
    if columns is None:
        raise UsageError(f"{source} is a table: say which of its columns holds the code, with --column NAME.")
    return columns
