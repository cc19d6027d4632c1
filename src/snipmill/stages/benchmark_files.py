"""Benchmarks as files: the fingerprint index that comes with snipmill, users' own sets, and making an index.

The shipped index holds hashes of HumanEval (MIT) and MBPP (CC-BY-4.0), not their texts.
"""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from snipmill.errors import StoreError, UsageError
from snipmill.similarity.contamination import Decontaminator, Index, Item, build_index
from snipmill.tables.table import Table
from snipmill.tables.values import decode_row

_SHIPPED = "benchmarks.fingerprints"
# Column names that benchmarks use, the first that is there counts.
_PROMPT = ("prompt", "instruction", "question", "text", "problem")
_SOLUTION = ("canonical_solution", "code", "solution", "response", "answer")
_TESTS = ("test", "test_list", "tests")
_NAME = ("task_id", "id", "name")


def shipped_index() -> Index:
    """The index of the well-known sets that comes with snipmill."""
    return _decode((files("snipmill.similarity") / _SHIPPED).read_bytes(), _SHIPPED)


def load_index(path: str) -> Index:
    """An index from a file: one that `write_index` made, or a benchmark's own JSONL or JSON, fingerprinted now.

    Raises:
        UsageError: it cannot be read, or holds no tasks.
    """
    if path.endswith(".fingerprints"):
        return _decode(read_benchmark(path), path)
    return build_index(list(read_items(path)), {Path(path).name: "given by the user"})


def _decode(raw: bytes, name: str) -> Index:
    try:
        return msgspec.msgpack.decode(gzip.decompress(raw), type=Index)
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise UsageError(f"{name} is no fingerprint index: {error}.") from error


def write_index(index: Index, path: str) -> None:
    """Write an index to a file, or `-` for standard output; the same index gives the same bytes.

    Raises:
        StoreError: it cannot be written.
    """
    body = gzip.compress(msgspec.msgpack.encode(index), mtime=0)
    try:
        if path == "-":
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
        else:
            Path(path).write_bytes(body)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error


def decontaminator(shipped: bool, benchmarks: tuple[str, ...]) -> Decontaminator | None:
    """The decontaminator for the shipped index and the user's own, loaded once in each process; None if there is neither.

    Raises:
        UsageError: a benchmark cannot be read.
    """
    # By absolute paths: another working folder may hold another file of that name.
    return _loaded(shipped, tuple(name if name.startswith("hub:") else os.path.abspath(name) for name in benchmarks))  # noqa: PTH100


def forget_benchmarks() -> None:
    """Read benchmarks again when they are next needed: their files may have changed since they were loaded."""
    _loaded.cache_clear()


@lru_cache(maxsize=4)
def _loaded(shipped: bool, benchmarks: tuple[str, ...]) -> Decontaminator | None:
    indexes = [shipped_index()] if shipped else []
    indexes += map(load_index, benchmarks)
    return Decontaminator(indexes) if indexes else None


def read_benchmark(path: str) -> bytes:
    """The bytes of a benchmark's file, which may be on the hub.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return Path(_local(path)).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no benchmark file {path}.") from None
    except OSError as error:
        raise UsageError(f"The benchmark file {path} cannot be read: {error.strerror}.") from error


def read_items(path: str) -> Iterator[Item]:
    """The tasks of a benchmark's file, in any format of tables.

    Raises:
        UsageError: it cannot be read, or a task has no prompt and no solution.
    """
    table = Table(_local(path), shown=path)
    name = Path(path).name.split(".")[0]
    for number, value in table.rows():
        row = decode_row(value)
        if not isinstance(row, dict):
            raise UsageError(f"{table.place(number)} holds no task: {row.problem}")
        item = Item(
            name=f"{name}/{_first(row, _NAME) or number}",
            prompt=_first(row, _PROMPT),
            solution=_first(row, _SOLUTION),
            tests=_first(row, _TESTS),
        )
        if not item.prompt and not item.solution:
            raise UsageError(f"{table.place(number)} has none of the columns {', '.join(_PROMPT + _SOLUTION)}.")
        yield item


def _local(path: str) -> str:
    """Where a benchmark's file lies: `hub:owner/name/path` is fetched first."""
    if not path.startswith("hub:"):
        return path
    owner, name, file = [*path.removeprefix("hub:").split("/", 2), "", ""][:3]
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise UsageError(f"{path} is on the hub; install `pip install 'snipmill[hub]'` to fetch it.") from None
    try:
        return str(hf_hub_download(f"{owner}/{name}", file, repo_type="dataset"))
    except Exception as error:  # the hub's client raises many kinds; all mean that the file cannot be had
        raise UsageError(f"The hub did not give {path}: {error}") from error


def _first(value: dict[str, Any], names: Sequence[str]) -> str:
    for name in names:
        if name in value and value[name] not in (None, ""):
            found = value[name]
            return "\n".join(map(str, found)) if isinstance(found, list) else str(found)
    return ""
