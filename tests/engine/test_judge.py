from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from snipmill.llm.answer import DECODER
from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines
from tests.standin import StandIn

CODE = 'def f_{n}(x):\n    """Return x and {n}."""\n    return x + {n}\n'


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "seeds.jsonl", *({"seed": CODE.format(n=n)} for n in range(40)))


@pytest.mark.parametrize("prompting", ["completion", "chat"])
@pytest.mark.parametrize("probable", [True, False])
def test_seeds_are_judged_once_and_the_bar_moves_without_the_model(
    prompting: str, probable: bool, seeds: Path, standin: StandIn, tmp_path: Path, snipmill: Snipmill
) -> None:
    standin.probable = probable
    options = ("--base-url", standin.url, "--prompting", prompting)
    assert snipmill("judge", seeds, "-o", "all", *options, "--threshold", "0").returncode == 0
    everything = read_lines(tmp_path / "all")
    yes, no = (0.75, 0.25) if probable else (1.0, 0.0)
    assert len(everything) == 40 and {record["judge"] for record in everything} == {yes, no}
    assert [record["seed"] for record in everything] == [CODE.format(n=n) for n in range(40)]
    asked = len(standin.requests)
    assert asked == 40 and all(request["temperature"] == 0 for request in standin.requests)
    # The same question is not asked again for another bar, and none at all where the score is in the file.
    assert snipmill("judge", seeds, "-o", "all", *options, "--threshold", "0.6").returncode == 0
    assert len(standin.requests) == asked
    fit = read_lines(tmp_path / "all")
    assert fit == [record for record in everything if record["judge"] > 0.6]
    rejects = read_lines(tmp_path / "all.rejects.jsonl")
    assert {reject["reason"] for reject in rejects} == {"judged-unfit"} and len(fit) + len(rejects) == 40


def test_a_run_judges_first(seeds: Path, standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "c.toml").write_text(
        f'[run]\ndir = "run"\n[seeds]\nsources = ["{seeds}"]\n[judge]\nenabled = true\nthreshold = 0.6\n'
        f'[model]\nbase_url = "{standin.url}"\n[generate]\nsamples = 2\n'
    )
    done = snipmill("run", "c.toml")
    assert done.returncode == 0, done.stderr
    judged = read_lines(tmp_path / "run" / "judge.jsonl")
    refused = read_lines(tmp_path / "run" / "judge.jsonl.rejects.jsonl")
    assert len(judged) + len(refused) == 40 and refused
    concepts = read_lines(tmp_path / "run" / "concepts.jsonl")
    assert {record["parents"]["seed"] for record in concepts} == {record["id"] for record in judged}
    row = read_lines(tmp_path / "run" / "dataset.jsonl")[0]
    shown = snipmill("show", "run", str(row["id"]))
    assert "judge" in shown.stdout and "### Answer" in shown.stdout
    asked = len(standin.requests)
    assert snipmill("run", "c.toml").returncode == 0
    assert len(standin.requests) == asked
    plan = snipmill("status", "run", "--plan")
    assert plan.returncode == 0 and "judge" in plan.stderr


def test_rows_that_cannot_be_executed_are_marked_and_left_out(
    standin: StandIn, tmp_path: Path, snipmill: Snipmill
) -> None:
    rust = "/// Doubles {n}.\nfn double_{n}(x: i32) -> i32 {{ 2 * x }}"
    both = [{"seed": rust.format(n=n), "language": "Rust"} for n in range(6)] + [
        {"seed": CODE.format(n=n)} for n in range(20)
    ]
    write_lines(tmp_path / "seeds.jsonl", *both)
    standin.fenced = "rust"
    text = (
        f'[run]\ndir = "run"\n[seeds]\nsources = ["seeds.jsonl"]\n[model]\nbase_url = "{standin.url}"\n'
        "[generate]\nsamples = 4\n[select]\nunverified = {kept}\n"
    )
    for kept in ("false", "true"):
        (tmp_path / "c.toml").write_text(text.format(kept=kept))
        done = snipmill("run", "c.toml")
        assert done.returncode == 0, done.stderr
        rows = read_lines(tmp_path / "run" / "dataset.jsonl")
        unverified = [row for row in rows if row["language"] == "Rust"]
        assert bool(unverified) is (kept == "true")
        for row in unverified:
            assert row["verdict"]["status"] == "unverified" and "```rust" in row["response"]
            assert row["verification"] is None
        reasons = [reject["reason"] for reject in read_lines(tmp_path / "run" / "select.jsonl.rejects.jsonl")]
        assert ("unverified" in reasons) is (kept == "false")
    prompts = [request["prompt"] for request in standin.requests]
    assert any("language: Rust" in prompt for prompt in prompts)


