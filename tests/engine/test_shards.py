"""Shards against one machine, on a real server and the real sandbox: whatever the dealing, the same bytes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snipmill.config import Config
from snipmill.config_file import change_config, render_config
from snipmill.engine import shard as shard_module
from snipmill.engine.gather import Gathered, gather
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from snipmill.engine.shard import run_shard
from snipmill.engine.sharding import Sharding, parse_sharding
from snipmill.errors import BudgetSpent, StoreError, UsageError
from snipmill.store.run_directory import RunDirectory
from tests.conftest import Snipmill, read_lines
from tests.engine.test_run import STAGES, config, seeds_file
from tests.standin import StandIn

_TIMES = re.compile(rb'("wall_ms"|"cpu_ms"|"peak_memory"):[0-9.]+')


def files_of(directory: Path) -> dict[str, bytes]:
    """The files that a run derives."""
    names = [*STAGES, *(f"{stage}.jsonl.rejects" for stage in (*STAGES, "select")), "dataset"]
    return {name: _TIMES.sub(rb"\1:0", (directory / f"{name}.jsonl").read_bytes()) for name in names}


def grow(table: Config, *shardings: str) -> None:
    for sharding in shardings:
        asyncio.run(run_shard(table, parse_sharding(sharding), Progress()))


def gathered(table: Config) -> Gathered:
    return gather(RunDirectory(table.run.dir))


@pytest.fixture(scope="module")
def server() -> Any:
    with StandIn() as server:
        yield server


@pytest.fixture(scope="module")
def on_one_machine(tmp_path_factory: pytest.TempPathFactory, server: StandIn) -> tuple[bytes, dict[str, bytes]]:
    """Seeds, and the files of a run on one machine."""
    folder = tmp_path_factory.mktemp("whole")
    seeds = seeds_file(folder / "seeds.jsonl", 14)
    asyncio.run(run(config(folder / "whole", seeds, server.url), Progress()))
    return seeds.read_bytes(), files_of(folder / "whole")


@pytest.fixture
def tables(
    tmp_path: Path, server: StandIn, on_one_machine: tuple[bytes, dict[str, bytes]]
) -> tuple[Config, dict[str, bytes]]:
    """The configuration of a run in shards, and the files of the same run on one machine."""
    seeds, files = on_one_machine
    (tmp_path / "seeds.jsonl").write_bytes(seeds)
    server.requests.clear()
    return config(tmp_path / "run", tmp_path / "seeds.jsonl", server.url), files


def test_shards_give_the_same_bytes_in_any_order(tables: tuple[Config, dict[str, bytes]], server: StandIn) -> None:
    table, expected = tables
    grow(table, "2/3", "0/3", "1/3")
    found = gathered(table)
    assert files_of(Path(table.run.dir)) == expected
    assert not found.missing
    assert found.shards == 3
    assert found.rows == len(expected["dataset"].splitlines()) > 2


def test_another_number_of_shards_half_way_pays_nothing_twice(
    tables: tuple[Config, dict[str, bytes]], server: StandIn
) -> None:
    table, expected = tables
    grow(table, "1/3", "2/3")
    paid = len(server.requests)
    assert paid
    grow(table, "0/2", "1/2")
    asked = server.requests[paid:]
    before = [json.dumps(request, sort_keys=True) for request in server.requests[:paid]]
    assert not [request for request in asked if json.dumps(request, sort_keys=True) in before]
    assert not gathered(table).missing
    assert files_of(Path(table.run.dir)) == expected
    grow(table, "0/5", "3/5")
    assert len(server.requests) == paid + len(asked)


def test_a_run_on_one_machine_finds_what_shards_paid(tables: tuple[Config, dict[str, bytes]], server: StandIn) -> None:
    table, expected = tables
    grow(table, "0/2", "1/2")
    paid = len(server.requests)
    asyncio.run(run(table, Progress()))
    assert len(server.requests) == paid
    assert files_of(Path(table.run.dir)) == expected


def test_shards_find_what_one_machine_paid(tables: tuple[Config, dict[str, bytes]], server: StandIn) -> None:
    table, expected = tables
    asyncio.run(run(table, Progress()))
    paid = len(server.requests)
    grow(table, "0/2", "1/2")
    assert len(server.requests) == paid
    gathered(table)
    assert files_of(Path(table.run.dir)) == expected


def start(table: Config, sharding: str) -> subprocess.Popen[bytes]:
    path = Path(table.run.dir).with_suffix(".toml")
    path.write_text(render_config(table))
    command = [sys.executable, "-m", "snipmill", "run", str(path), "--shard", sharding]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def test_a_killed_shard_can_be_gathered_and_goes_on(
    tables: tuple[Config, dict[str, bytes]], server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, expected = tables
    monkeypatch.setattr(server, "delay", 0.15)
    table = msgspec.structs.replace(table, model=msgspec.structs.replace(table.model, concurrency=2))
    process = start(table, "0/2")
    grown = RunDirectory(table.run.dir).shard(0).grown
    while not grown.exists() or grown.read_bytes().count(b"\n") < 3:
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.wait()
    paid = len(server.requests)
    found = gathered(table)
    assert found.missing == ["Not begun among 2: shard 1.", found.missing[-1]]
    assert "Shard 0/2 is not done" in found.missing[-1]
    rows = (Path(table.run.dir) / "sanitize.jsonl").read_bytes().splitlines()
    assert rows
    assert set(rows) < set(expected["sanitize"].splitlines())
    monkeypatch.setattr(server, "delay", 0.0)
    grow(table, "0/2", "1/2")
    assert not gathered(table).missing
    assert files_of(Path(table.run.dir)) == expected
    assert len(server.requests) - paid < len(expected["responses"].splitlines()) * 2  # what was paid is not asked again


def test_lines_behind_which_records_are_lost_are_made_again(tables: tuple[Config, dict[str, bytes]]) -> None:
    table, expected = tables
    grow(table, "0/2", "1/2")
    shard = RunDirectory(table.run.dir).shard(0)
    for path, lost in ((shard.kept("responses"), 100), (shard.kept("execute"), 0), (shard.grown, 7)):
        with path.open("r+b") as handle:
            handle.truncate(path.stat().st_size - lost)
            handle.seek(0, os.SEEK_END)
            handle.write(b'{"id":"torn' if not lost else b"")
    grow(table, "0/2")
    assert not gathered(table).missing
    assert files_of(Path(table.run.dir)) == expected


def test_enough_is_decided_in_the_order_of_the_seeds_and_other_shards_stop(tmp_path: Path, server: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 120)
    more = {"more": "enough = 4", "samples": 2, "concurrency": 2}
    whole = config(tmp_path / "whole", seeds, server.url, **more)
    asyncio.run(run(whole, Progress()))
    table = config(tmp_path / "run", seeds, server.url, **more)
    server.delay = 0.02
    try:
        processes = [start(table, f"{index}/2") for index in range(2)]
        assert [process.wait(120) for process in processes] == [0, 0]
    finally:
        server.delay = 0.0
    shards = RunDirectory(table.run.dir).shards().values()
    assert sum(shard.grown.read_bytes().count(b"\n") - 1 for shard in shards) < 60  # they have not grown all 120
    found = gathered(table)
    assert not found.missing
    assert files_of(Path(table.run.dir)) == files_of(tmp_path / "whole")


def test_a_budget_is_dealt_to_the_shards_and_what_is_left_is_grown_later(tmp_path: Path, server: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 14)
    whole = config(tmp_path / "whole", seeds, server.url)
    asyncio.run(run(whole, Progress()))
    table = config(tmp_path / "run", seeds, server.url, concurrency=1)
    spent = RunDirectory(whole.run.dir).read_manifest()["accounting"]
    tokens = (spent["prompt_tokens"] + spent["completion_tokens"]) // 3
    limited = msgspec.structs.replace(table, run=msgspec.structs.replace(table.run, max_tokens_total=tokens))
    for sharding in ("0/2", "1/2"):
        with pytest.raises(BudgetSpent, match=f"shard {sharding}'s part"):
            grow(limited, sharding)
    found = gathered(limited)
    assert [sentence.partition(":")[0] for sentence in found.missing] == [
        "Shard 0/2 is not done",
        "Shard 1/2 is not done",
    ]
    grow(table, "0/2", "1/2")
    assert not gathered(table).missing
    assert files_of(Path(table.run.dir)) == files_of(tmp_path / "whole")


def test_shards_of_another_configuration_are_told(tables: tuple[Config, dict[str, bytes]]) -> None:
    table, expected = tables
    other = msgspec.structs.replace(table, generate=msgspec.structs.replace(table.generate, samples=2))
    grow(other, "0/2", "1/2")
    grow(table, "0/2")
    (sentence,) = gathered(table).missing
    assert sentence.startswith("Grown with another configuration")
    assert "shard 1." in sentence
    grow(table, "1/2")
    assert not gathered(table).missing
    assert files_of(Path(table.run.dir)) == expected


def test_changed_sources_are_told_and_grown_anew(tables: tuple[Config, dict[str, bytes]]) -> None:
    table, expected = tables
    grow(table, "0/2", "1/2")
    (source,) = table.seeds.sources
    lines = Path(source).read_bytes().splitlines(keepends=True)
    Path(source).write_bytes(b"".join(lines[3:] + lines[:3]))
    grow(table, "0/2")
    with pytest.raises(UsageError, match="the sources have changed in between"):
        gathered(table)
    Path(source).write_bytes(b"".join(lines))
    grow(table, "0/2")
    gathered(table)
    assert files_of(Path(table.run.dir)) == expected


def folder_of_documents(path: Path, count: int) -> Path:
    path.mkdir()
    for n in range(count):
        body = f'def f{n}(x):\n    """Add {n} and nothing else to x{n}."""\n    return x + {n}\n'
        (path / f"m{n}.py").write_text(body if n % 7 else "def broken(:\n")
    return path


def test_mining_is_shared_by_shards_that_work_together(tmp_path: Path, server: StandIn) -> None:
    source = folder_of_documents(tmp_path / "code", 900)
    changes = {"seeds.license": "MIT", "seeds.types": False, "seeds.secrets": False, "seeds.near": 0.0}

    def table(name: str) -> Config:
        made = config(tmp_path / name, source, server.url, samples=1)
        return change_config(made, {**changes, "generate.draws": 1, "seeds.limit": 12, "seeds.shuffle": True}, "test")

    asyncio.run(run(table("whole"), Progress()))
    processes = [start(table("run"), f"{index}/2") for index in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    journals = [shard.journal("seeds") for shard in RunDirectory(tmp_path / "run").shards().values()]
    batches = [[entry["id"] for entry in read_lines(journal)] for journal in journals]
    assert sorted(len(mine) for mine in batches) == [2, 2]
    assert len({*batches[0], *batches[1]}) == 4
    assert not gathered(table("run")).missing
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def test_a_shard_alone_mines_everything(tmp_path: Path, server: StandIn) -> None:
    source = folder_of_documents(tmp_path / "code", 300)
    table = change_config(
        config(tmp_path / "run", source, server.url, samples=1),
        {"seeds.license": "MIT", "seeds.types": False, "seeds.secrets": False, "seeds.near": 0.0},
        "test",
    )
    grow(table, "1/200")
    grown = read_lines(RunDirectory(table.run.dir).shard(1).grown)
    assert len(grown) > 1
    assert len(read_lines(RunDirectory(table.run.dir).shard(1).journal("seeds"))) == 2


@pytest.mark.parametrize("given", ["4/4", "1", "-1/3", "0/0", "a/b", "0/999999999"])
def test_what_is_no_shard_is_told(given: str) -> None:
    with pytest.raises(UsageError, match="give I/N"):
        parse_sharding(given)


def test_seeds_are_dealt_evenly_and_neighbours_know_what_they_share() -> None:
    ids = [f"s-{n:020x}" for n in range(6000)]
    for count in (2, 5, 64):
        sizes = [sum(Sharding(index, count).has(one) for one in ids) for index in range(count)]
        assert sum(sizes) == len(ids)
        assert max(sizes) < 2 * min(sizes)
    for mine in (Sharding(1, 4), Sharding(2, 3)):
        for index, count in ((1, 2), (0, 2), (3, 6), (5, 6), (2, 8), (0, 9)):
            shared = any(mine.has(one) and Sharding(index, count).has(one) for one in ids)
            assert mine.may_share_seeds(index, count) == shared


def test_the_commands(tables: tuple[Config, dict[str, bytes]], snipmill: Snipmill) -> None:
    table, expected = tables
    path = Path(table.run.dir).with_suffix(".toml")
    path.write_text(render_config(table))
    nothing = snipmill("gather", table.run.dir)
    assert nothing.returncode == 2
    assert "--shard 0/4" in nothing.stderr
    for index in range(2):
        done = snipmill("run", path, "--shard", f"{index}/2")
        assert done.returncode == 0, done.stderr
        assert f"Shard {index}/2: " in done.stderr
        if index == 0:
            status = snipmill("status", table.run.dir)
            assert "2 shards (1 done, 1 not begun)" in status.stderr, status.stderr
        partly = snipmill("gather", table.run.dir)
        assert partly.returncode == 0, partly.stderr
        assert ("Not begun among 2: shard 1." in partly.stderr) == (index == 0)
    assert files_of(Path(table.run.dir)) == expected
    assert "run: done" in snipmill("status", table.run.dir).stderr
    assert snipmill("run", path, "--shard", "2/2").returncode == 2


def test_what_is_forgotten_is_in_no_shard_any_more(tables: tuple[Config, dict[str, bytes]], snipmill: Snipmill) -> None:
    table, _ = tables
    grow(table, "0/2", "1/2")
    directory = RunDirectory(table.run.dir)
    named = read_lines(directory.shard(0).kept("seeds"))[0]["id"]
    (directory.path.parent / "ids").write_text(named)
    early = snipmill("forget", table.run.dir, "--ids", "ids")
    assert early.returncode == 2
    assert "`snipmill gather" in early.stderr
    gathered(table)
    done = snipmill("forget", table.run.dir, "--ids", "ids")
    assert done.returncode == 0, done.stderr
    files = [path for path in directory.path.rglob("*") if path.is_file() and path != directory.forgotten]
    assert not [path for path in files if named.encode() in path.read_bytes()]
    grow(table, "0/2", "1/2")
    assert named not in (directory.shard(0).grown.read_text() + directory.shard(1).grown.read_text())


def test_what_was_cut_off_with_less_room_hides_nothing(
    tables: tuple[Config, dict[str, bytes]], server: StandIn
) -> None:
    table, expected = tables
    asyncio.run(run(change_config(table, {"model.max_tokens": 30}, "test"), Progress()))
    grow(table, "0/2", "1/2")
    paid = len(server.requests)
    gathered(table)
    assert files_of(Path(table.run.dir)) == expected
    grow(table, "0/3", "1/3", "2/3")
    asyncio.run(run(table, Progress()))
    shutil.rmtree(RunDirectory(table.run.dir).path / "shards")
    asyncio.run(run(table, Progress()))
    assert len(server.requests) == paid
    assert files_of(Path(table.run.dir)) == expected


def test_a_shard_that_goes_on_after_there_is_enough_keeps_what_it_has(tmp_path: Path, server: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 30)
    more = {"more": "enough = 3", "samples": 2}
    asyncio.run(run(config(tmp_path / "whole", seeds, server.url, **more), Progress()))
    table = config(tmp_path / "run", seeds, server.url, **more)
    grow(table, "0/2", "1/2")
    lines = [shard.grown.read_bytes() for shard in RunDirectory(table.run.dir).shards().values()]
    for again in ("0/2", "1/2"):
        grow(table, again)
        kept = [shard.grown.read_bytes() for shard in RunDirectory(table.run.dir).shards().values()]
        assert all(now.startswith(before) for now, before in zip(kept, lines, strict=True))
        found = gathered(table)
        assert not found.missing
        assert files_of(Path(table.run.dir)) == files_of(tmp_path / "whole")


def test_seeds_that_one_shard_has_not_seen_are_told(tmp_path: Path, server: StandIn) -> None:
    table = config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 10), server.url)
    grow(table, "0/2")
    seeds_file(tmp_path / "seeds.jsonl", 20)
    grow(table, "1/2")
    (sentence,) = gathered(table).missing
    assert sentence.startswith("Shard 0/2 saw 10 seeds, and shard 1/2 saw 20: the sources have changed")
    seeds_file(tmp_path / "seeds.jsonl", 9)
    grow(table, "0/3", "1/3", "2/3")  # what the others have left is of other sources
    asyncio.run(run(config(tmp_path / "whole", tmp_path / "seeds.jsonl", server.url), Progress()))
    assert not gathered(table).missing
    assert files_of(Path(table.run.dir)) == files_of(tmp_path / "whole")


def test_damage_is_told_and_mended_by_running_the_shard_again(tables: tuple[Config, dict[str, bytes]]) -> None:
    table, expected = tables
    grow(table, "0/2", "1/2")
    shard = RunDirectory(table.run.dir).shard(0)
    path = shard.kept("responses")
    raw = path.read_bytes()
    path.write_bytes(raw[:200] + b"\0" * 20 + raw[220:])
    (sentence,) = gathered(table).missing
    assert sentence == "Damaged are 1 seeds of shard 0/2. Run it again."
    grow(table, "0/2")
    assert not gathered(table).missing
    assert files_of(Path(table.run.dir)) == expected
    path.unlink()
    assert gathered(table).missing[0].startswith("Damaged are")
    grow(table, "0/2")
    lines = shard.grown.read_bytes().splitlines(keepends=True)
    shard.grown.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert "has lost" in gathered(table).missing[0]
    grow(table, "0/2")
    gathered(table)
    assert files_of(Path(table.run.dir)) == expected
    (shard.path / "calibration.json").unlink()
    grow(table, "1/2")
    gathered(table)
    (RunDirectory(table.run.dir).shard(1).path / "calibration.json").unlink()
    with pytest.raises(StoreError, match="Run the shard again"):
        gathered(table)


def test_a_lost_list_of_dealings_pays_nothing_twice(tables: tuple[Config, dict[str, bytes]], server: StandIn) -> None:
    table, expected = tables
    grow(table, "0/2", "1/2")
    paid = len(server.requests)
    for shard in RunDirectory(table.run.dir).shards().values():
        (shard.path / "counts.json").write_text("")
    grow(table, "0/3", "1/3", "2/3")
    assert len(server.requests) == paid
    gathered(table)
    assert files_of(Path(table.run.dir)) == expected
    spent = RunDirectory(table.run.dir).read_manifest()["accounting"]["completion_tokens"]
    grow(table, "0/2", "1/2")
    gathered(table)
    assert RunDirectory(table.run.dir).read_manifest()["accounting"]["completion_tokens"] == spent


def test_a_spent_budget_stays_spent(tmp_path: Path, server: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 14)
    limits = {"run.max_tokens_total": 400}
    table = change_config(config(tmp_path / "run", seeds, server.url, concurrency=1), limits, "test")
    server.requests.clear()
    for sharding in ("0/2", "1/2"):
        with pytest.raises(BudgetSpent):
            grow(table, sharding)
    spent = len(server.requests)
    with pytest.raises(BudgetSpent):
        asyncio.run(run(table, Progress()))
    assert len(server.requests) == spent
    gathered(table)
    shutil.rmtree(RunDirectory(table.run.dir).path / "shards")
    with pytest.raises(BudgetSpent):
        grow(table, "0/2")
    assert len(server.requests) == spent


def test_two_dealings_are_not_grown_at_the_same_time(
    tables: tuple[Config, dict[str, bytes]], server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _ = tables
    monkeypatch.setattr(server, "delay", 0.3)
    monkeypatch.setattr(shard_module, "_WAIT_FOR_LOCK", 0.5)
    process = start(table, "0/2")
    manifest = RunDirectory(table.run.dir).shard(0).path / "manifest.json"
    while not manifest.exists():
        time.sleep(0.05)
    with pytest.raises(StoreError, match=r"Shard 0/2 of .* is at work, and may have the same seeds as shard 1/3"):
        grow(table, "1/3")
    process.kill()
    process.wait()
