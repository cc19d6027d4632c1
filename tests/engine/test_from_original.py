"""The files of the original project go into our commands, and the commands of docs/original.md do what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines
from tests.standin import StandIn

PAGE = Path(__file__).parents[2] / "docs" / "original.md"
CODE = 'def half(x: int) -> int:\n    """Return half of x."""\n    return x // 2\n'


def responses(number: int) -> list[str]:
    """A sample that is right, one that is wrong, and one that breaks off."""
    right = RESPONSE.replace("double", f"double_{number}")
    return [right + "\nI hope this helps!", right.replace("== 4", "== 5"), right.split("[Tests]", maxsplit=1)[0]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A file of each step, in the columns in which the original writes them."""
    seeds, concepts, instructions, samples, filtered = [], [], [], [], []
    for number in range(4):
        code = CODE.replace("half", f"half_{number}")
        base = {"id": 100 + number, "sha1": f"{number:040x}", "data_dir": "python"}
        asked = {"prompt": "## Example 1 ...", "fingerprint": None}
        seeds.append({**base, "content": code} if number % 2 else {**base, "seed": code})
        concepts.append({**asked, **base, "seed": code, "concepts": ["halving", "integers"]})
        instructions.append({**concepts[-1], "instruction": f"Write a function that doubles, variant {number}."})
        samples.append({**instructions[-1], "parsing_result": [{"response": one} for one in responses(number)]})
        filtered.append({**instructions[-1], "response": responses(number)[0]})
    for name, rows in {
        "seeds": seeds,
        "concept_gen": concepts,
        "instruction_gen": instructions,
        "response_gen": samples,
        "filtered": filtered,
    }.items():
        write_lines(tmp_path / f"{name}.jsonl", *rows)
    return tmp_path


def commands() -> list[list[str]]:
    """The command lines of the first table of the page."""
    table = PAGE.read_text().partition("## Options")[0]
    return [shlex.split(found)[1:] for found in re.findall(r"\| `(snipmill [^`]+)` \|$", table, re.MULTILINE)]


def test_each_command_of_the_page_takes_the_file_of_the_original(
    files: Path, standin: StandIn, snipmill: Snipmill
) -> None:
    assert [one[0] for one in commands()] == [
        *("concepts", "instructions", "responses", "execute", "verify", "sanitize", "select", "sanitize", "audit")
    ]
    made: dict[str, list[dict[str, Any]]] = {}
    for command in commands():
        done = snipmill(*command, OPENAI_BASE_URL=standin.url)
        assert done.returncode == 0, (command, done.stderr)
        if "--out" in command:
            out = command[command.index("--out") + 1]
            made[out] = read_lines(files / out)
    counts = {name: len(rows) for name, rows in made.items()}
    assert counts["concepts.jsonl"] == counts["instructions.jsonl"] == 4 and counts["responses.jsonl"] > 10
    assert (
        counts["executed.jsonl"] == counts["sanitized.jsonl"] == counts["cleaned.jsonl"] == counts["smart.jsonl"] == 4
    )
    for name, rows in made.items():
        assert {row["source_id"] for row in rows} == {100, 101, 102, 103}, name
        assert all(row["sha1"] and row["language"] == "Python" and "parsing_result" not in row for row in rows), name
        asks = name in ("concepts.jsonl", "instructions.jsonl", "responses.jsonl")
        assert not asks or not any("prompt" in row or "fingerprint" in row for row in rows), name
    assert all(row["seed"].startswith("def half_") and "content" not in row for row in made["concepts.jsonl"])


def test_a_part_of_a_file_and_going_on(files: Path, standin: StandIn, snipmill: Snipmill) -> None:
    part = ("concepts", "seeds.jsonl", "--out", "part.jsonl", "--start", 1, "--limit", 2)
    assert snipmill(*part, OPENAI_BASE_URL=standin.url).returncode == 0
    assert [row["source_id"] for row in read_lines(files / "part.jsonl")] == [101, 102]
    asked = len(standin.requests)
    again = snipmill(*part, OPENAI_BASE_URL=standin.url)
    assert again.returncode == 0 and len(standin.requests) == asked and "known already" in again.stderr


def test_the_words_of_its_few_shot_text_stand_in_the_prompts(files: Path, standin: StandIn, snipmill: Snipmill) -> None:
    text = "### System: I->R\nSolve.\n\n### System: C->I\nWrite.\n\n### System: S->C\nRead.\n\n" + "".join(
        f"### Example {number}\n[Code]\n{CODE}\n[Property]\ncategory: code generation (function implementation)\nlanguage: Python\n"
        f"concepts: halving\ndifficulty: easy\n\n[Instruction]\nHalve it, variant {number}.\n\n[Solution]\ndone\n\n[Response]\n{RESPONSE}\n\n"
        for number in range(1, 3)
    )
    (files / "few.txt").write_text(text)
    done = snipmill(
        *("instructions", "concept_gen.jsonl", "--out", "i.jsonl", "--shots", 2, "--set", "generate.fewshot=few.txt"),
        *("--set", "generate.categories=function"),
        OPENAI_BASE_URL=standin.url,
    )
    assert done.returncode == 0, done.stderr
    prompts = [
        json.dumps(request["prompt"]) for request in standin.requests if "Property" in str(request.get("prompt"))
    ]
    assert len(prompts) == 4
    assert all(prompt.count("category: code generation (function implementation)") == 3 for prompt in prompts)
    assert {row["category"] for row in read_lines(files / "i.jsonl")} == {"function"}
