"""Whole runs with a review and with assertions that are written from the instruction alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.conftest import Snipmill, read_lines, write_lines
from tests.standin import StandIn

ROWS = ("sanitize", "dataset")  # the others hold how long programs took


def configure(
    folder: Path, url: str, *, seeds: int = 8, more: str = "", evidence: str = "both", tests: int = 3
) -> Path:
    lines = [{"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(seeds)]
    write_lines(folder / "seeds.jsonl", *lines)
    path = folder / "c.toml"
    path.write_text(
        f'[run]\ndir = "run"\n{more}\n[seeds]\nsources = ["seeds.jsonl"]\n[model]\nbase_url = "{url}"\n'
        f"[generate]\nsamples = 4\nwave = 2\naccept = 0\n[verify]\ntests = {tests}\n"
        f'[review]\nevidence = "{evidence}"\n[select]\nnear_instructions = 0\nnear_code = 0\n'
    )
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "run" / f"{name}.jsonl").read_bytes() for name in ROWS}


def test_reviews_and_assertions_are_evidence_and_drop_nothing(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    configure(tmp_path, standin.url)
    done = snipmill("run", "c.toml")
    assert done.returncode == 0, done.stderr
    assert "Expected to be wrong: " in done.stderr
    verified, reviewed = (read_lines(tmp_path / "run" / f"{name}.jsonl") for name in ("verify", "review"))
    assert [one["id"] for one in verified] == [one["id"] for one in reviewed] and verified
    for before, after in zip(verified, reviewed, strict=True):
        review = after["verification"].pop("review")
        assert before["verification"].pop("review") is None
        assert review["gain"] is not None and review["yes"] is not None
        before["verification"].pop("confidence"), after["verification"].pop("confidence")
        assert before == after
    # Two assertions of the model's that no sample has, and that fit every right one.
    assert all(one["verification"]["foreign"] >= 2 for one in verified)
    assert read_lines(tmp_path / "run" / "assertions.jsonl")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert {"assertions", "review"} <= manifest["models"].keys()
    assert manifest["funnel"]["review"]["prompt_tokens"] > 0
    spent = sum(stage["prompt_tokens"] for stage in manifest["funnel"].values())
    assert manifest["accounting"]["prompt_tokens"] == spent
    assert manifest["expected_wrong"]["rows"] == len(read_lines(tmp_path / "run" / "dataset.jsonl"))
    assert manifest["calibration"]["shipped"] and manifest["calibration"]["misfits"] == []
    shown = snipmill("status", "run", "--plan")
    assert "Expected to be wrong: " in shown.stderr
    assert [line.split()[2:] for line in shown.stderr.splitlines() if line.startswith("review ")][-1] == ["0", "0"]


def test_with_both_off_nothing_of_them_is_written_or_asked(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    configure(tmp_path, standin.url, evidence="off", tests=0)
    assert snipmill("run", "c.toml").returncode == 0
    there = {path.name for path in (tmp_path / "run").iterdir()}
    assert not there & {"review.jsonl", "assertions.jsonl"}
    assert not any(body.get("echo") for body in standin.requests)


@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_same_bytes_after_a_kill_and_nothing_asked_twice(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path, concurrency: int
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    for name in ("whole", "killed"):
        configure(tmp_path / name, standin.url)
    environment = {**os.environ, "OPENAI_BASE_URL": ""}
    command = [sys.executable, "-m", "snipmill", "run", "c.toml", "--concurrency", str(concurrency)]
    subprocess.run(command, cwd=tmp_path / "whole", check=True, capture_output=True, env=environment)
    asked = len(standin.requests)
    standin.delay = 0.02
    with subprocess.Popen(command, cwd=tmp_path / "killed", stderr=subprocess.DEVNULL, env=environment) as process:
        journal = tmp_path / "killed" / "run" / "journal" / "review.jsonl"
        for _ in range(1500):
            if journal.exists() and journal.stat().st_size:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, cwd=tmp_path / "killed", check=True, capture_output=True, env=environment)
    assert b"were there already" in done.stderr
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert len(standin.requests) - asked <= asked + 16  # only what was in flight when it was killed


def test_a_server_without_probabilities_is_named_once_and_the_run_goes_on(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    standin.tells = "nobody"
    configure(tmp_path, standin.url, evidence="likelihood")
    done = snipmill("run", "c.toml")
    assert done.returncode == 0 and done.stderr.count("does not tell the log probabilities") == 1
    assert read_lines(tmp_path / "run" / "dataset.jsonl")
    assert all(one["verification"]["review"] is None for one in read_lines(tmp_path / "run" / "review.jsonl"))


def test_a_spent_budget_keeps_what_is_there_and_the_rest_is_asked_later(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    configure(tmp_path, standin.url)
    whole = snipmill("run", "c.toml", "--dir", "other")
    assert whole.returncode == 0
    tokens = json.loads((tmp_path / "other" / "manifest.json").read_text())["accounting"]
    half = (tokens["prompt_tokens"] + tokens["completion_tokens"]) // 2
    stopped = snipmill("run", "c.toml", "--set", f"run.max_tokens_total={half}", "--concurrency", 1)
    assert stopped.returncode == 0 and "budget is spent" in stopped.stderr
    assert snipmill("run", "c.toml").returncode == 0
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == (tmp_path / "other" / "dataset.jsonl").read_bytes()


def test_a_published_run_with_review_and_assertions_is_proven_without_a_model(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    configure(tmp_path, standin.url)
    assert snipmill("run", "c.toml").returncode == 0
    asked = len(standin.requests)
    done = snipmill("reproduce", "run")
    assert done.returncode == 0, done.stderr
    assert len(standin.requests) == asked


def test_a_reviewer_of_its_own_is_asked_at_its_own_server(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    with StandIn(model="reviewer") as other:
        other.tells = "sglang"
        configure(tmp_path, standin.url, tests=0)
        done = snipmill(
            "run", "c.toml", "--set", f"review.model.base_url={other.url}", "--set", "review.model.prompting=chat"
        )
        assert done.returncode == 0, done.stderr
        assert other.requests and not any(body.get("echo") for body in standin.requests)
        assert any("messages" in body for body in other.requests)
    rows = read_lines(tmp_path / "run" / "dataset.jsonl")
    assert {row["verification"]["review"]["reviewer"] for row in rows} == {"reviewer"}


def test_refusals_of_single_questions_lose_no_row(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    def refuse(body: dict[str, Any], _attempt: int) -> web.Response | None:
        if body.get("echo") and "number 1" in str(body["prompt"])[-80:]:
            return web.json_response({"error": {"message": "maximum context length is 10"}}, status=400)
        return None

    standin.fault = refuse
    configure(tmp_path, standin.url, evidence="likelihood", tests=0)
    assert snipmill("run", "c.toml").returncode == 0
    reviewed = read_lines(tmp_path / "run" / "review.jsonl")
    assert len(reviewed) == len(read_lines(tmp_path / "run" / "verify.jsonl"))


def test_assertions_that_nobody_can_read_are_rejects_and_the_samples_go_on(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    def chatter(body: dict[str, Any], _attempt: int) -> web.Response | None:
        if str(body.get("prompt")).rstrip().endswith("### Assertions"):
            choice = {"index": 0, "text": "It should add.", "finish_reason": "stop"}
            return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
        return None

    standin.fault = chatter
    configure(tmp_path, standin.url, evidence="off")
    assert snipmill("run", "c.toml").returncode == 0
    rejects = read_lines(tmp_path / "run" / "assertions.jsonl.rejects.jsonl")
    assert {reject["reason"] for reject in rejects} == {"no-assertions"}
    assert read_lines(tmp_path / "run" / "dataset.jsonl")


def test_a_review_by_hand_gives_what_a_run_gives(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    configure(tmp_path, standin.url)
    assert snipmill("run", "c.toml").returncode == 0
    asked = len(standin.requests)
    command = ("review", "run/verify.jsonl", "-o", "r.jsonl", "--base-url", standin.url, "--evidence", "both")
    done = snipmill(*command)
    assert done.returncode == 0, done.stderr
    assert read_lines(tmp_path / "r.jsonl") == read_lines(tmp_path / "run" / "review.jsonl")
    assert len(standin.requests) > asked
    asked = len(standin.requests)
    assert snipmill(*command).returncode == 0 and len(standin.requests) == asked, "all was in the journal"
    refused = snipmill("review", "run/verify.jsonl", "-o", "s.jsonl", "--base-url", standin.url, "--evidence", "off")
    assert refused.returncode == 2 and "evidence is off" in refused.stderr
    chosen = snipmill("select", "run/sanitize.jsonl", "-o", "rows.jsonl", "--max-wrong", "0.4")
    assert chosen.returncode == 0 and "Expected to be wrong: " in chosen.stderr


def test_a_reviewer_that_refuses_every_question_stops_nothing(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    def refuse(body: dict[str, Any], _attempt: int) -> web.Response | None:
        if str(body.get("prompt")).rstrip().endswith("### Answer"):
            return web.json_response({"error": {"message": "blocked by policy"}}, status=400)
        return None

    standin.fault = refuse
    configure(tmp_path, standin.url, tests=0)
    done = snipmill("run", "c.toml")
    assert done.returncode == 0, done.stderr
    reviews = [one["verification"]["review"] for one in read_lines(tmp_path / "run" / "review.jsonl")]
    assert reviews and all(review["gain"] is not None and review.get("yes") is None for review in reviews)


def test_assertions_without_the_crosswise_examination_are_refused(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    configure(tmp_path, standin.url)
    done = snipmill("run", "c.toml", "--set", "verify.agreement=false")
    assert done.returncode == 2 and "verify.tests" in done.stderr and not (tmp_path / "run").exists()


def test_answers_that_say_nothing_are_not_paid_for_again(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    def vague(body: dict[str, Any], _attempt: int) -> web.Response | None:
        if str(body.get("prompt")).rstrip().endswith("### Answer"):
            choice = {"index": 0, "text": " perhaps", "finish_reason": "stop"}
            return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 1}})
        return None

    standin.fault = vague
    configure(tmp_path, standin.url, tests=0, evidence="questions")
    assert snipmill("run", "c.toml").returncode == 0
    asked = len(standin.requests)
    assert snipmill("run", "c.toml").returncode == 0 and len(standin.requests) == asked
    assert all(one["verification"]["review"] is None for one in read_lines(tmp_path / "run" / "review.jsonl"))
