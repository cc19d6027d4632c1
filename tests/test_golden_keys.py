"""Ids and journal keys of a small run, held against recorded ones: a rename that changes a key makes users pay again.

`golden_keys.json` was recorded once. Change it only where something really has another meaning, and say so in the changelog.
Keys that depend on this machine (the interpreter, versions of tools) are computed here from the literal text that they hash.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

import snipmill
from snipmill.records import content_hash
from snipmill.verification.programs import ParsedResponse, parse_response
from tests.conftest import Snipmill, read_lines, write_lines
from tests.standin import StandIn

BANK = Path(__file__).parents[1] / "benchmarks" / "fewshot_banks" / "before"  # the bank when the keys were recorded
GOLDEN = Path(__file__).parent / "golden_keys.json"
LIMITS = '{"timeout":10.0,"memory":1073741824,"output":268435456,"disk":134217728,"tasks":256}'
VERIFY = '{"agreement":true,"repair":"drop","mutation":true,"rerun":true}'
MINING = (
    '{"mine":{"rules":{"allow":[],"max_lines":150,"max_context_lines":60,"max_line_length":200,"min_ascii":0.9,'
    '"denied_modules":["argparse","distutils","matplotlib","os","seaborn","setuptools","subprocess","sys"]},'
    '"kinds":["function"],"licenses":["LicenseRef-ours"]},"types":true,"secrets":true,"benchmarks":[],"languages":[]}'
)
TOOLS = (
    "bc-detect-secrets",
    "identify",
    "license-expression",
    "phonenumberslite",
    "pyrefly",
    "python-stdnum",
    "tree-sitter",
    "tree-sitter-python",
)
CODE = 'def area(width: float, height: float) -> float:\n    """Return the area of a rectangle."""\n    return width * height\n'


@pytest.fixture
def run(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> Path:
    seeds = [{"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(10)]
    write_lines(tmp_path / "seeds.jsonl", *seeds)
    (tmp_path / "c.toml").write_text(
        '[run]\ndir = "run"\nseed = 7\n[seeds]\nsources = ["seeds.jsonl"]\nshuffle = true\n[judge]\nenabled = true\n'
        f'[model]\nbase_url = "{standin.url}"\n[generate]\nsamples = 4\nwave = 2\naccept = 1\n'
        f'fewshot = "{BANK}"\n'
        "[select]\nnear_instructions = 0\nnear_code = 0\n"
    )
    done = snipmill("run", "c.toml")
    assert done.returncode == 0, done.stderr
    return tmp_path / "run"


def journal(run: Path, stage: str) -> list[dict[str, Any]]:
    return read_lines(run / "journal" / f"{stage}.jsonl")


def test_what_was_asked_has_the_recorded_keys(run: Path) -> None:
    found: dict[str, Any] = {
        f"journal/{stage}": sorted(entry["id"] for entry in journal(run, stage))
        for stage in ("judge", "concepts", "instructions", "responses")
    }
    for stage in ("seeds", "judge", "concepts", "instructions", "responses", "execute", "verify", "sanitize"):
        found[f"kept/{stage}"] = [record["id"] for record in read_lines(run / f"{stage}.jsonl")]
        found[f"rejects/{stage}"] = [
            [reject["id"], reject["reason"]] for reject in read_lines(run / f"{stage}.jsonl.rejects.jsonl")
        ]
    # The draws of the style and of the order.
    found["dataset"] = [
        [row["id"], content_hash(row["instruction"], row["response"])] for row in read_lines(run / "dataset.jsonl")
    ]
    assert found == json.loads(GOLDEN.read_text())


def program_key(response: dict[str, Any]) -> str:
    parsed = parse_response(response["response"])
    assert isinstance(parsed, ParsedResponse)
    program = parsed.program
    environment = f"{sys.executable}, Python {platform.python_version()}"
    return f"x-{content_hash(program.source, program.tests_line, LIMITS, 'namespaces', environment, 3)}"


def test_verdicts_and_verifications_have_the_recorded_keys(run: Path) -> None:
    executed = {entry["id"]: entry["outcome"] for entry in journal(run, "execute")}
    by_instruction: dict[str, list[dict[str, Any]]] = {}
    for response in read_lines(run / "responses.jsonl"):
        by_instruction.setdefault(response["parents"]["instruction"], []).append(response)
    assert {program_key(response) for samples in by_instruction.values() for response in samples} == executed.keys()
    expected, asked = set(), set()
    for samples in by_instruction.values():
        programs = [program_key(response) for response in samples]
        context = content_hash(VERIFY, *(executed[program] for program in programs), *programs)
        expected |= {f"v-{content_hash(context, response['id'])}" for response in samples}
        first = [program for program, response in zip(programs, samples, strict=True) if response["sample"] < 2]
        asked |= {f"e-{content_hash(VERIFY, 1, *programs)}", f"e-{content_hash(VERIFY, 1, *first)}"}
    found = {entry["id"] for entry in journal(run, "verify")}
    assert {key for key in found if key.startswith("v-")} == expected
    assert {key for key in found if key.startswith("e-")} <= asked and asked & found


def test_mined_documents_have_the_recorded_keys(tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "shapes.py").write_text(CODE)
    done = snipmill(
        "seeds", "code", "--licenses", "LicenseRef-ours", "--license", "LicenseRef-ours", "--out", "seeds.jsonl"
    )
    assert done.returncode == 0, done.stderr
    (seed,) = read_lines(tmp_path / "seeds.jsonl")
    assert seed["id"] == "s-b720012f2c1ddb6442cb"
    (entry,) = read_lines(tmp_path / "seeds.jsonl.journal.jsonl")
    settings = content_hash(snipmill_version(), platform.python_version(), *map(installed, TOOLS), MINING)
    document = ("shapes.py", "Python", "code", None, "shapes.py", "LicenseRef-ours", False, "")
    content = hashlib.sha256(CODE.encode()).hexdigest()
    digest = hashlib.blake2b(settings.encode() + content_hash(*document, content).encode(), digest_size=10)
    assert entry["id"] == f"b-{digest.hexdigest()}"


def snipmill_version() -> str:
    return snipmill.__version__


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
