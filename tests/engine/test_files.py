"""What the commands by hand do with files of others: every row has its place, its id and its columns, or a reject that says so."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines

GOOD = {"instruction": "Double.", "response": RESPONSE}
BAD = {"instruction": "Double it.", "response": "No sections."}


def test_rejects_name_the_place_in_files_of_every_kind(tmp_path: Path, snipmill: Snipmill) -> None:
    rows = [{"id": 7, **GOOD}, {"id": 8, **BAD}]
    write_lines(tmp_path / "t.jsonl", *rows)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    (tmp_path / "t.csv").write_text(
        "id,instruction,response\n" + "".join(f'{r["id"]},{r["instruction"]},"{r["response"]!s}"\n' for r in rows)
    )
    line = 3 + RESPONSE.count("\n")
    places = {"t.jsonl": ":2", "t.parquet": ", row 2", "t.json.gz": ", row 2", "t.csv": f":{line}"}
    for name, place in places.items():
        for command in ("sanitize", "execute"):
            done = snipmill(command, name, "--out", "out.jsonl")
            assert done.returncode == 0, done.stderr
            (kept,) = read_lines(tmp_path / "out.jsonl")
            (dropped,) = read_lines(tmp_path / "out.jsonl.rejects.jsonl")
            assert dropped["where"] == f"{name}{place}", (name, command)
            assert kept.get("source_id") == (None if "csv" in name else 7)
            assert kept["id"] == "7" or kept["id"].startswith("r-")


def test_an_id_of_the_user_s_may_name_many_rows(tmp_path: Path, snipmill: Snipmill) -> None:
    """Samples of one task often share its id: each is a record of its own, and only a repetition is dropped."""
    answers = [RESPONSE, RESPONSE.replace("It multiplies.", "So."), RESPONSE]
    write_lines(tmp_path / "t.jsonl", *({"id": "task-1", "instruction": "Double.", "response": one} for one in answers))
    assert snipmill("sanitize", "t.jsonl", "--out", "out.jsonl").returncode == 0
    first, second = read_lines(tmp_path / "out.jsonl")
    assert first["id"] == "task-1" and "source_id" not in first
    assert second["id"].startswith("r-") and second["source_id"] == "task-1"
    (dropped,) = read_lines(tmp_path / "out.jsonl.rejects.jsonl")
    assert (
        dropped["reason"] == "duplicate-record" and dropped["where"] == "t.jsonl:3" and "t.jsonl:1" in dropped["detail"]
    )


def test_what_an_earlier_request_said_does_not_stand_in_what_comes_next(tmp_path: Path, snipmill: Snipmill) -> None:
    later = {"verification": {"samples": 1}, "style": "raw", "stars": 5}
    write_lines(tmp_path / "t.jsonl", {**GOOD, **later, "verdict": {"status": "failed"}})
    assert snipmill("execute", "t.jsonl", "--out", "out.jsonl").returncode == 0
    (kept,) = read_lines(tmp_path / "out.jsonl")
    assert kept["verdict"]["status"] == "passed" and kept["stars"] == 5
    assert kept.get("verification") is None and "style" not in kept


def test_a_shard_that_breaks_off_costs_its_end_alone(tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "shards").mkdir()
    many = "".join(json.dumps({"id": f"a{n}", **GOOD, "noise": str(hash(str(n)))}) + "\n" for n in range(3000)).encode()
    packed = gzip.compress(many)
    (tmp_path / "shards" / "1.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    write_lines(tmp_path / "shards" / "2.jsonl", *({"id": f"b{n}", **GOOD} for n in range(10)))
    done = snipmill("sanitize", "shards", "--out", "out.jsonl")
    assert done.returncode == 7 and "1 input file breaks off" in done.stderr, done.stderr
    ids = [row["id"] for row in read_lines(tmp_path / "out.jsonl")]
    assert ids[-10:] == [f"b{n}" for n in range(10)] and len(ids) > 1000 and ids[:3] == ["a0", "a1", "a2"]
    (dropped,) = read_lines(tmp_path / "out.jsonl.rejects.jsonl")
    assert dropped["reason"] == "damaged-file" and dropped["where"].startswith("shards/1.jsonl.gz:")


def test_rejects_take_no_other_file_s_place(tmp_path: Path, snipmill: Snipmill) -> None:
    write_lines(tmp_path / "t.jsonl", GOOD, BAD)
    before = (tmp_path / "t.jsonl").read_bytes()
    for rejects, out in (("o.jsonl", "o.jsonl"), ("t.jsonl", "o.jsonl"), ("-", "-")):
        done = snipmill("sanitize", "t.jsonl", "--out", out, "--rejects", rejects)
        assert done.returncode == 2 and "cannot hold the rejects" in done.stderr
    assert (tmp_path / "t.jsonl").read_bytes() == before
    assert snipmill("sanitize", "t.jsonl", "--out", "t.jsonl").returncode == 0  # in place is fine
    assert len(read_lines(tmp_path / "t.jsonl")) == 1
