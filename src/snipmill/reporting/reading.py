"""Finds single records in a run's files, each file read once from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from snipmill.errors import UsageError

S = TypeVar("S", bound=msgspec.Struct)


class Key(msgspec.Struct):
    """What a record is found by."""

    id: str = ""
    response: str = ""
    parents: dict[str, str] = {}


def lines_of(path: Path) -> Iterator[bytes]:
    """The whole lines of a file; none of a file that is not there. A line that is still being written is left out."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield line


def structs_of(path: Path, kind: type[S]) -> Iterator[S]:
    """The records of a file, of which only some fields may be read.

    Raises:
        UsageError: a line is damaged.
    """
    decoder = msgspec.json.Decoder(kind)
    for number, line in enumerate(lines_of(path), start=1):
        yield _decoded(decoder, line, path, number)


def find(path: Path, kind: type[S], wanted: Collection[str]) -> dict[str, S]:
    """The records with some ids, by id. Where a file has several, the last one counts, as in a journal.

    Raises:
        UsageError: a line is damaged.
    """
    return {key: records[-1] for key, records in _find_all(path, kind, wanted, lambda key: key.id).items()}


def find_of_responses(path: Path, kind: type[S], wanted: Collection[str]) -> dict[str, list[S]]:
    """The entries of verification that belong to some responses, by the ids of these, those of other configurations included.

    Raises:
        UsageError: a line is damaged.
    """
    return _find_all(path, kind, wanted, lambda key: key.response)


def find_children(path: Path, kind: type[S], parent: str, wanted: Collection[str]) -> dict[str, list[S]]:
    """The records that grew from some others, by the id of their ancestor.

    Args:
        path: of the file.
        kind: of the records.
        parent: the kind of ancestor, as `parents` names it.
        wanted: ids of ancestors.

    Raises:
        UsageError: a line is damaged.
    """
    return _find_all(path, kind, wanted, lambda key: key.parents.get(parent))


def _find_all(
    path: Path, kind: type[S], wanted: Collection[str], key_of: Callable[[Key], str | None]
) -> dict[str, list[S]]:
    keys, records = msgspec.json.Decoder(Key), msgspec.json.Decoder(kind)
    found: dict[str, list[S]] = {}
    for number, line in enumerate(lines_of(path) if wanted else (), start=1):
        key = key_of(_decoded(keys, line, path, number))
        if key is not None and key in wanted:
            found.setdefault(key, []).append(_decoded(records, line, path, number))
    return found


def _decoded(decoder: msgspec.json.Decoder[S], line: bytes, path: Path, number: int) -> S:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, ValueError) as error:
        raise UsageError(f"{path}:{number} is damaged: {error}. `snipmill run` writes the file again.") from None
