"""Writes examples as typed, sharded tables with the same bytes each time, in a folder that appears only when it is complete.

DIR/README.md                            which files are which split, as `datasets` and the hub read it
DIR/data/train-00000-of-00003.parquet    or .jsonl
"""

from __future__ import annotations

import shutil
import tempfile
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from snipmill.errors import StoreError, UsageError
from snipmill.records import encode_json

Kind = Literal["parquet", "jsonl"]
MARK = ".snipmill-export.json"  # by which a folder is known as one that may be replaced
_BATCH = 512
SPLITS = ("train", "test")
Example = dict[str, Any]


@contextmanager
def new_folder(given: str) -> Iterator[Path]:
    """A folder to write into, which takes the place of the given one when the block ends without an error.

    The block must write the mark, with the folder's `entries` as `entries_of` lists them: by that, the next export knows whether
    all that is there is its own.

    Raises:
        UsageError: the given folder holds files that are not an earlier export's.
        StoreError: it cannot be written.
    """
    path = Path(given).resolve()
    if not given or path == Path.cwd():
        raise UsageError("--out is this folder; give the name of a new one.")
    if not _may_be_replaced(path):
        raise UsageError(f"{path} holds other files. Give an empty or new folder as --out.")
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        partial.chmod(0o755)
        yield partial
        _take_place(partial, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def entries_of(folder: Path) -> list[str]:
    """What lies in a folder and right below its folders, without the mark."""
    paths = [path for path in folder.iterdir() if path.name != MARK]
    paths += [below for path in paths if path.is_dir() for below in path.iterdir()]
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _may_be_replaced(path: Path) -> bool:
    """Whether there is nothing, or nothing but an earlier export."""
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    try:
        there = entries_of(path)
        known = msgspec.json.decode((path / MARK).read_bytes())["entries"] if (path / MARK).exists() else []
        return set(there) <= set(known)
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return False


def _take_place(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    path.rename(aside / path.name)
    try:
        new.rename(path)
    except OSError:
        (aside / path.name).rename(path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class ShardWriter:
    """Writes the examples of each split into shards; use as a context manager.

    Args:
        folder: where `data/` is made.
        columns: the type of an example.
        kind: of the files.
        rows: at most as many examples make a shard.
        without: columns and fields that are left out.
    """

    def __init__(
        self, folder: Path, columns: type[msgspec.Struct], kind: Kind, rows: int, without: frozenset[str] = frozenset()
    ) -> None:
        self._data = folder / "data"
        self._data.mkdir()
        self._kind, self._rows = kind, rows
        self._names = column_names(columns, without)
        self._schema = arrow_schema(columns, without) if kind == "parquet" else None
        self._open: dict[str, _Shard] = {}
        self._shards: dict[str, list[Path]] = {}
        self.counts: dict[str, int] = {}

    def write(self, split: str, example: msgspec.Struct) -> None:
        """Append an example to a split."""
        shard = self._open.get(split)
        if shard is None or shard.count == self._rows:
            if shard is not None:
                shard.close()
            shards = self._shards.setdefault(split, [])
            path = self._data / f"{split}-{len(shards):05}.{self._kind}"
            shards.append(path)
            shard = self._open[split] = _ParquetShard(path, self._schema) if self._schema else _JsonShard(path)
        shard.add({name: getattr(example, name) for name in self._names})
        self.counts[split] = self.counts.get(split, 0) + 1

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for shard in self._open.values():
            shard.close()
        if kind is None:
            for split, shards in self._shards.items():
                for number, path in enumerate(shards):
                    path.rename(self._data / f"{split}-{number:05}-of-{len(shards):05}.{self._kind}")


class _Shard(typing.Protocol):
    count: int

    def add(self, example: Example) -> None: ...

    def close(self) -> None: ...


class _JsonShard:
    """A shard of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._file: BinaryIO = path.open("wb")

    def add(self, example: Example) -> None:
        self._file.write(encode_json(example) + b"\n")
        self.count += 1

    def close(self) -> None:
        self._file.close()


class _ParquetShard:
    """A shard of Parquet, written in row groups of one size."""

    def __init__(self, path: Path, schema: Any) -> None:
        from pyarrow.parquet import ParquetWriter

        self.count = 0
        self._schema = schema
        self._writer = ParquetWriter(path, schema, compression="zstd")
        self._batch: list[Any] = []

    def add(self, example: Example) -> None:
        self._batch.append(msgspec.json.decode(encode_json(example)))  # as JSON has it, without lone surrogates
        self.count += 1
        if len(self._batch) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._batch:
            self._writer.write_table(pyarrow.Table.from_pylist(self._batch, schema=self._schema))
            self._batch = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def column_names(columns: type[msgspec.Struct], without: frozenset[str] = frozenset()) -> list[str]:
    """The columns of a type in the order in which a person reads them: its own before those that it inherits."""
    inherited = {field.name for base in columns.__bases__ for field in msgspec.structs.fields(base)}
    names = [field.name for field in msgspec.structs.fields(columns) if field.name not in without]
    return sorted(names, key=lambda name: name in inherited)


def arrow_schema(columns: type[msgspec.Struct], without: frozenset[str] = frozenset()) -> Any:
    """The columns of a type as an Arrow schema.

    Args:
        columns: the type.
        without: columns and fields that are left out.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise UsageError("Parquet needs pyarrow: run `pip install 'snipmill[parquet]'`, or give --jsonl.") from None
    types_of = {field.name: field.type for field in msgspec.structs.fields(columns)}
    return pyarrow.schema([(name, _arrow_type(types_of[name], without)) for name in column_names(columns, without)])


def _arrow_type(annotation: Any, without: frozenset[str]) -> Any:
    import pyarrow

    plain = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    if annotation in plain:
        return plain[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return pyarrow.list_(_arrow_type(arguments[0], without))
    if origin in (typing.Union, types.UnionType):
        (inner,) = (one for one in arguments if one is not type(None))
        return _arrow_type(inner, without)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        fields = [field for field in msgspec.structs.fields(annotation) if field.name not in without]
        return pyarrow.struct([(field.encode_name, _arrow_type(field.type, without)) for field in fields])
    raise TypeError(f"{annotation} has no Arrow type")


def features(columns: type[msgspec.Struct], without: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """The columns of a type as the header of a card has them, so that JSON lines are read with these types."""
    types_of = {field.name: field.type for field in msgspec.structs.fields(columns)}
    return [{"name": name, **_feature(types_of[name], without)} for name in column_names(columns, without)]


def _feature(annotation: Any, without: frozenset[str]) -> dict[str, Any]:
    plain = {str: "string", int: "int64", float: "float64", bool: "bool"}
    if annotation in plain:
        return {"dtype": plain[annotation]}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        inner = _feature(arguments[0], without)
        if "struct" in inner:
            return {"list": inner["struct"]}
        return {"sequence": inner.get("dtype", inner)}
    if origin in (typing.Union, types.UnionType):
        (inner_type,) = (one for one in arguments if one is not type(None))
        return _feature(inner_type, without)
    fields = [field for field in msgspec.structs.fields(annotation) if field.name not in without]
    return {"struct": [{"name": field.encode_name, **_feature(field.type, without)} for field in fields]}
