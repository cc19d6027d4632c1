from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from snipmill.errors import UsageError
from snipmill.tables.table import Table
from snipmill.tables.values import BrokenOff, Unreadable, decode_row

ROWS = [{"a": f"text {n}", "b": n} for n in range(700)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def read(path: Path | str) -> list[tuple[str, Any]]:
    table = Table(str(path))
    return [(table.place(number), decode_row(value)) for number, value in table.rows()]


def rows_of(path: Path | str) -> list[Any]:
    return [row for _, row in read(path)]


def as_parquet(path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS), path)


def as_arrow(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


FORMATS: dict[str, bytes | Callable[[Path], None]] = {
    "t.jsonl": LINES,
    "t": LINES,
    "bom.jsonl": b"\xef\xbb\xbf" + LINES,
    "windows.jsonl": LINES.replace(b"\n", b"\r\n"),
    "t.jsonl.gz": gzip.compress(LINES),
    "t.ndjson.bz2": bz2.compress(LINES),
    "t.jsonl.xz": lzma.compress(LINES),
    "t.jsonl.zst": zstandard.ZstdCompressor().compress(LINES),
    "no_suffix_but_packed": gzip.compress(LINES),
    "list.json": json.dumps(ROWS).encode(),
    "pretty.json": json.dumps(ROWS, indent=2).encode(),
    "list.jsonl": json.dumps(ROWS).encode(),
    "list.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "data_in_a_line.json": json.dumps({"version": 1, "data": ROWS}).encode(),
    "data.json": json.dumps({"version": 1, "data": ROWS}, indent=1).encode(),
    "lines.json": LINES,
    "t.parquet": as_parquet,
    "t.arrow": as_arrow,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    content = FORMATS[name]
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        content(tmp_path / name)
    found = read(tmp_path / name)
    assert [row for _, row in found] == ROWS
    counts_rows = any(word in name for word in ("list", "pretty", "data", "parquet", "arrow"))
    assert found[6][0] == f"{tmp_path / name}{', row ' if counts_rows else ':'}7"


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.tsv", "\t"), ("t.csv.gz", ",")])
def test_delimited_rows_are_known_by_their_first_line(tmp_path: Path, name: str, delimiter: str) -> None:
    text = f'a{delimiter}b\none{delimiter}"x\ny"\ntwo{delimiter}z\n'.encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    path = tmp_path / name
    assert read(path) == [(f"{path}:2", {"a": "one", "b": "x\ny"}), (f"{path}:4", {"a": "two", "b": "z"})]


def test_a_list_of_lists_in_lines_stays_lines(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('[{"a": 1}]\n[{"a": 2}]\n')
    assert all(isinstance(row, Unreadable) for row in rows_of(tmp_path / "t.jsonl"))


def test_folders_and_patterns_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    for number in (2, 1):
        part = ROWS[(number - 1) * 10 : number * 10]
        parquet.write_table(pa.Table.from_pylist(part), folder / f"train-0000{number}-of-00002.parquet")
    (tmp_path / "set" / "dataset_infos.json").write_text('{"default": {"description": "no rows"}}')
    (tmp_path / "set" / "README.md").write_text("# A set\n")
    (folder / ".hidden.jsonl").write_text("{}\n")
    assert rows_of(tmp_path / "set") == ROWS[:20]
    assert rows_of(f"{folder}/*.parquet") == ROWS[:20]
    assert read(tmp_path / "set")[12][0] == f"{folder}/train-00002-of-00002.parquet, row 3"
    run = tmp_path / "run"
    run.mkdir()
    for name in ("dataset", "seeds", "dataset.rejects"):
        (run / f"{name}.jsonl").write_text(json.dumps({"a": name}) + "\n")
    assert rows_of(run) == [{"a": "dataset"}]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress])
def test_what_stands_before_a_break_is_kept_and_the_next_file_follows(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    many = b"".join(json.dumps({"n": n, "noise": str(hash(str(n)))}).encode() + b"\n" for n in range(100_000))
    whole = pack(many)
    suffix = {b"\x1f": "gz", b"B": "bz2", b"\xfd": "xz", b"(": "zst"}[whole[:1]]
    (tmp_path / f"1.jsonl.{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.jsonl").write_bytes(LINES)
    found = read(tmp_path)
    broken = [place for place, row in found if isinstance(row, BrokenOff)]
    assert len(broken) == 1 and f"1.jsonl.{suffix}:" in broken[0]
    before = [row for _, row in found if isinstance(row, dict) and "n" in row]
    assert before == [json.loads(line) for line in many.splitlines()[: len(before)]]
    assert len(before) > 1000
    assert [row for _, row in found if isinstance(row, dict) and "a" in row] == ROWS


def test_a_cut_list_and_a_cut_parquet_file(tmp_path: Path) -> None:
    text = json.dumps(ROWS)
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    *rows, last = rows_of(tmp_path / "cut.json")
    assert rows == ROWS[: len(rows)] and len(rows) > 300 and isinstance(last, BrokenOff)
    as_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-100])
    (tmp_path / "zero.parquet").write_bytes(b"")
    for name in ("t.parquet", "zero.parquet"):
        (only,) = rows_of(tmp_path / name)
        assert isinstance(only, BrokenOff) and "\n" not in only.problem


