"""The files that a path stands for: one file, a folder of shards, or a pattern."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from snipmill.errors import UsageError
from snipmill.tables.compression import COMPRESSIONS

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
# Beside a data set: what describes it, what was left out of it, and what a command continues from.
_NO_ROWS = (".rejects.jsonl", ".journal.jsonl")
_DESCRIPTIONS = re.compile(r"dataset_infos?\.json|dataset_dict\.json|state\.json|.*config.*\.json|.*metadata.*\.json")
_DATASET = "dataset.jsonl"  # of a run's folder


def format_of(name: str) -> str | None:
    """The format of a file of rows, compressed or not, by its name; None if it is none."""
    name = name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return _FORMATS.get(Path(name).suffix)


def find_shards(path: str) -> list[Path]:
    """The files of rows that a path stands for, in the order of their names.

    Args:
        path: a file, a folder, or a pattern such as `data/*.jsonl.gz`.

    Raises:
        UsageError: there is no such file, or none with rows.
    """
    place = Path(path)
    if place.is_dir():
        return _shards_in(place)
    if is_pattern(path):
        return [found for found in map(Path, expand_pattern(path)) if found.is_file()]
    if not place.exists():
        raise UsageError(f"There is no file {path}; check the path.")
    return [place]


def is_pattern(path: str) -> bool:
    """Whether a path stands for the files that match it, and is none itself."""
    return glob.has_magic(path) and not Path(path).exists()


def expand_pattern(pattern: str) -> list[str]:
    """What matches a pattern, sorted.

    Raises:
        UsageError: nothing does.
    """
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute patterns as well
    if not found:
        raise UsageError(f"No file matches {pattern!r}; check the pattern.")
    return found


def _shards_in(folder: Path) -> list[Path]:
    if (folder / _DATASET).is_file():
        return [folder / _DATASET]
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and format_of(file.name) is not None
        and not file.name.endswith(_NO_ROWS)
        and _DESCRIPTIONS.fullmatch(file.name.lower()) is None
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if not files:
        known = ", ".join(_FORMATS)
        raise UsageError(f"The folder {folder} holds no file of rows ({known}, also compressed).")
    return files
