"""Digests of records, field by field, by which a change of one byte is named: which record, which field."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from snipmill.records import encode_json
from snipmill.store.jsonl import Writer

_LENGTH = 6  # bytes of a field's digest


class RecordDigest(msgspec.Struct, frozen=True):
    """The digests of a record's fields, by their dotted paths."""

    id: str
    fields: dict[str, str]


@dataclass(frozen=True, order=True)
class Difference:
    """What is not as it should be.

    Attributes:
        file: relative to the published folder.
        record: its id; empty where all of the file is meant.
        field: its dotted path; empty where all of the record is meant.
        detail: what is wrong, as the end of a sentence.
    """

    file: str
    record: str
    field: str
    detail: str

    def __str__(self) -> str:
        where = [self.file, self.record and f"record {self.record}", self.field and f"field {self.field}"]
        return f"{', '.join(filter(None, where))}: {self.detail}"


def digest_record(record: dict[str, Any]) -> RecordDigest:
    """The digests of a record."""
    return RecordDigest(str(record.get("id", "")), {path: _digest(value) for path, value in fields_of(record)})


def fields_of(record: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a record that hold no fields themselves, with their dotted paths."""
    for name, value in record.items():
        path = f"{above}{name}"
        if isinstance(value, dict) and value:
            yield from fields_of(value, f"{path}.")
        else:
            yield path, value


def _digest(value: Any) -> str:
    return hashlib.blake2b(encode_json(value), digest_size=_LENGTH).hexdigest()


def write_digests(path: Path, out: Path) -> None:
    """Write the digests of all records of a file."""
    with path.open("rb") as lines, Writer[Any](out) as writer:
        for line in lines:
            writer.write_line(msgspec.json.encode(digest_record(msgspec.json.decode(line))) + b"\n")


def compare_with_digests(path: Path, digests: Path, name: str) -> Iterator[Difference]:
    """Where a file differs from its digests, record by record in their order.

    Args:
        path: of the file.
        digests: of its digests.
        name: of the file in what is told.
    """
    decoder = msgspec.json.Decoder(RecordDigest)
    with digests.open("rb") as expected_lines, path.open("rb") as lines:
        found = iter(lines)
        for number, expected_line in enumerate(expected_lines, start=1):
            try:
                expected = decoder.decode(expected_line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield Difference(digests.name, "", "", f"line {number} is no digest: {error}.")
                return
            line = next(found, None)
            if line is None:
                yield Difference(name, expected.id, "", "is missing, and all records behind it.")
                return
            try:
                record = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield Difference(name, expected.id, "", f"line {number} is no longer a record: {error}.")
                continue
            yield from _compare(digest_record(record), expected, name)
        if next(found, None) is not None:
            yield Difference(name, "", "", "holds records that were not published.")


def _compare(found: RecordDigest, expected: RecordDigest, name: str) -> Iterator[Difference]:
    for field in sorted(expected.fields.keys() | found.fields.keys()):
        if found.fields.get(field) != expected.fields.get(field):
            detail = "is missing." if field not in found.fields else "was changed since it was published."
            yield Difference(name, expected.id, field, detail)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_sums(folder: Path, names: Iterable[str], out: Path) -> None:
    """Write the SHA-256 of files in the form that `sha256sum --check` reads."""
    text = "".join(f"{sha256(folder / name)}  {name}\n" for name in sorted(names))
    out.write_text(text, encoding="utf-8")


def read_sums(path: Path) -> dict[str, str]:
    """The SHA-256 by file name. Names that lead out of the folder, or that a terminal cannot show, are left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if is_inside(name)}


def is_inside(name: str) -> bool:
    """Whether a name can only be that of a file in the folder that it is relative to, and can be shown."""
    parts = PurePosixPath(name).parts
    return bool(parts) and name.isprintable() and not name.startswith("/") and ".." not in parts
