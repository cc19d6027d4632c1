"""`snipmill audit` on data sets of several shapes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snipmill.verification.data_sets import LAYOUTS, layout_named
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
    assert missing.returncode == 2 and "answer" in missing.stderr and "instruction, n, response" in missing.stderr
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


INC, WRONG_INC = "def inc(x):\n    return x + 1\n", "def inc(x):\n    return x - 1\n"
BLOCK, WRONG_BLOCK = (f"Here it is.\n\n```python\n{code}```\n" for code in (INC, WRONG_INC))
CHECK, DIALOGUE = "def check(candidate):\n    assert candidate(1) == 2\n", {"inputs": ["3\n"], "outputs": ["4\n"]}
SCRIPT, WRONG_SCRIPT = "print(int(input()) + 1)\n", "print(int(input()) - 1)\n"
BODY, WRONG_BODY = "    return x + 1\n", "    return x - 1\n"


def chat(answer: str, role: str = "role", text: str = "content") -> list[dict[str, str]]:
    human, model = ("user", "assistant") if role == "role" else ("human", "gpt")
    return [{role: "system", text: "Be brief."}, {role: human, text: "Increment."}, {role: model, text: answer}]


# The columns of published data sets, each with an answer that is right and one that is wrong.
SETS: dict[str, list[dict[str, Any]]] = {
    "instruction-response": [
        {"instruction": "Increment.", "response": answer, "tests": "assert inc(1) == 2"} for answer in (BLOCK, WRONG_BLOCK)
    ],
    "kodcode": [
        {"question": "Increment.", "solution": code, "test_code": "from solution import inc\n\ndef test_inc():\n    assert inc(1) == 2\n"}
        for code in (INC, WRONG_INC)
    ],
    "kodcode-r1": [
        {"question": "Increment.", "solution": "x", "r1_solution": code, "test_code": "from solution import inc\nassert inc(1) == 2\n"}
        for code in (INC, WRONG_INC)
    ],
    "kodcode-test": [
        {"question": "Increment.", "solution": code, "test": "from solution import inc\nassert inc(1) == 2\n"}
        for code in (INC, WRONG_INC)
    ],
    "opencodeinstruct": [
        {"input": "Increment.", "output": answer, "unit_tests": '["\\nassert inc(1) == 2\\n"]'} for answer in (BLOCK, WRONG_BLOCK)
    ],
    "apps": [
        {"question": "Increment.", "solutions": json.dumps([code, "nonsense("]), "input_output": json.dumps(DIALOGUE)}
        for code in (SCRIPT, WRONG_SCRIPT)
    ],
    "problem-io": [
        {"problem": "Increment.", "solution": code, "input_output": json.dumps(DIALOGUE)} for code in (SCRIPT, WRONG_SCRIPT)
    ],
    "codecontests": [
        {
            "description": "Increment.",
            "solutions": {"language": [2, 3], "solution": ["int main() {}", code]},
            "public_tests": {"input": ["3"], "output": ["4"]},
            "private_tests": {"input": ["5"], "output": ["6"]},
        }
        for code in (SCRIPT, WRONG_SCRIPT)
    ],
    "humaneval": [
        {"task_id": f"HumanEval/{body}", "prompt": "def inc(x):\n    \"\"\"Increment.\"\"\"\n", "canonical_solution": body,
         "test": CHECK, "entry_point": "inc"}
        for body in (BODY, WRONG_BODY)
    ],
    "leetcode": [
        {"query": "Increment.", "prompt": "from typing import *\n", "completion": code, "entry_point": "inc", "test": CHECK}
        for code in (INC, WRONG_INC)
    ],
    "opencoder": [
        {"instruction": "Increment.", "output": "Long talk.", "code": code, "entry_point": "inc", "testcase": ["assert inc(1) == 2"]}
        for code in (INC, WRONG_INC)
    ],
    "mbpp": [
        {"text": "Increment.", "code": code, "test_setup_code": "two = 2", "test_list": ["assert inc(1) == two"]}
        for code in (INC, WRONG_INC)
    ],
    "mbpp-sanitized": [
        {"prompt": "Increment.", "code": code, "test_imports": ["import math"], "test_list": ["assert math.floor(inc(1)) == 2"]}
        for code in (INC, WRONG_INC)
    ],
    "lbpp": [
        {"instruction": "Increment.", "completion": code, "test_setup": "from code import inc", "test_list": ["assert inc(1) == 2"]}
        for code in (INC, WRONG_INC)
    ],
    "alpaca": [
        {"instruction": "Increment", "input": "x", "output": answer, "tests": ["assert inc(1) == 2"]} for answer in (BLOCK, WRONG_BLOCK)
    ],
    "oss-instruct": [
        {"problem": "Increment.", "solution": answer + "\n```python\nassert inc(1) == 2\n```\n"} for answer in (BLOCK, WRONG_BLOCK)
    ],
    "codefeedback": [
        {"query": "Increment.", "answer": answer, "unit_tests": "assert inc(1) == 2"} for answer in (BLOCK, WRONG_BLOCK)
    ],
    "messages": [{"messages": chat(answer), "tests": "assert inc(1) == 2"} for answer in (BLOCK, WRONG_BLOCK)],
    "conversations": [
        {"conversations": json.dumps(chat(answer, "from", "value")), "test": "assert inc(1) == 2"} for answer in (BLOCK, WRONG_BLOCK)
    ],
    "trl": [
        {"prompt": chat(answer)[:2], "completion": chat(answer)[2:], "tests": "assert inc(1) == 2"} for answer in (BLOCK, WRONG_BLOCK)
    ],
    "input-output": [
        {"input": "Increment.", "output": f"<think>\nHm.\n</think>\n{answer}", "tests": "assert inc(1) == 2"}
        for answer in (BLOCK, WRONG_BLOCK)
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_published_layouts_are_known_by_their_columns(tmp_path: Path, snipmill: Snipmill, name: str) -> None:
    write_lines(tmp_path / "data.jsonl", *SETS[name])
    done = snipmill("audit", "data.jsonl", "--out", "found.jsonl")
    assert f"read as {name}" in done.stderr, done.stderr
    found = read_lines(tmp_path / "found.jsonl")
    assert [line["finding"] in ("holds", "weak") for line in found] == [True, False], (found, done.stderr)
    assert found[1]["finding"] == "failed" and found[1]["where"] == "data.jsonl:2"
    assert layout_named(name).name == name


def test_a_data_set_that_is_not_understood_is_told_once(tmp_path: Path, snipmill: Snipmill) -> None:
    write_lines(tmp_path / "data.jsonl", *({"frage": n, "antwort": n} for n in range(300)))
    done = snipmill("audit", "data.jsonl")
    assert done.returncode == 2 and "its columns are antwort, frage" in done.stderr, done.stderr
    assert "--instruction-column" in done.stderr and len(done.stderr.splitlines()) < 12
    named = snipmill(
        "audit", write_lines(tmp_path / "a.jsonl", *SETS["alpaca"]).name, "--layout", "alpaca", "--allow", 1
    )
    assert named.returncode == 0 and "read as" not in named.stderr, named.stderr
    wrong = snipmill("audit", "data.jsonl", "--layout", "no-such")
    assert wrong.returncode == 2 and "alpaca" in wrong.stderr


def test_shards_a_break_and_standard_input(tmp_path: Path, snipmill: Snipmill) -> None:
    rows = [
        {"instruction": f"Increment {n}.", "response": f"# {n}\n{INC}", "tests": "assert inc(1) == 2"}
        for n in range(40)
    ]
    (tmp_path / "set").mkdir()
    packed = gzip.compress("".join(json.dumps(row) + "\n" for row in rows[:20]).encode() + os.urandom(4000))
    (tmp_path / "set" / "a.jsonl.gz").write_bytes(packed[:-2000])
    write_lines(tmp_path / "set" / "b.jsonl", *rows[20:])
    done = snipmill("audit", "set", "--out", "found.jsonl", "--allow", 1, "--min-mutation", 0)
    assert done.returncode == 7 and "break off" in done.stderr, done.stderr
    found = read_lines(tmp_path / "found.jsonl")
    assert sum(line["finding"] == "holds" for line in found) == 40
    assert sum(line["where"].startswith("set/a.jsonl.gz:") for line in found) >= 20
    piped = snipmill("audit", "-", stdin="".join(json.dumps(row) + "\n" for row in rows[:2]))
    assert piped.returncode == 0 and findings(piped.stderr)["holds"] == 2, piped.stderr


def test_the_documentation_names_every_layout() -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    for layout in LAYOUTS:
        assert f"`{layout.name}`" in page, layout.name


def test_a_data_set_is_not_overwritten_and_odd_rows_end_nothing(tmp_path: Path, snipmill: Snipmill) -> None:
    rows: list[dict[str, Any]] = [
        {"instruction": "Increment.", "output": BLOCK, "unit_tests": "assert inc(1) == 2", "input": ""},
        {"output": "x"},
        {"instruction": "", "output": "x"},
        {"instruction": "Again.", "output": BLOCK, "unit_tests": False},
    ]
    write_lines(tmp_path / "data.jsonl", *rows)
    before = (tmp_path / "data.jsonl").read_bytes()
    done = snipmill("audit", "data.jsonl", "--out", "data.jsonl")
    assert done.returncode == 2 and (tmp_path / "data.jsonl").read_bytes() == before
    done = snipmill("audit", "data.jsonl", "--out", "found.jsonl")
    assert "read as alpaca" in done.stderr and done.returncode == 1, done.stderr
    assert [line["finding"] for line in read_lines(tmp_path / "found.jsonl")] == [
        "holds",
        "unreadable",
        "no-tests",
        "no-tests",
    ]
    empty = write_lines(tmp_path / "empty.jsonl", {"instruction": "", "response": "x"})
    assert snipmill("audit", empty.name).returncode == 1
    wrong = snipmill("audit", "data.jsonl", "--tests-column", "tezts")
    assert wrong.returncode == 2 and "tezts" in wrong.stderr


def test_compressed_rows_from_standard_input(tmp_path: Path) -> None:
    rows = [{"instruction": "Increment.", "response": BLOCK, "tests": "assert inc(1) == 2"}]
    for raw in (gzip.compress((json.dumps(rows[0]) + "\n").encode()), json.dumps(rows, indent=1).encode()):
        done = subprocess.run(
            [sys.executable, "-m", "snipmill", "audit", "-"], input=raw, capture_output=True, check=False
        )
        assert done.returncode == 0 and b"holds" in done.stderr, done.stderr


BENCHMARKS = Path(__file__).parents[3] / "shared" / "benchmarks"


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not here")
def test_the_tasks_of_humaneval_hold(snipmill: Snipmill) -> None:
    only = ("--no-decontaminate", "--min-mutation", 0, "--limit", 12)
    done = snipmill("audit", BENCHMARKS / "HumanEval.jsonl.gz", *only)
    assert done.returncode == 0 and findings(done.stderr) == {"holds": 12}, done.stderr