def test_what_is_no_table_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    (tmp_path / "folder").mkdir()
    for path in ("empty.jsonl", "folder", "missing.jsonl", "*.none"):
        with pytest.raises(UsageError, match=r"^[^\n]+$"):
            list(Table(str(tmp_path / path)).rows())


@given(st.lists(st.binary(max_size=30), max_size=6), st.sampled_from(["t.jsonl", "t.json", "t.csv", "t.json.gz", "t"]))
def test_damaged_bytes_never_end_the_reading(parts: list[bytes], name: str) -> None:
    with TemporaryDirectory() as folder:
        raw = (
            b"\n".join([b'{"a": 1}', *parts, b'{"a": 2}'])
            if "csv" not in name
            else b"a,b\n" + b"\n".join(parts) + b"\n1,2"
        )
        (Path(folder) / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
        found = rows_of(Path(folder) / name)
    assert len(found) <= raw.count(b"\n") + raw.count(b"\r") + 2
    if name in ("t.jsonl", "t"):
        assert found[0] == {"a": 1} and found[-1] == {"a": 2}


@pytest.mark.parametrize(
    ("name", "raw", "rows", "said"),
    [
        ("t.json", json.dumps(ROWS[:3], indent=1) + "\n" + json.dumps(ROWS[:3]), 3, "behind the end"),
        ("t.json", '[{"a": NaN}, {"a": 1} {"a": 2}]', 2, "comma"),
        ("t.jsonl", '[{"a": NaN}, {"a": "\\ud800"}]', 2, None),
        ("t.json", json.dumps({"a": [1, 2], "b": [3, 4]}), 0, "columns, not rows"),
        ("t.json", json.dumps({"messages": [{"role": "user"}]}, indent=1), 1, None),
        ("t.csv", 'a,b\n1,2\n3,"cut o', 1, "never closed"),
        ("t.tsv", 'a\tb\n1\t"a" + 1\n3\t4\n', 1, "is no row"),
        ("t.csv", "a,b\n1\n1,2,3\n\n\n4,5\n", 1, "has 1 values"),
        ("t.csv", b"a,b\n1,caf\xe9\n2,x\n", 1, "not UTF-8"),
    ],
)
def test_what_is_not_whole_is_told(tmp_path: Path, name: str, raw: str | bytes, rows: int, said: str | None) -> None:
    (tmp_path / name).write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    found = rows_of(tmp_path / name)
    told = [row.problem for row in found if not isinstance(row, dict)]
    assert sum(isinstance(row, dict) for row in found) == rows
    assert said in told[0] if said is not None else not told


def test_blank_lines_count(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n\n\n1,2\n")
    assert read(tmp_path / "t.csv") == [(f"{tmp_path / 't.csv'}:4", {"a": "1", "b": "2"})]


def test_arrow_files_of_both_kinds_and_a_cut_stream(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(tmp_path / "file.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert rows_of(tmp_path / "file.arrow") == ROWS
    with pa.OSFile(str(tmp_path / "cut.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=100)
    whole = (tmp_path / "cut.arrow").read_bytes()
    (tmp_path / "cut.arrow").write_bytes(whole[:-8])
    *rows, last = rows_of(tmp_path / "cut.arrow")
    assert rows == ROWS and isinstance(last, BrokenOff)


def test_packed_lines_take_no_time(tmp_path: Path) -> None:
    line = b'{"a": "' + b"x" * 100 + b'"}\n'
    (tmp_path / "t.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(line * 700_000))
    assert sum(1 for _ in Table(str(tmp_path / "t.jsonl.zst")).rows()) == 700_000


@pytest.mark.parametrize("name", ["list.json.gz", "list.jsonl.gz", "lines.json.gz"])
def test_a_break_is_told_in_every_form_of_json(tmp_path: Path, name: str) -> None:
    """Also where the text itself is whole, and only the check sum behind it is wrong."""
    raw = bytearray(gzip.compress(LINES if "lines" in name else json.dumps(ROWS).encode()))
    raw[-8] ^= 0xFF
    (tmp_path / name).write_bytes(raw)
    *rows, last = rows_of(tmp_path / name)
    assert rows == ROWS and isinstance(last, BrokenOff)
