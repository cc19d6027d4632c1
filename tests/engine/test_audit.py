"""`snipmill audit` on data sets of several shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines


def findings(stderr: str) -> dict[str, int]:
    found = {}
    for line in stderr.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1].replace(",", "").isdigit() and words[2].endswith("%"):
            found[words[0]] = int(words[1])
    return found


def test_four_section_rows(tmp_path: Path, snipmill: Snipmill) -> None:
    other = "def triple(x):\n    return 3 * x\n"
    response = "[Reasoning]\nSo.\n\n[Implementation]\n```python\n{code}```\n\n[Explanation]\nSo.\n\n[Tests]\n```python\n{tests}\n```"
    rows = [
        {"instruction": "Good one.", "response": RESPONSE, "stars": 5},
        {"instruction": "A wrong one.", "response": response.format(code=other, tests="assert triple(2) == 7")},
        {
            "instruction": "Proves nothing.",
            "response": response.format(code="def z(x):\n    return 1\n", tests="assert 1 == 1"),
        },
        {"instruction": "Good one.", "response": response.format(code=other, tests="assert triple(2) == 6")},
        {"instruction": "No text."},
    ]
    write_lines(tmp_path / "data.jsonl", *rows)
    done = snipmill("audit", "data.jsonl", "--out", "found.jsonl")
    assert done.returncode == 1, done.stderr
    found = findings(done.stderr)
    assert (found["holds"], found["failed"], found["vacuous"], found["duplicate"], found["unreadable"]) == (
        2,
        1,
        1,
        1,
        1,
    )
    assert "4 of 5 rows are bad" in done.stderr
    lines = read_lines(tmp_path / "found.jsonl")
    assert [line["finding"] for line in lines] == ["holds", "failed", "vacuous", "holds", "unreadable"]
    assert lines[0]["mutants"] > 0 and lines[0]["lines"] == 1.0
    assert snipmill("audit", "data.jsonl", "--allow", 0.9).returncode == 0


def test_plain_code_and_tests_in_columns_of_their_own(tmp_path: Path, snipmill: Snipmill) -> None:
    code = "def add(a, b):\n    return a + b"
    write_lines(
        tmp_path / "plain.jsonl",
        {
            "task": "Add.",
            "answer": f"Here:\n```python\n{code}\n```\n",
            "unit_tests": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
        },
        {"task": "Add two.", "answer": code, "unit_tests": "assert add(1, 2) == 4"},
    )
    columns = ["--instruction-column", "task", "--response-column", "answer"]
    done = snipmill("audit", "plain.jsonl", *columns, "--tests-column", "unit_tests")
    assert (findings(done.stderr)["holds"], findings(done.stderr)["failed"]) == (1, 1), done.stderr
    text = f"```python\n{code}\n```\nTests:\n```python\nassert add(2, 2) == 4\nassert add(1, 2) == 3\n```\n"
    write_lines(
        tmp_path / "blocks.jsonl", {"instruction": "Add.", "response": text}, {"instruction": "Add?", "response": "No."}
    )
    done = snipmill("audit", "blocks.jsonl")
    assert done.returncode == 0, done.stderr
    assert (findings(done.stderr)["holds"], findings(done.stderr)["no-tests"]) == (1, 1)
    assert "1 of 2 rows could not be judged" in done.stderr
    write_lines(tmp_path / "prose.jsonl", {"instruction": "Add?", "response": "No."})
    done = snipmill("audit", "prose.jsonl")
    assert done.returncode == 1 and "Not one row was verified" in done.stderr


def test_parquet_and_bad_input(tmp_path: Path, snipmill: Snipmill) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist([{"instruction": "Good one.", "response": RESPONSE, "n": 1}])
    parquet.write_table(table, tmp_path / "data.parquet")
    done = snipmill("audit", "data.parquet")
    assert done.returncode == 0 and findings(done.stderr)["holds"] == 1, done.stderr
    assert snipmill("audit", "nowhere.jsonl").returncode == 2
    missing = snipmill("audit", "data.parquet", "--response-column", "answer")
    assert missing.returncode == 1 and "answer" in missing.stderr and "instruction, n, response" in missing.stderr
    (tmp_path / "bad.parquet").write_text(json.dumps({"no": "parquet"}))
    assert snipmill("audit", "bad.parquet").returncode == 2


def test_tests_in_other_layouts_and_in_none(tmp_path: Path, snipmill: Snipmill) -> None:
    code = "def inc(x):\n    return x + 1\n"
    rows: list[dict[str, Any]] = [
        {"tests": "from solution import inc\n\ndef test_inc():\n    assert inc(1) == 2\n"},
        {"tests": "def check(candidate):\n    assert candidate(2) == 3\n", "entry": "inc"},
        {"tests": ["assert inc(3) == 4"]},
        {"tests": {"fn_name": "inc", "inputs": [[4]], "outputs": [5]}},
        {"tests": "expect(inc(1)).toBe(2) for all x > 0;"},
        {"tests": "assert inc(5) == 7"},
        {"tests": "assert inc(6) == 7\n\ndef tets_more():\n    assert inc(7) == 8\n"},
        {"tests": ""},
        {"tests": 7},
        {"tests": None},
    ]
    data = [
        {"id": f"r{n}", "instruction": f"Increment {n}.", "response": f"# {n}\n{code}", "entry": "", **row}
        for n, row in enumerate(rows)
    ]
    write_lines(tmp_path / "data.jsonl", *data)
    done = snipmill(
        "audit", "data.jsonl", "--tests-column", "tests", "--entry-point-column", "entry", "--out", "found.jsonl"
    )
    found = {line["id"]: line["finding"] for line in read_lines(tmp_path / "found.jsonl")}
    assert [found[f"r{n}"] for n in range(8)] == [
        *["holds"] * 4,
        "unknown-tests",
        "failed",
        "vacuous",
        "no-tests",
    ], done.stderr
    assert done.stderr.count("unknown-tests") == 1 and "could not be judged" in done.stderr


def test_execute_takes_tests_from_a_column(tmp_path: Path, snipmill: Snipmill) -> None:
    write_lines(
        tmp_path / "data.jsonl",
        {
            "id": "a",
            "instruction": "Double.",
            "response": "n = int(input())\nprint(2 * n)\n",
            "io": {"inputs": ["3\n"], "outputs": ["6"]},
        },
        {
            "id": "b",
            "instruction": "Triple.",
            "response": "n = int(input())\nprint(2 * n)\n",
            "io": '{"inputs": ["3"], "outputs": ["9"]}',
        },
        {"id": "c", "instruction": "Again.", "response": "No code here, sorry.", "io": "what?"},
        {"id": "d", "instruction": "Again.", "response": "```python\nx = 1\n```", "io": None},
    )
    done = snipmill("execute", "data.jsonl", "--tests-column", "io", "--out", "out.jsonl")
    assert done.returncode == 0, done.stderr
    (kept,) = read_lines(tmp_path / "out.jsonl")
    assert (kept["id"], kept["verdict"]["checks_executed"], kept["io"]["inputs"]) == ("a", 1, ["3\n"])
    rejects = {line["id"]: line for line in read_lines(tmp_path / "out.jsonl.rejects.jsonl")}
    assert {name: line["reason"] for name, line in rejects.items()} == {
        "b": "failed",
        "c": "unknown-tests",
        "d": "no-tests",
    }
    assert "expected '9'" in rejects["b"]["detail"]
