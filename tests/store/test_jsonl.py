from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from snipmill.errors import StoreError, UsageError
from snipmill.records import Record, Reject, Response, Seed
from snipmill.store.jsonl import Writer, read_records
from tests.conftest import RESPONSE, read_lines

GOOD = b'{"id": "s-1", "seed": "x = 1"}\n'


def read(path: Path, kind: type[Record] = Seed) -> tuple[list[Record], list[Reject]]:
    everything = list(read_records(str(path), kind, "test"))
    return [r for r in everything if not isinstance(r, Reject)], [r for r in everything if isinstance(r, Reject)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json\n", "not-json"),
        (b'{"id": "s-2", "seed": "tru', "not-json"),
        (b"\xff\xfe\n", "not-json"),
        (b"[1, 2]\n", "not-an-object"),
        (b"null\n", "not-an-object"),
        (b'{"seed": 3}\n', "wrong-type"),
        (b'{"seed": null}\n', "missing-field"),
        (b'{"other": "x"}\n', "missing-field"),
        (b"[" * 100_000 + b"\n", "not-json"),
    ],
)
def test_one_bad_line_is_one_reject_with_its_place(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(GOOD + b"\n  \n" + line)
    kept, rejects = read(path)
    assert len(kept) == 1
    (reject,) = rejects
    assert (reject.reason, reject.id) == (reason, f"{path}:4")
    assert f"{path}:4" in reject.detail


def test_odd_but_good_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    big = json.dumps({"seed": "y" * 5_000_000})
    path.write_text('{"seed": "a\\u0000b"}\n{"seed": "\\ud800"}\n{"seed": "x", "seed": "z", "extra": [1]}\n' + big)
    kept, rejects = read(path)
    assert not rejects
    assert [len(record.seed) for record in kept if isinstance(record, Seed)] == [3, 1, 1, 5_000_000]
    with Writer[Record](tmp_path / "out.jsonl") as out:
        for record in kept:
            out.write(record)
    assert read_lines(tmp_path / "out.jsonl")[1]["seed"] == "?"


def test_files_that_are_none_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n\n")
    for name, said in (("nowhere", "no file"), (".", "folder"), ("empty", "empty")):
        with pytest.raises(UsageError, match=said):
            read(tmp_path / name)


def test_samples_of_the_original_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    row = {
        "seed": "s",
        "concepts": ["c"],
        "instruction": "i",
        "parsing_result": [{"response": RESPONSE}, {"response": "b"}, 7],
    }
    path.write_text(json.dumps(row))
    kept, rejects = read(path, Response)
    assert [(r.sample, r.instruction) for r in kept if isinstance(r, Response)] == [(0, "i"), (1, "i")]
    assert len({record.id for record in kept}) == 2
    assert [reject.reason for reject in rejects] == ["wrong-type"]


def test_start_and_limit(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"seed": str(n)}) + "\n" for n in range(10)))
    records = read_records(str(path), Seed, "test", start=3, limit=2)
    assert [record.seed for record in records if isinstance(record, Seed)] == ["3", "4"]


def test_a_failed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    with pytest.raises(RuntimeError), Writer[Record](target) as out:
        out.write(Seed(id="s", seed="x"))
        raise RuntimeError
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]
    with pytest.raises(StoreError, match="folder"):
        Writer(tmp_path)


def test_a_full_disk_is_said_to_be_full() -> None:
    out = Writer[Record]("-")
    with open("/dev/full", "wb", buffering=0) as full:
        out._handle = full
        with pytest.raises(StoreError, match="space"):
            out.write(Seed(id="s", seed="x"))


def test_columns_that_are_not_ours_are_carried_along_as_they_were(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    foreign = {"stars": 3, "note": "\ud800", "nothing": None, "big": 10**30, "deep": deep, "other": {"id": "x"}}
    path.write_text(json.dumps({"seed": "x", **foreign}) + "\n" + GOOD.decode())
    for source, target in ((path, out), (out, tmp_path / "again.jsonl")):
        with Writer[Record](target) as writer:
            for record in read_records(str(source), Seed, "test"):
                writer.write(record)
    first, second = read_lines(out)
    assert {key: first[key] for key in foreign} == {**foreign, "note": "?"}
    assert set(second) == {"id", "seed", "language", "provenance", "judge"}
    assert out.read_bytes() == (tmp_path / "again.jsonl").read_bytes()


def test_a_column_nested_without_end_is_one_reject(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = ['{"seed": "x", "deep": ' + "[" * depth + "]" * depth + "}\n" for depth in (10, 900, 960, 990, 100_000)]
    path.write_text("".join(lines))
    kept, rejects = read(path)
    assert len(kept) + len(rejects) == 5
    assert {reject.reason for reject in rejects} <= {"wrong-type", "not-json"}
    assert len(rejects) >= 1


def test_what_is_no_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    seed = Seed(id="s-1", seed="x = 1")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "out")
    with Writer[Seed](tmp_path / "link") as out:
        out.write(seed)
    assert (tmp_path / "link").is_symlink() and len(read_lines(tmp_path / "there" / "out")) == 1
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with Writer[Seed](tmp_path / "pipe") as out:
        out.write(seed)
    assert os.read(reader, 1 << 16).endswith(b"\n") and (tmp_path / "pipe").is_fifo()
    os.close(reader)