def test_languages_in_any_spelling_are_what_they_are(tmp_path: Path, snipmill: Snipmill) -> None:
    record = {"instruction": "Double it.", "response": RESPONSE.replace("== 4", "== 5")}
    write_lines(tmp_path / "in.jsonl", {**record, "language": "python"}, {**record, "language": "COBOL"})
    done = snipmill("execute", "in.jsonl", "-o", "out")
    assert done.returncode == 0
    assert read_lines(tmp_path / "out") == []
    assert [reject["reason"] for reject in read_lines(tmp_path / "out.rejects.jsonl")] == ["unknown-language", "failed"]


def test_rows_that_selection_leaves_out_are_not_enough(standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    rust = "/// Doubles {n}.\nfn double_{n}(x: i32) -> i32 {{ 2 * x }}"
    both = [{"seed": rust.format(n=n), "language": "rust"} for n in range(4)] + [
        {"seed": CODE.format(n=n)} for n in range(30)
    ]
    write_lines(tmp_path / "seeds.jsonl", *both)
    standin.fenced = "rust"
    (tmp_path / "c.toml").write_text(
        f'[run]\ndir = "run"\n[seeds]\nsources = ["seeds.jsonl"]\n[model]\nbase_url = "{standin.url}"\n'
        "[generate]\nsamples = 4\nenough = 2\n[select]\nnear_instructions = 0\nnear_code = 0\n"
    )
    assert snipmill("run", "c.toml").returncode == 0
    rows = read_lines(tmp_path / "run" / "dataset.jsonl")
    assert len(rows) >= 2 and {row["language"] for row in rows} == {"Python"}
    plan = snipmill("status", "run", "--plan")
    assert plan.returncode == 0


@pytest.mark.parametrize(
    "shape", ["null", '{"content": null}', '{"content": [null]}', "[]", '{"top_logprobs": [null]}', "3"]
)
def test_probabilities_in_odd_shapes_are_no_answer(shape: str) -> None:
    answer = DECODER.decode(f'{{"choices": [{{"text": " yes", "logprobs": {shape}}}]}}'.encode())
    assert answer.choices and answer.choices[0] is not None and answer.choices[0].first_tokens() == {}


def test_a_server_that_refuses_probabilities_is_asked_for_the_word(
    seeds: Path, standin: StandIn, tmp_path: Path, snipmill: Snipmill
) -> None:
    def refuse(body: dict[str, Any], _attempt: int) -> Any:
        if body.get("logprobs"):
            return web.json_response({"error": {"message": "logprobs must be at most 5"}}, status=400)
        return None

    standin.fault = refuse
    assert snipmill("judge", seeds, "-o", "all", "--base-url", standin.url, "--threshold", "0").returncode == 0
    assert {record["judge"] for record in read_lines(tmp_path / "all")} == {0.0, 1.0}


def test_one_seed_that_is_too_long_changes_no_other_score(
    seeds: Path, standin: StandIn, tmp_path: Path, snipmill: Snipmill
) -> None:
    def refuse(body: dict[str, Any], _attempt: int) -> Any:
        if "f_0(x)" in str(body["prompt"]):
            return web.json_response({"error": {"message": "maximum context length"}}, status=400)
        return None

    standin.fault = refuse
    options = ("--base-url", standin.url, "--threshold", "0", "--concurrency", 1)
    assert snipmill("judge", seeds, "-o", "all", *options).returncode == 0
    assert len(read_lines(tmp_path / "all")) == 39
    assert {record["judge"] for record in read_lines(tmp_path / "all")} == {0.75, 0.25}
