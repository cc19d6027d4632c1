"""Seeds out of sources, and out of documents of the user's own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from snipmill.api.outcomes import Keep, OnReject, ignore, refused_by, to_path
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.errors import UsageError
from snipmill.records import Reject, Seed
from snipmill.seeds.document import Document
from snipmill.stages.seed_stream import SeedSettings, iterate_seeds, resolve_seeds
from snipmill.store.entries import MiningEntry
from snipmill.store.journal import Journal


def mine(
    *sources: str | Path | Iterable[Document],
    config: Config | None = None,
    keep: Keep[Seed] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Generator[Seed, None, None]:
    """The seeds in some sources: documented functions, each with what it needs to stand alone.

    Args:
        sources: folders, git repositories, archives, tables, `stdlib`, or any iterable of `Document`; those of the configuration
            where there are none.
        config: what seeds must be like, in `config.seeds`.
        keep: a filter of your own.
        on_reject: called with everything that is dropped.
        journal: a file in which batches of documents are remembered.

    Raises:
        UsageError: a source does not exist, an extra is missing, or a setting is invalid.
    """
    named = [str(source) for source in sources if isinstance(source, str | Path)]
    own = tuple(_documents(source) for source in sources if not isinstance(source, str | Path))
    settings = resolve_seeds(change_config(config or Config(), {"seeds.sources": named} if named else {}))
    if sources:
        table = msgspec.structs.replace(settings.table, sources=tuple(named))  # none but those that were given
        settings = replace(settings, table=table, documents=own)
    return _mined(settings, journal, keep, on_reject)


def _documents(source: Any) -> Iterator[Document | Reject]:
    """The documents of an iterable of the user's.

    Raises:
        UsageError: it is none, or has something else.
    """
    if not isinstance(source, Iterable):
        raise UsageError(
            f"mine takes folders, files and iterables of Document; {source!r:.80} is {type(source).__name__}."
        )
    return map(_document, source)


def _document(item: Any) -> Document | Reject:
    if isinstance(item, Document | Reject):
        return item
    raise UsageError(
        f"An iterable that is mined gives Document records, and this one gave {type(item).__name__} {item!r:.60}. Folders and "
        "files are given one by one, as mine(*paths); seeds need no mining."
    )


def _mined(
    settings: SeedSettings, journal: str | Path | None, keep: Keep[Seed] | None, on_reject: OnReject
) -> Generator[Seed, None, None]:
    with Journal(to_path(journal), MiningEntry) as entries:
        for seed in iterate_seeds(settings, on_reject, entries):
            refused = refused_by(seed, "seeds", keep)
            if refused is None:
                yield seed
            else:
                on_reject(refused)
