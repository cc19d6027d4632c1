"""End to end with the real embedded model, on real functions of the standard library: a few only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from snipmill.config_model import ModelTable
from snipmill.errors import ModelUnavailable
from snipmill.llm.connect import Connection, connect
from snipmill.llm.request import Request
from snipmill.llm.weights import find_weights
from snipmill.prompts.review import likelihood_prompt, mean
from snipmill.stages.fewshot_files import load_reviewing
from tests.conftest import Snipmill, read_lines

pytestmark = pytest.mark.model


def test_from_the_standard_library_to_rows(snipmill: Snipmill, tmp_path: Path) -> None:
    done = snipmill("quickstart", "--dir", "q", "--limit", 1, "--enough", 1, "--samples", 2, "--seed", 1)
    assert done.returncode == 0, done.stderr
    for seed in read_lines(tmp_path / "q" / "seeds.jsonl"):
        assert seed["provenance"]["license"] == "PSF-2.0"
    concepts = read_lines(tmp_path / "q" / "concepts.jsonl")
    assert concepts and all(record["concepts"] for record in concepts)
    instructions = read_lines(tmp_path / "q" / "instructions.jsonl")
    assert instructions and all(len(str(record["instruction"])) > 20 for record in instructions)
    responses = read_lines(tmp_path / "q" / "responses.jsonl")
    dropped = read_lines(tmp_path / "q" / "responses.jsonl.rejects.jsonl")
    assert len(responses) + len(dropped) == 2 * len(instructions)
    for row in read_lines(tmp_path / "q" / "dataset.jsonl"):
        assert row["verdict"]["checks_executed"] >= 1
    journal = (tmp_path / "q" / "journal" / "responses.jsonl").read_text()
    again = snipmill("quickstart", "--dir", "q", "--limit", 1, "--enough", 1, "--samples", 2, "--seed", 1)
    assert again.returncode == 0
    assert (tmp_path / "q" / "journal" / "responses.jsonl").read_text() == journal


def test_the_embedded_engine_tells_how_likely_a_task_is_given_code() -> None:
    """Right code makes its task likelier than code that does something else."""
    task = "Write a function that reverses a list."

    async def likelihood(connection: Connection, body: str) -> float:
        prompt = likelihood_prompt(f"def f(items):\n    {body}", load_reviewing(), 0)
        answer = await connection.fleet.complete(Request(prompt, connection.model, 1, 0.0, 0, scored=task))
        assert isinstance(answer, list) and len(answer[0].scores) > 5, connection.fleet.notes
        return mean(answer[0].scores)

    async def go() -> list[float]:
        async with connect(ModelTable(context=512, concurrency=1)) as connection:
            return [await likelihood(connection, body) for body in ("return items[::-1]", "return max(items)")]

    right, other = asyncio.run(go())
    assert right > other


def test_weights_that_are_not_the_publisher_s_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snipmill.llm import weights

    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_weights().path.is_relative_to(tmp_path)
    wrong = weights.Packaged(
        name="wrong",
        packages=weights.QWEN_05B.packages[:1],
        pattern=weights.QWEN_05B.pattern,
        size=1,
        sha256="0" * 64,
        license="x",
    )
    monkeypatch.setitem(weights.KNOWN, "wrong", wrong)
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        find_weights("wrong")
    with pytest.raises(ModelUnavailable, match="no model file"):
        find_weights(str(tmp_path / "x.gguf"))
    for name in ("base", "tuned"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.gguf").write_text(name)
    assert len({find_weights(str(tmp_path / name / "model.gguf")).name for name in ("base", "tuned")}) == 2
    with pytest.raises(ModelUnavailable, match="no model 'y'"):
        find_weights("y")
