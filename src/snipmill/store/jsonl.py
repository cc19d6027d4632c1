"""Records as JSON lines: a bad line never stops reading, and writing never leaves an incomplete file behind.

A line that cannot be read becomes a reject with file and line. Rows of the original project are read as well: a record
without an id gets one, and a `parsing_result` list becomes one record for each sample.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec

from snipmill.errors import StoreError, UsageError
from snipmill.languages import LANGUAGES, PYTHON, language_named
from snipmill.reasons import Reason
from snipmill.records import COLUMNS, Record, Reject, Seed, content_hash, encode_json

R = TypeVar("R", bound=Record)
_MAX_LINE = 64 << 20
_PREFIX = {"Seed": "s", "Concepts": "c", "Instruction": "i", "Response": "r", "Execution": "r", "Row": "r"}


def read_records(
    path: str, kind: type[R], stage: str, start: int = 0, limit: int | None = None
) -> Iterator[R | Reject]:
    """The records of a file, or of standard input if the path is `-`.

    Args:
        path: a file of JSON lines.
        kind: the record type of its lines.
        stage: the stage that reads, as named in rejects.
        start: number of records to skip.
        limit: maximum number of records; None for all.

    Raises:
        UsageError: there is no such file, it is a folder, or it is empty.
    """
    with _open(path) as handle:
        shown = "standard input" if path == "-" else path
        count = seen_lines = 0
        decoder = _decoder(kind)
        for number, line in enumerate(_lines(handle), start=1):
            if not line.strip():
                continue
            seen_lines += 1
            try:
                records: Iterable[R | Reject] = (decoder.decode(line),)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                records = _parse_line(line, kind, f"{shown}:{number}", stage)  # not exactly our format: be lenient
            for candidate in records:
                record = _in_known_language(candidate, f"{shown}:{number}", stage)
                if isinstance(record, Reject):
                    yield record
                    continue
                count += 1
                if count > start:
                    yield record
                if limit is not None and count >= start + limit:
                    return
        if not seen_lines:
            raise UsageError(f"{shown} is empty; it should hold one JSON record per line.")


def _in_known_language(record: R | Reject, where: str, stage: str) -> R | Reject:
    """A record with its language name normalised, so that Python in any spelling is executed."""
    spelled = getattr(record, "language", PYTHON)
    if spelled in LANGUAGES:
        return record
    language = language_named(spelled)
    if language is None:
        return _bad(where, stage, Reason.UNKNOWN_LANGUAGE, f"is in {spelled!r}; supported are {', '.join(LANGUAGES)}.")
    return msgspec.structs.replace(record, language=language)


def _open(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder; a file with one JSON record per line is needed.")
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _lines(handle: BinaryIO) -> Iterator[bytes]:
    """Lines, split only at newlines; a line over 64 MiB is cut, so that it cannot fill the memory."""
    while line := handle.readline(_MAX_LINE):
        if len(line) == _MAX_LINE and not line.endswith(b"\n"):
            while (rest := handle.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                pass
        yield line


def _parse_line(line: bytes, kind: type[R], where: str, stage: str) -> Iterator[R | Reject]:
    try:
        value = json.loads(line)  # accepts what other writers produce: lone surrogates, NaN
    except (ValueError, RecursionError) as error:
        yield _bad(where, stage, Reason.NOT_JSON, f"is not valid JSON: {error}.")
        return
    if not isinstance(value, dict):
        yield _bad(where, stage, Reason.NOT_AN_OBJECT, f"contains {type(value).__name__}, not an object.")
        return
    for candidate in _samples(value):
        try:
            yield as_record(candidate, kind)
        except RecursionError:
            yield _bad(where, stage, Reason.WRONG_TYPE, "has a column that is nested too deeply.")
        except msgspec.ValidationError as error:
            reason = Reason.MISSING_FIELD if "missing required field" in str(error) else Reason.WRONG_TYPE
            yield _bad(where, stage, reason, f"is not a valid {kind.__name__} record: {error}.")


def _bad(where: str, stage: str, reason: str, detail: str) -> Reject:
    return Reject(id=where, stage=stage, reason=reason, detail=f"{where} {detail}")


def decode_record(line: bytes, kind: type[R]) -> R:
    """The record in a line that this package wrote.

    Raises:
        msgspec.ValidationError: the line contains no such record.
    """
    try:
        record: R = _decoder(kind).decode(line)
        return record
    except msgspec.ValidationError:
        return as_record(json.loads(line), kind)


@lru_cache(maxsize=16)
def _decoder(kind: type[R]) -> msgspec.json.Decoder[R]:
    return msgspec.json.Decoder(kind)


def as_record(value: dict[str, Any], kind: type[R]) -> R:
    """A record from any object that has the required texts.

    Raises:
        msgspec.ValidationError: a text is missing or not a string.
    """
    return msgspec.convert(_completed(value, kind), kind)


def _samples(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One object per sample of a `parsing_result` list, each with the other fields of the row."""
    samples = value.get("parsing_result")
    if not isinstance(samples, list):
        yield value
        return
    common = {key: item for key, item in value.items() if key not in ("parsing_result", "id")}
    for number, sample in enumerate(samples):
        if isinstance(sample, dict):
            yield {**common, **sample, "sample": number}
        else:
            yield {**common, "response": sample, "sample": number}


