"""Records as lines of JSON. A file that is written appears under its own name only when it is complete."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec

from snipmill.errors import StoreError
from snipmill.records import Record, encode_json
from snipmill.store.foreign import columns_of, decoder, fields_of, record_of

R = TypeVar("R", bound=Record)
_BUFFER = 1 << 20


def decode_record(line: bytes, kind: type[R]) -> R:
    """The record in a line that this package wrote, perhaps with columns of others.

    Raises:
        msgspec.ValidationError: the line contains no such record.
    """
    try:
        record: R = decoder(kind).decode(line)
        return record
    except msgspec.ValidationError:
        return record_of(columns_of(line)[0], kind)


def encode_line(record: Any) -> bytes:
    """One JSON line, with foreign columns after ours."""
    if isinstance(record, Record) and record.columns:
        ours = fields_of(type(record))
        own = encode_json(msgspec.structs.replace(record, columns=msgspec.UNSET))
        others = encode_json({name: value for name, value in record.columns.items() if name not in ours})
        return b"%b,%b\n" % (own[:-1], others[1:]) if len(others) > 2 else own + b"\n"
    return encode_json(record) + b"\n"


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
            self._handle = os.fdopen(descriptor, "wb", _BUFFER)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}.") from error

    def write(self, record: R) -> None:
        """Append a record.

        Raises:
            StoreError: the disk is full, or the file cannot be written.
        """
        self.write_line(encode_line(record))

    def write_line(self, line: bytes) -> None:
        """Append a record that is already encoded, or several of them."""
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
