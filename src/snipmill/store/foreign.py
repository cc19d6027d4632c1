"""Rows that others wrote, as records: columns that are none of ours are set aside, and what a row lacks is filled in.

Everything stays JSON in bytes, for that is many times faster than objects: columns that go along are never decoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from snipmill.languages import PYTHON, language_named
from snipmill.records import COLUMNS, SOURCE_ID, Execution, Record, Row, content_hash, encode_json

R = TypeVar("R", bound=Record)
Columns = dict[str, msgspec.Raw]

_PREFIX = {"Seed": "s", "Concepts": "c", "Instruction": "i", "Response": "r", "Execution": "r", "Row": "r"}
_IDENTIFYING = ("language", "seed", "instruction", "response", "sample")
_SAMPLES = "parsing_result"
_LATER = frozenset(Execution.__struct_encode_fields__) | frozenset(Row.__struct_encode_fields__)
_BRACE = memoryview(b"{")
_OF_A_REQUEST = {"prompt", "fingerprint"}
_NULL, _EMPTY_TEXT, _EMPTY_LIST = map(msgspec.Raw, (b"null", b'""', b"[]"))
_COLUMNS_OF_A_ROW = msgspec.json.Decoder(Columns)


@lru_cache(maxsize=16)
def decoder(kind: type[R]) -> msgspec.json.Decoder[R]:
    """The decoder of lines that this package wrote."""
    return msgspec.json.Decoder(kind)


@lru_cache(maxsize=16)
def fields_of(kind: type[Record]) -> frozenset[str]:
    """The names of a kind's columns in files."""
    return frozenset(kind.__struct_encode_fields__) - {COLUMNS}


def columns_of(line: bytes) -> list[Columns]:
    """The columns of a row of any file; of a row with a `parsing_result` list, those of each sample.

    Raises:
        ValueError: it is not JSON.
        msgspec.ValidationError: it is no object.
        RecursionError: a column is nested too deeply.
    """
    try:
        line.decode()  # columns that are not decoded could hold anything
        columns = _COLUMNS_OF_A_ROW.decode(line)
    except (UnicodeDecodeError, msgspec.DecodeError):
        value = json.loads(line)  # accepts what other writers produce: lone surrogates, NaN
        columns = _COLUMNS_OF_A_ROW.decode(encode_json(value))
    return list(_samples(columns)) if _SAMPLES in columns else [columns]


def as_record(value: dict[str, Any], kind: type[R]) -> R:
    """A record from an object.

    Raises:
        msgspec.ValidationError: a column has the wrong type or is missing.
    """
    return record_of(_COLUMNS_OF_A_ROW.decode(encode_json(value)), kind)


def record_of(given: Columns, kind: type[R]) -> R:
    """A record from the columns of a row.

    Raises:
        msgspec.ValidationError: a column has the wrong type or is missing.
        RecursionError: a column is nested too deeply.
    """
    ours = fields_of(kind)
    known: Columns = {}
    others: Columns = {}
    for name, value in given.items():
        (known if name in ours else others)[name] = value
    _fill_in(known, others, kind, ours)
    own_id = known.get("id", _NULL)
    has_id = bytes(memoryview(own_id)[:1]) == b'"' and own_id != _EMPTY_TEXT
    if not has_id:
        known["id"] = _EMPTY_TEXT
    record = _decode_known(known, kind)
    # The record is new and nobody else's: completing it costs a tenth of a changed copy.
    if "language" in ours:
        named = language_named(record.language)  # type: ignore[attr-defined]
        if named is not None:
            msgspec.structs.force_setattr(record, "language", named)
    if not has_id:
        msgspec.structs.force_setattr(record, "id", content_id(record))
        if own_id not in (_NULL, _EMPTY_TEXT):
            others[_free_name(SOURCE_ID, others)] = own_id
    if others:
        msgspec.structs.force_setattr(record, "columns", others)
    return record