def _completed(value: dict[str, Any], kind: type[Record]) -> dict[str, Any]:
    """Fill in what foreign rows lack: an id from the content, and empty texts for stages that were skipped.

    Foreign columns are set aside, to be carried along.
    """
    given = value
    value = {key: item for key, item in value.items() if item is not None}
    if kind is not Seed and "seed" in kind.__struct_fields__:
        value.setdefault("seed", "")
    if kind.__name__ in ("Instruction", "Response", "Execution", "Row"):
        value.setdefault("concepts", [])
    if not isinstance(value.get("id"), str):
        texts = [value.get(key) for key in ("language", "seed", "instruction", "response", "sample")]
        if kind is Seed:
            texts = [value.get("language", "Python"), value.get("seed")]
        parts = [text for text in texts if isinstance(text, str | int)]
        value["id"] = f"{_PREFIX.get(kind.__name__, 'x')}-{content_hash(*parts)}"
    foreign = {key: item for key, item in given.items() if key not in kind.__struct_encode_fields__}
    if foreign:
        value = {key: item for key, item in value.items() if key not in foreign}
        value[COLUMNS] = {key: msgspec.Raw(encode_json(item)) for key, item in foreign.items()}
    return value


class Writer(Generic[R]):
    """Writes one file of records, which appears under its own name only when it is closed without an error.

    With `-` as path it writes to standard output; a device or a pipe is written directly. Use as a context manager.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = None if str(path) == "-" else Path(os.path.realpath(path))  # write to the target of a link
        self._partial: str | None = None
        self.count = 0
        if self._path is None:
            self._handle: BinaryIO = sys.stdout.buffer
            return
        try:
            if self._path.exists() and not self._path.is_file() and not self._path.is_dir():
                self._handle = self._path.open("wb")
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_dir():
                raise StoreError(f"{self._path} is a folder; give the name of a file to write.")
            descriptor, self._partial = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            os.fchmod(descriptor, 0o644)
            self._handle = os.fdopen(descriptor, "wb")
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}.") from error

    def write(self, record: R) -> None:
        """Append a record.

        Raises:
            StoreError: the disk is full, or the file cannot be written.
        """
        self.write_line(encode_line(record))

    def write_line(self, line: bytes) -> None:
        """Append a record that is already encoded."""
        try:
            self._handle.write(line)
        except OSError as error:
            raise StoreError(f"{self._path or 'standard output'} cannot be written: {error.strerror}.") from error
        self.count += 1

    def __enter__(self) -> Writer[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None:
            self._handle.flush()
            return
        try:
            self._handle.close()
            if kind is None and self._partial is not None:
                Path(self._partial).replace(self._path)
        except OSError as failure:
            kind = type(failure)
            raise StoreError(f"{self._path} cannot be written: {failure.strerror}.") from failure
        finally:
            if kind is not None and self._partial is not None:
                Path(self._partial).unlink(missing_ok=True)


def encode_line(record: Any) -> bytes:
    """One JSON line, with foreign columns after ours."""
    if isinstance(record, Record) and record.columns:
        fields = msgspec.structs.asdict(record)
        foreign = fields.pop("columns")
        return encode_json({**fields, **{key: item for key, item in foreign.items() if key not in fields}}) + b"\n"
    return encode_json(record) + b"\n"
