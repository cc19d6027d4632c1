"""A thinking model from seed to row over a real llama.cpp server, with traces kept, dropped and cut off."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Snipmill, read_lines, write_lines

pytestmark = pytest.mark.model
ROOT = Path(__file__).parents[2]
SEEDS = (
    'def total(numbers):\n    """Return the sum of the numbers."""\n    result = 0\n    for number in numbers:\n'
    "        result += number\n    return result\n",
)


@pytest.fixture(scope="module")
def thinker() -> Iterator[str]:
    """The address of the server."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.thinking_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None
    yield child.stdout.readline().strip()
    child.stdin.close()
    child.wait(10)


def run_file(folder: Path, url: str, name: str, model: str) -> str:
    write_lines(folder / "seeds.jsonl", *({"seed": seed} for seed in SEEDS))
    (folder / f"{name}.toml").write_text(
        f'[run]\ndir = "{name}"\n[seeds]\nsources = ["seeds.jsonl"]\n'
        "[generate]\nsamples = 1\naccept = 0\ndraws = 1\n"
        'categories = ["function"]\ndifficulties = ["easy"]\nmatch_examples = true\n'
        "[generate.shots]\nconcepts = 3\ninstructions = 3\nresponses = 1\n"
        f'[model]\nbase_url = "{url}"\nprompting = "chat"\nmax_tokens = 300\nconcurrency = 2\n{model}'
        "extra_body = {chat_template_kwargs = {enable_thinking = true}}\n"
        "[model.sampling]\ntemperature = 0.2\n"
    )
    return f"{name}.toml"


def completions(folder: Path, name: str, stage: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name / "journal" / f"{stage}.jsonl").read_text().splitlines()]


def test_traces_are_kept_dropped_and_cut(thinker: str, tmp_path: Path, snipmill: Snipmill) -> None:
    done = snipmill("run", run_file(tmp_path, thinker, "run", ""))
    assert done.returncode == 0, done.stderr
    for stage in ("concepts", "instructions", "responses"):
        for entry in completions(tmp_path, "run", stage):
            assert entry["completion"]["thinking"], entry
            assert "</think>" not in entry["completion"]["text"]
            assert entry["completion"]["usage"]["thinking_tokens"] > 0
    responses = read_lines(tmp_path / "run" / "responses.jsonl")
    assert all(one["thinking"] and one["response"].startswith("[Reasoning]") for one in responses)

    journal = (tmp_path / "run" / "journal" / "responses.jsonl").read_bytes()
    assert snipmill("run", run_file(tmp_path, thinker, "run", "keep_thinking = false\n")).returncode == 0
    assert {one["thinking"] for one in read_lines(tmp_path / "run" / "responses.jsonl")} <= {None}
    assert (tmp_path / "run" / "journal" / "responses.jsonl").read_bytes() == journal

    # The model needs some fourteen tokens for its thought. Its template has begun the thought, so that nothing marks it as one.
    run_file(tmp_path, thinker, "cut", "")
    settings = ("--set", "model.max_thinking_tokens=4", "--max-tokens", "4", "--prompting", "chat", "--shots", "3")
    extra = "model.extra_body.chat_template_kwargs.enable_thinking=true"
    by_hand = ("concepts", "seeds.jsonl", "-o", "cut.jsonl", "--base-url", thinker, *settings, "--set", extra)
    assert snipmill(*by_hand).returncode == 0
    (reject,) = read_lines(tmp_path / "cut.jsonl.rejects.jsonl")
    assert reject["reason"] in ("not-finished", "thinking-not-finished")
    assert "max_thinking_tokens" in reject["detail"]
