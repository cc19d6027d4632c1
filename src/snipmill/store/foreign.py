"""Rows that others wrote, as records: columns that are none of ours are set aside, and what a row lacks is filled in.

Everything stays JSON in bytes, for that is many times faster than objects: columns that go along are never decoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from snipmill.languages import language_named
from snipmill.records import COLUMNS, SOURCE_ID, Execution, Record, Row, content_hash, encode_json

R = TypeVar("R", bound=Record)
Columns = dict[str, msgspec.Raw]

_PREFIX = {"Seed": "s", "Concepts": "c", "Instruction": "i", "Response": "r", "Execution": "r", "Row": "r"}
_IDENTIFYING = ("language", "seed", "instruction", "response", "sample")
_SAMPLES = "parsing_result"
_LATER = frozenset(Execution.__struct_encode_fields__) | frozenset(Row.__struct_encode_fields__)
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
    if "seed" in ours and "seed" not in known:
        if kind.__name__ == "Seed" and "content" in others:
            known["seed"] = others.pop("content")
        elif kind.__name__ != "Seed":
            known["seed"] = _EMPTY_TEXT
    if "language" in ours and "language" not in known and "data_dir" in others:
        language = _decoded(others["data_dir"])
        named = language_named(language) if isinstance(language, str) else None
        if named is not None:
            known["language"] = msgspec.Raw(msgspec.json.encode(named))
    if "concepts" in ours and "concepts" not in known and kind.__name__ != "Concepts":
        known["concepts"] = _EMPTY_LIST
    own_id = known.get("id", _NULL)
    has_id = bytes(memoryview(own_id)[:1]) == b'"'
    if not has_id:
        known["id"] = _EMPTY_TEXT
        if own_id != _NULL:
            others.setdefault(SOURCE_ID, own_id)
    try:
        record: R = decoder(kind).decode(msgspec.json.encode(known))
    except msgspec.ValidationError:
        without_null = {name: value for name, value in known.items() if value != _NULL}
        if len(without_null) == len(known):
            raise
        return record_of({**others, **without_null}, kind)
    # The record is new and nobody else's: completing it costs a tenth of a changed copy.
    if not has_id:
        msgspec.structs.force_setattr(record, "id", _content_id(record, known, others))
    if others:
        msgspec.structs.force_setattr(record, "columns", others)
    return record


def _decoded(value: msgspec.Raw) -> Any:
    return msgspec.json.decode(value)


def _content_id(record: Record, known: Columns, others: Columns) -> str:
    """An id from what a record says."""
    kind = type(record).__name__
    if kind == "Seed":
        texts: list[Any] = [getattr(record, "language", None), getattr(record, "seed", None)]
    else:
        texts = [
            getattr(record, name) if name in known else _decoded(others[name])
            for name in _IDENTIFYING
            if name in known or name in others
        ]
    parts = [text for text in texts if isinstance(text, str | int)]
    return f"{_PREFIX.get(kind, 'x')}-{content_hash(*parts)}"


def content_id(record: R) -> str:
    """An id from everything that a record says in columns of ours that tell it from others."""
    parts = [getattr(record, name) for name in _IDENTIFYING if hasattr(record, name)]
    return f"{_PREFIX.get(type(record).__name__, 'x')}-{content_hash(*parts)}"


def rename(record: R, new_id: str) -> R:
    """A record with another id; the one that it had stays as `source_id`."""
    others = record.columns if isinstance(record.columns, dict) else {}
    kept = {SOURCE_ID: msgspec.Raw(encode_json(record.id)), **others}
    return msgspec.structs.replace(record, id=new_id, columns=kept)


def without_stale_columns(record: R) -> R:
    """A record from which others will be made, without columns that would be taken for what is then made.

    These are ours of later stages, and the original project's `prompt` and `fingerprint`, which say how an earlier stage asked.
    """
    if not isinstance(record.columns, dict):
        return record
    stale = _LATER - fields_of(type(record))
    if record.columns.keys() >= _OF_A_REQUEST:
        stale |= _OF_A_REQUEST
    kept = {name: value for name, value in record.columns.items() if name not in stale}
    if len(kept) == len(record.columns):
        return record
    return msgspec.structs.replace(record, columns=kept or msgspec.UNSET)


def _samples(columns: Columns) -> Iterator[Columns]:
    """The columns of each sample of a row: its own, and the others of the row."""
    samples = _decoded(columns[_SAMPLES])
    common = {name: value for name, value in columns.items() if name not in (_SAMPLES, "id")}
    if "id" in columns:
        common.setdefault(SOURCE_ID, columns["id"])
    if not isinstance(samples, list):
        yield columns
        return
    for number, sample in enumerate(samples):
        own = sample if isinstance(sample, dict) else {"response": sample}
        yield {**common, **_COLUMNS_OF_A_ROW.decode(encode_json({**own, "sample": number}))}
