"""Rows of Parquet and Arrow files, read in batches. Needs the extra `parquet`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from snipmill.errors import UsageError
from snipmill.tables.values import BrokenOff, Unreadable, Value

_BATCH = 256
_ARROW_FILE = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def arrow_rows(path: Path, kind: str, columns: Sequence[str] | None = None) -> Iterator[tuple[int, Value]]:
    """Each row with its number, from 1.

    Args:
        path: the file.
        kind: `parquet`, or `arrow` for the files of `datasets.save_to_disk`.
        columns: which columns to read, if it has all of them; None for all.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        from pyarrow import ArrowException
    except ImportError:
        raise UsageError(f"{path} is Parquet; to read it, run `pip install 'snipmill[parquet]'`.") from None
    number = 0
    try:
        with ExitStack() as stack:
            for batch in _batches(path, kind, columns, stack):
                for value in _rows(batch):
                    number += 1
                    yield number, value
    except (ArrowException, OSError, ValueError) as error:
        yield number + 1, BrokenOff(f"no valid {kind.capitalize()}: {_sentence(error)}")


def _batches(path: Path, kind: str, columns: Sequence[str] | None, stack: ExitStack) -> Iterator[Any]:
    if kind == "parquet":
        from pyarrow import parquet

        file = stack.enter_context(parquet.ParquetFile(path))
        has_them = columns is not None and set(columns) <= set(file.schema_arrow.names)
        return iter(file.iter_batches(_BATCH, columns=columns if has_them else None))
    from pyarrow import ipc

    handle = stack.enter_context(path.open("rb"))
    if handle.read(len(_ARROW_FILE)) == _ARROW_FILE:
        file = ipc.open_file(handle)
        return _slices(file.get_batch(number) for number in range(file.num_record_batches))
    handle.seek(-min(len(_END_OF_STREAM), path.stat().st_size), os.SEEK_END)
    has_end = handle.read() == _END_OF_STREAM
    handle.seek(0)
    return _checked(ipc.open_stream(handle), has_end=has_end)


def _slices(batches: Iterable[Any]) -> Iterator[Any]:
    """Batches of any size as small ones, whose rows take little memory as objects."""
    return (batch.slice(start, _BATCH) for batch in batches for start in range(0, len(batch), _BATCH))


def _checked(stream: Any, *, has_end: bool) -> Iterator[Any]:
    """The batches of a stream, which looks whole wherever it is cut between two of them."""
    yield from _slices(stream)
    if not has_end:
        raise OSError("the stream ends too early")


def _rows(batch: Any) -> Iterator[Value]:
    try:
        yield from batch.to_pylist()
    except (UnicodeDecodeError, OverflowError):
        for number in range(batch.num_rows):
            try:
                yield from batch.slice(number, 1).to_pylist()
            except (UnicodeDecodeError, OverflowError) as error:
                yield Unreadable(f"cannot be read: {error}.")


def _sentence(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
