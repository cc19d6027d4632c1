"""Whole runs against a real server on loopback and the real sandbox: the same inputs give the same bytes."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from snipmill.config import Config
from snipmill.config_file import parse_config, render_config
from snipmill.config_model import SamplingTable
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from snipmill.errors import StoreError
from snipmill.store.run_directory import RunDirectory
from tests.conftest import Snipmill, read_lines, write_lines
from tests.standin import StandIn

STAGES = ("seeds", "concepts", "instructions", "responses", "execute", "verify", "sanitize")


def seeds_file(path: Path, count: int) -> Path:
    return write_lines(
        path, *({"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(count))
    )


def config(directory: Path, seeds: Path, url: str, **changes: Any) -> Config:
    text = f"""
    [run]
    dir = {json.dumps(str(directory))}
    seed = {changes.pop("seed", 5)}
    [seeds]
    sources = [{json.dumps(str(seeds))}]
    [model]
    base_url = "{url}"
    concurrency = {changes.pop("concurrency", 8)}
    max_tokens = {changes.pop("max_tokens", 1536)}
    prompting = "{changes.pop("prompting", "completion")}"
    [generate]
    samples = {changes.pop("samples", 3)}
    {changes.pop("more", "")}
    [select]
    style = "smart"
    near_instructions = 0
    near_code = 0
    """
    assert not changes
    return parse_config(text, "test")


def assert_same(one: RunDirectory, other: RunDirectory) -> None:
    """The same data set to the byte, and the same records at every stage but for the times of executions."""
    for name, content in contents(one).items():
        if name == "dataset.jsonl":
            assert contents(other)[name] == content
        assert without_times(contents(other)[name]) == without_times(content), name


async def at_once() -> None:
    """In place of the wait for another second."""


def carry_out(configuration: Config) -> tuple[RunDirectory, Progress]:
    progress = Progress()
    return asyncio.run(run(configuration, progress, at_once)), progress


def test_progress_counts_the_seeds_with_rows(tmp_path: Path, standin: StandIn) -> None:
    directory, progress = carry_out(config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 6), standin.url))
    best: dict[str, float] = {}
    for row in read_lines(directory.kept("sanitize")):
        seed = row["parents"]["seed"]
        best[seed] = max(best.get(seed, 0.0), row["verification"]["confidence"])
    assert progress.seeds_done == 6 and progress.found == len(best) > 0
    assert progress.doubt == pytest.approx(sum(1 - confidence for confidence in best.values()))
    assert progress.first_request is not None and progress.replayed == (0, 0)
    again = carry_out(config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 6), standin.url))[1]
    assert again.first_request is None and again.replayed == (6, len(best))


def contents(directory: RunDirectory) -> dict[str, bytes]:
    files = [directory.dataset, *map(directory.kept, STAGES), *map(directory.rejects, (*STAGES, "select"))]
    return {path.name: path.read_bytes() for path in files}


def test_every_seed_is_accounted_for(tmp_path: Path, standin: StandIn) -> None:
    directory, progress = carry_out(config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 12), standin.url))
    funnel = progress.funnel
    assert funnel["seeds"].kept == funnel["concepts"].came_in == 12
    assert funnel["responses"].came_in == 3 * funnel["instructions"].kept
    assert funnel["execute"].came_in == funnel["responses"].kept
    assert funnel["execute"].kept == funnel["sanitize"].came_in > 0
    assert funnel["execute"].rejected["failed"] > 0
    assert funnel["responses"].rejected["tag-missing"] > 0
    assert funnel["select"].came_in == funnel["sanitize"].kept
    for stage in STAGES:
        assert len(read_lines(directory.kept(stage))) == funnel[stage].kept
        assert len(read_lines(directory.rejects(stage))) == funnel[stage].rejected.total()
    rows = read_lines(directory.dataset)
    assert len(rows) == funnel["select"].kept > 0
    for row in rows:
        assert {"seed", "concepts", "instruction", "response", "id", "parents", "verdict", "usage"} <= row.keys()
    manifest = directory.read_manifest()
    assert manifest["status"] == "done" and manifest["model"] == "stand-in"
    assert manifest["sandbox_tier"] == "namespaces"


def test_order_and_concurrency_change_nothing(tmp_path: Path, standin: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 10)
    one, _ = carry_out(config(tmp_path / "one", seeds, standin.url, concurrency=1))
    many, _ = carry_out(config(tmp_path / "many", seeds, standin.url, concurrency=32))
    assert_same(one, many)
    other, _ = carry_out(config(tmp_path / "other", seeds, standin.url, seed=6))
    assert contents(other)["dataset.jsonl"] != contents(one)["dataset.jsonl"]


def test_enough_is_enough_in_the_order_of_the_seeds(tmp_path: Path, standin: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 40)
    one, progress = carry_out(config(tmp_path / "one", seeds, standin.url, concurrency=1, more="enough = 3"))
    many, _ = carry_out(config(tmp_path / "many", seeds, standin.url, concurrency=16, more="enough = 3"))
    assert progress.with_rows == 3
    for stage in STAGES:  # whatever was under way when there were enough
        assert len(read_lines(one.kept(stage))) == progress.funnel[stage].kept
        assert len(read_lines(one.rejects(stage))) == progress.funnel[stage].rejected.total()
    assert len(read_lines(one.kept("seeds"))) < 40
    assert_same(one, many)


def test_rows_below_the_bar_are_not_enough(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 5)
    asked = config(tmp_path / "run", seeds, standin.url, more="enough = 1")
    barred = msgspec.structs.replace(asked, select=msgspec.structs.replace(asked.select, min_confidence=1.0))
    (tmp_path / "config.toml").write_text(render_config(barred))
    done = snipmill("run", "config.toml", "--concurrency", 3)
    assert done.returncode == 0 and "selection dropped them all" in done.stderr
    assert "concurrency = 3" in (tmp_path / "run" / "config.toml").read_text()
    directory = RunDirectory(str(tmp_path / "run"))
    assert len(read_lines(directory.kept("seeds"))) == 5
    assert {reject["reason"] for reject in read_lines(directory.rejects("select"))} == {"low-confidence"}


def test_chat_makes_the_same_records(tmp_path: Path, standin: StandIn) -> None:
    directory, progress = carry_out(
        config(tmp_path / "run", seeds_file(tmp_path / "s.jsonl", 6), standin.url, prompting="chat")
    )
    assert all("messages" in body for body in standin.requests)
    assert progress.funnel["select"].kept > 0
    assert read_lines(directory.dataset)[0]["concepts"]


def test_the_same_command_again_asks_nothing(tmp_path: Path, standin: StandIn) -> None:
    configuration = config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 6), standin.url)
    directory, _ = carry_out(configuration)
    before, asked = contents(directory), len(standin.requests)
    _, progress = carry_out(configuration)
    assert len(standin.requests) == asked
    assert contents(directory) == before
    assert progress.funnel["responses"].reused == progress.funnel["responses"].came_in


def test_a_larger_max_tokens_keeps_what_had_stopped_by_itself(tmp_path: Path, standin: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 6)
    _, short = carry_out(config(tmp_path / "run", seeds, standin.url, max_tokens=40))
    assert short.funnel["responses"].rejected["not-finished"] > 0
    asked = len(standin.requests)
    again, _ = carry_out(config(tmp_path / "run", seeds, standin.url, max_tokens=1536))
    redone = len(standin.requests) - asked
    assert redone == short.funnel["responses"].rejected["not-finished"]
    fresh, _ = carry_out(config(tmp_path / "fresh", seeds, standin.url))
    assert contents(again)["dataset.jsonl"] == contents(fresh)["dataset.jsonl"]
    # And back: nothing that is there is asked again, whatever the limit.
    asked = len(standin.requests)
    carry_out(config(tmp_path / "run", seeds, standin.url, max_tokens=40))
    assert len(standin.requests) == asked


def test_one_refused_request_is_one_reject(tmp_path: Path) -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        if "f3(x)" in body["prompt"]:
            return web.json_response({"error": {"message": "maximum context length"}}, status=400)
        return None

    with StandIn(fault=fault) as server:
        _, progress = carry_out(config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 6), server.url))
    assert progress.funnel["concepts"].rejected == {"prompt-too-long": 1}
    assert progress.funnel["concepts"].kept == 5
    with (
        StandIn() as mended
    ):  # what a server refused is asked again: it cost nothing, and the server may have been changed
        _, progress = carry_out(config(tmp_path / "run", tmp_path / "seeds.jsonl", mended.url))
    assert progress.funnel["concepts"].kept == 6


def test_a_fault_of_the_run_stops_it_with_one_sentence(tmp_path: Path, snipmill: Snipmill) -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        if body.get("stream"):
            return web.json_response({"error": {"message": "key withdrawn"}}, status=401)
        return None

    seeds_file(tmp_path / "seeds.jsonl", 4)
    with StandIn(fault=fault) as server:
        done = snipmill("quickstart", "seeds.jsonl", "--dir", "q", "--base-url", server.url)
        assert done.returncode == 3 and done.stderr.count("key withdrawn") == 1
        server.fault = None
        again = snipmill("quickstart", "seeds.jsonl", "--dir", "q", "--base-url", server.url)
    assert again.returncode == 0 and "not paid again" in again.stderr


def test_a_second_run_on_one_directory_is_refused(tmp_path: Path, standin: StandIn) -> None:
    configuration = config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 4), standin.url)

    async def both() -> None:
        await asyncio.gather(run(configuration, Progress()), run(configuration, Progress()))

    with pytest.raises(StoreError, match="Another snipmill"):
        asyncio.run(both())


def test_by_hand_is_the_same_as_run(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    seeds = seeds_file(tmp_path / "in.jsonl", 8)
    directory, _ = carry_out(config(tmp_path / "run", seeds, standin.url))
    common = ["--seed", 5]
    server = [*common, "--base-url", standin.url]
    for command in (
        ["seeds", seeds, "--out", "seeds.jsonl", *common],
        ["concepts", "seeds.jsonl", "--out", "concepts.jsonl", *server],
        ["instructions", "concepts.jsonl", "--out", "instructions.jsonl", *server],
        ["responses", "instructions.jsonl", "--out", "responses.jsonl", "--samples", 3, *server],
        ["execute", "responses.jsonl", "--out", "execute.jsonl"],
        ["verify", "responses.jsonl", "--out", "verify.jsonl"],
        ["sanitize", "verify.jsonl", "--style", "raw", "--out", "sanitize.jsonl", *common],
        ["select", "sanitize.jsonl", "--out", "selected.jsonl", "--near-instructions", 0, "--near-code", 0, *common],
        ["sanitize", "selected.jsonl", "--style", "smart", "--out", "dataset.jsonl", *common],
    ):
        done = snipmill(*command)
        assert done.returncode == 0, done.stderr
    for stage in STAGES:
        by_hand = without_times((tmp_path / f"{stage}.jsonl").read_bytes())
        assert by_hand == without_times(directory.kept(stage).read_bytes()), stage
    assert (tmp_path / "dataset.jsonl").read_bytes() == directory.dataset.read_bytes()


def without_times(lines: bytes) -> list[dict[str, Any]]:
    """Records without what differs from one execution of a program to the next: its times and its memory."""
    records = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines.splitlines()]
    for record in records:
        verdict = record.get("verdict") or {}
        for name in ("wall_ms", "cpu_ms", "peak_memory"):
            verdict.pop(name, None)
    return records


def journaled(run: Path) -> int:
    """How many lines the journals of a run hold."""
    return sum(path.read_bytes().count(b"\n") for path in (run / "journal").glob("*.jsonl"))


@pytest.mark.parametrize("attempt", range(3))
def test_killed_at_any_instant_and_continued(tmp_path: Path, standin: StandIn, attempt: int) -> None:
    standin.delay = 0.02
    seeds = seeds_file(tmp_path / "seeds.jsonl", 10)
    whole, _ = carry_out(config(tmp_path / "whole", seeds, standin.url, concurrency=4))
    needed, lines = len(standin.requests), journaled(whole.path)
    configuration = tmp_path / "config.toml"
    configuration.write_text(
        f'[run]\ndir = "killed"\nseed = 5\n[seeds]\nsources = ["{seeds}"]\n'
        f'[model]\nbase_url = "{standin.url}"\nconcurrency = 4\n[generate]\nsamples = 3\n'
        "[select]\nnear_instructions = 0\nnear_code = 0\n"
    )
    command = [sys.executable, "-m", "snipmill", "run", str(configuration)]
    # Each kill comes when the journals have grown to another length, wherever the run is then.
    lengths = sorted(random.Random(attempt).sample(range(1, lines), 4))
    kills = 0
    standin.requests.clear()
    for length in lengths:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and journaled(tmp_path / "killed") < length:
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
        process.wait()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert kills > 0
    killed = RunDirectory(tmp_path / "killed")
    assert_same(whole, killed)
    assert len(standin.requests) <= needed + 4 * kills


def test_waves_stop_when_enough_samples_have_passed(tmp_path: Path, standin: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 12)
    waves = "wave = 2\naccept = 2"
    one, progress = carry_out(config(tmp_path / "one", seeds, standin.url, samples=8, more=waves, concurrency=1))
    responses = progress.funnel["responses"]
    assert responses.spared > 0 and responses.spared % 2 == 0
    assert responses.spared + responses.came_in == 8 * progress.funnel["instructions"].kept
    many, _ = carry_out(config(tmp_path / "many", seeds, standin.url, samples=8, more=waves, concurrency=32))
    assert_same(one, many)
    # Whoever stopped early has had enough, by the end of a whole wave and not before.
    by_instruction: dict[str, list[dict[str, Any]]] = {}
    for record in read_lines(one.kept("responses")) + read_lines(one.rejects("responses")):
        by_instruction.setdefault(record.get("instruction", "?"), []).append(record)
    accepted = [record["instruction"] for record in read_lines(one.kept("sanitize"))]
    drawn = {name: max(r["sample"] for r in records) + 1 for name, records in by_instruction.items() if name != "?"}
    assert all(accepted.count(name) >= 2 for name, number in drawn.items() if number < 6)
    accounts = one.read_manifest()["accounting"]
    assert accounts["samples_spared"] == responses.spared
    assert accounts["response_tokens_without_early_stop"] > accounts["response_tokens"] > 0
    assert accounts["tokens_per_row"] > 0 and accounts["requests"] == accounts["samples_drawn"] + 24


def test_several_samples_of_one_request(tmp_path: Path, standin: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 6)
    settings = config(tmp_path / "run", seeds, standin.url, samples=5, more="per_request = 2\naccept = 0")
    directory, progress = carry_out(settings)
    responses = progress.funnel["responses"]
    assert responses.came_in == 5 * 6 and responses.requests == 3 * 6
    assert sorted({body.get("n", 1) for body in standin.requests}) == [1, 2]
    asked, before = len(standin.requests), contents(directory)
    carry_out(settings)
    assert len(standin.requests) == asked
    for name, content in contents(directory).items():
        assert without_times(content) == without_times(before[name])


def test_the_plan_says_what_would_be_done_again(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 6)
    directory, progress = carry_out(config(tmp_path / "run", seeds, standin.url, max_tokens=40))
    unfinished = progress.funnel["responses"].rejected["not-finished"]
    saved = parse_config((directory.path / "config.toml").read_text(), "saved")

    def plan(**changes: Any) -> dict[str, tuple[int, int, int]]:
        model = msgspec.structs.replace(saved.model, **changes)
        (tmp_path / "other.toml").write_text(render_config(msgspec.structs.replace(saved, model=model)))
        done = snipmill("status", directory.path, "--config", tmp_path / "other.toml")
        assert done.returncode == 0, done.stderr
        planned = done.stderr.partition("\nWith ")[2].partition("still to be spent")[0].strip()
        lines = [line.split() for line in planned.splitlines()[2:]]
        return {name: (int(there), int(missing), int(follow)) for name, there, missing, follow in lines}

    asked = len(standin.requests)
    there = plan()
    assert all(missing == follow == 0 for _, missing, follow in there.values())
    longer = plan(max_tokens=1536)
    assert longer["concepts"] == (6, 0, 0) and longer["responses"][:2] == (18 - unfinished, unfinished)
    assert plan(sampling=SamplingTable(temperature=0.1)) == {
        "concepts": (0, 6, 0),
        "instructions": (0, 0, 6),
        "responses": (0, 0, 18),
        "execute": (0, 0, 18),
    }
    assert len(standin.requests) == asked
    carry_out(config(tmp_path / "run", seeds, standin.url, max_tokens=1536))
    assert len(standin.requests) - asked == unfinished
