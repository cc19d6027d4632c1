"""Reads the rows of Parquet files in batches. Needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snipmill.errors import UsageError

_BATCH = 1024


def parquet_values(path: str) -> Iterator[dict[str, Any]]:
    """The rows of a file as objects.

    Raises:
        UsageError: the file does not exist or is not Parquet, or the extra is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{path} is a Parquet file; run `pip install 'snipmill[parquet]'` to read it.") from None
    if not Path(path).is_file():
        raise UsageError(f"There is no file {path}; check the path.")
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no Parquet file: {error}.") from error