def _fill_in(known: Columns, others: Columns, kind: type[Record], ours: frozenset[str]) -> None:
    """Give a row what it lacks: empty texts for stages that were skipped, and what it has under other names."""
    if "seed" in ours and known.get("seed", _NULL) == _NULL:
        if kind.__name__ == "Seed" and "content" in others:
            known["seed"] = others.pop("content")
        elif kind.__name__ != "Seed":
            known["seed"] = _EMPTY_TEXT
    if "language" in ours and known.get("language", _NULL) == _NULL and "data_dir" in others:
        folder = msgspec.json.decode(others["data_dir"])
        if isinstance(folder, str) and (language_named(folder.rpartition("/")[2]) or "/" not in folder):
            known["language"] = msgspec.Raw(msgspec.json.encode(folder.rpartition("/")[2]))
    if "concepts" in ours and known.get("concepts", _NULL) == _NULL and kind.__name__ != "Concepts":
        known["concepts"] = _EMPTY_LIST


def _decode_known(known: Columns, kind: type[R]) -> R:
    """A record from columns of ours; null stands for a column that is not there."""
    try:
        record: R = decoder(kind).decode(msgspec.json.encode(known))
    except msgspec.ValidationError:
        without_null = {name: value for name, value in known.items() if value != _NULL}
        if len(without_null) == len(known):
            raise
        record = decoder(kind).decode(msgspec.json.encode(without_null))
    return record


def _free_name(name: str, taken: Columns) -> str:
    while name in taken:
        name += "_"
    return name


def content_id(record: Record) -> str:
    """An id from what a record says in the columns that tell it from others. What is left out means the same as its default."""
    kind = type(record).__name__
    parts = [getattr(record, name) for name in _IDENTIFYING if hasattr(record, name)]
    if kind != "Seed":
        parts = [part for part in parts if part not in (PYTHON, 0)]
    if kind == "Concepts":
        parts += record.concepts  # type: ignore[attr-defined]
    return f"{_PREFIX.get(kind, 'x')}-{content_hash(*parts)}"


def rename(record: R, new_id: str) -> R:
    """A record with another id; the one that it had stays as `source_id`."""
    others = record.columns if isinstance(record.columns, dict) else {}
    kept = {SOURCE_ID: msgspec.Raw(encode_json(record.id)), **others}
    return msgspec.structs.replace(record, id=new_id, columns=kept)


def without_stale_columns(record: R, *, asks: bool = False) -> R:
    """A record from which others will be made, without columns that would be taken for what is then made.

    Args:
        record: with columns of its file.
        asks: whether a model will be asked. Then the original project's `prompt` and `fingerprint` go, too: they say how an earlier
            stage asked.
    """
    if not isinstance(record.columns, dict):
        return record
    stale = _LATER - fields_of(type(record))
    if asks and record.columns.keys() >= _OF_A_REQUEST:
        stale |= _OF_A_REQUEST
    kept = {name: value for name, value in record.columns.items() if name not in stale}
    if len(kept) == len(record.columns):
        return record
    return msgspec.structs.replace(record, columns=kept or msgspec.UNSET)


def _samples(columns: Columns) -> Iterator[Columns]:
    """The columns of each sample of a row: its own, and the others of the row."""
    common = {name: value for name, value in columns.items() if name != _SAMPLES}
    try:
        samples = msgspec.json.decode(columns[_SAMPLES], type=list[msgspec.Raw])
    except msgspec.ValidationError:
        yield columns  # another column of that name
        return
    if not samples:
        yield common
        return
    if "id" in common:
        common[_free_name(SOURCE_ID, common)] = common.pop("id")
    for number, sample in enumerate(samples):
        own = _COLUMNS_OF_A_ROW.decode(sample) if memoryview(sample)[:1] == _BRACE else {"response": sample}
        yield {**common, **own, "sample": msgspec.Raw(str(number).encode())}
