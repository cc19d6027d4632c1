"""Any row and any bytes in the file of any command: it costs itself at most, and never its neighbours or the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snipmill.config import Config, GenerateTable, ReviewTable, RunTable, SelectTable
from snipmill.config_model import ModelTable
from snipmill.engine.audit import audit_file
from snipmill.engine.by_hand import execute_file, generate_file, review_file, verify_file
from snipmill.engine.files import Files
from snipmill.engine.rows_by_hand import sanitize_file, select_file
from snipmill.records import Execution, Row
from snipmill.stages.spec import GENERATING
from snipmill.stages.stage_count import StageCount
from snipmill.verification.data_sets import Columns
from tests.conftest import RESPONSE
from tests.standin import StandIn

OURS = sorted(
    {*Row.__struct_encode_fields__, *Execution.__struct_encode_fields__, "source_id", "parsing_result", "content"}
)
TEXT = st.text(max_size=8) | st.sampled_from(
    ["\ud800", "\udfff x", "\x00", "\u2028", RESPONSE, "[Tests]", "```python\n\ud800\n```"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
NAMES = (
    st.sampled_from(OURS) | st.sampled_from(["prompt", "fingerprint", "data_dir", "messages", "tests", "stars"]) | TEXT
)
GOOD = {"seed": "def f(x): return x", "concepts": ["a"], "instruction": "Double it.", "response": RESPONSE}
ROWS = st.dictionaries(NAMES, VALUES, max_size=5).map(lambda odd: {**GOOD, **odd})
LINES = (
    ROWS.map(lambda row: json.dumps(row).encode())
    | ROWS.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b" "))
)


def damaged(line: bytes, at: int, byte: int) -> bytes:
    """A line in which one byte is another."""
    raw = bytearray(line)
    if raw and byte != 10:
        raw[at % len(raw)] = byte
    return bytes(raw)


FILES = st.lists(LINES | st.builds(damaged, LINES, st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=10)
Command = Callable[[Files, StageCount], Any]
SELECT = SelectTable(near_instructions=0.7, near_code=0.7, name_diversity=True)


NEIGHBOURS: tuple[tuple[str, Callable[[list[bytes]], str]], ...] = (
    ("first_neighbour", lambda _: ":1"),
    ("last_neighbour", lambda lines: f":{len(lines) + 2}"),
)


def sentinels(**more: Any) -> list[dict[str, Any]]:
    """Good rows, one before and one behind the others: both must come out, or be dropped for a reason of their own."""
    return [
        {**GOOD, **more, "id": name, "instruction": f"Do {name}.", "response": RESPONSE.replace("double", name)}
        for name in ("first_neighbour", "last_neighbour")
    ]


def run(
    command: Command, lines: list[bytes], **more: Any
) -> tuple[StageCount, list[dict[str, Any]], list[dict[str, Any]]]:
    first, last = (json.dumps(row).encode() for row in sentinels(**more))
    with TemporaryDirectory() as folder:
        files = Files(str(Path(folder) / "in.jsonl"), str(Path(folder) / "out.jsonl"))
        Path(files.source).write_bytes(b"\n".join([first, *lines, last]) + b"\n")
        count = StageCount()
        command(files, count)
        kept = [json.loads(line) for line in Path(files.out).read_bytes().decode("utf-8").split("\n") if line]
        dropped = [
            json.loads(line) for line in Path(f"{files.out}.rejects.jsonl").read_bytes().decode("utf-8").splitlines()
        ]
    return count, kept, dropped


def check(command: Command, lines: list[bytes], **more: Any) -> None:
    count, kept, dropped = run(command, lines, **more)
    names = {str(record["id"]) for record in kept}
    names |= {str(value) for record in kept for value in (record.get("parents") or {}).values()}
    # A model may answer to a neighbour with nothing that can be used: that is no fault of the odd rows.
    names |= {
        name
        for name, line in NEIGHBOURS
        for one in dropped
        if one["stage"] in GENERATING and one["where"].endswith(line(lines))
    }
    assert {"first_neighbour", "last_neighbour"} <= names, dropped
    # A row with `parsing_result` holds as many as the list; all others are one.
    many = sum(line.count(b"parsing_result") * 8 for line in lines)
    assert len(kept) + len(dropped) <= 2 + len(lines) + many
    assert count.came_in == len(kept) + len(dropped)
    assert all(reject["reason"] and reject["detail"] and reject["where"] for reject in dropped), dropped


@settings(max_examples=120)
@given(FILES, st.sampled_from(["raw", "plain", "smart", "codeonly"]))
def test_sanitize(lines: list[bytes], style: Any) -> None:
    check(lambda files, count: sanitize_file(files, Config(select=SelectTable(style=style)), count), lines)


@settings(max_examples=60)
@given(FILES)
def test_select(lines: list[bytes]) -> None:
    check(lambda files, count: select_file(files, Config(select=SELECT), count), lines)


@settings(max_examples=10)
@given(FILES)
def test_execute(lines: list[bytes]) -> None:
    check(lambda files, count: asyncio.run(execute_file(files, Config(), count, lambda _: None)), lines)


@settings(max_examples=8)
@given(FILES)
def test_verify(lines: list[bytes]) -> None:
    # A row of a data set by its columns is refused as a whole, by design: the command is another one then.
    rows = [line for line in lines if not all(word in line for word in (b"style", b"verdict", b"verification"))]
    check(lambda files, count: asyncio.run(verify_file(files, Config(), count, lambda _: None)), rows)


@settings(max_examples=8)
@given(FILES)
def test_audit(lines: list[bytes]) -> None:
    first, last = (json.dumps(row).encode() for row in sentinels())
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / "in.jsonl", Path(folder) / "found.jsonl"
        path.write_bytes(b"\n".join([first, *lines, last]) + b"\n")
        audit = asyncio.run(audit_file(str(path), str(out), Columns(), Config(), StageCount(), lambda _: None))
        found = [json.loads(line) for line in out.read_bytes().decode("utf-8").split("\n") if line]
    assert audit.rows == len(found) <= 2 + len(lines)
    assert {row["id"]: row["finding"] for row in found if "neighbour" in row["id"]}.keys() == {
        "first_neighbour",
        "last_neighbour",
    }
    assert found[0]["finding"] == found[-1]["finding"] == "holds"


@pytest.fixture(scope="module")
def server() -> Any:
    with StandIn() as standin:
        yield standin


@pytest.mark.parametrize("stage", ["concepts", "instructions", "responses", "assertions"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lines=FILES)
def test_generation(server: StandIn, stage: str, lines: list[bytes]) -> None:
    config = Config(
        run=RunTable(seed=1), model=ModelTable(base_url=server.url, name="stand-in"), generate=GenerateTable(samples=1)
    )
    check(lambda files, count: asyncio.run(generate_file(stage, files, config, count, lambda _: None)), lines)


VERIFIED = {"verdict": {"status": "passed"}, "verification": {"samples": 2, "passed": 1}}


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lines=FILES, odd=st.lists(ROWS.map(lambda row: json.dumps({**row, **VERIFIED}).encode()), max_size=4))
def test_review(server: StandIn, lines: list[bytes], odd: list[bytes]) -> None:
    config = Config(model=ModelTable(base_url=server.url, name="stand-in"), review=ReviewTable(evidence="both"))
    command: Command = lambda files, count: asyncio.run(review_file(files, config, count, lambda _: None))  # noqa: E731
    check(command, [*lines, *odd], **VERIFIED)
