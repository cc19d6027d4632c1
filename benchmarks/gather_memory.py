"""Gathers a large run: its time, and the memory of all processes at their peak.

    python benchmarks/gather_memory.py [--rows 1000000] [--shards 64] [--folder /somewhere/large] [--json GATHERED.json]

Each seed has one row of realistic length, as in `select_speed.py`: one of ten is a near duplicate of others. The shards are written
by the code by which workers write them, with keys and signatures; then `snipmill gather` joins and selects in a process of its
own, with near duplicates and decontamination. A million rows need 40 GB of disk.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from select_speed import SYLLABLES, _own_words

from snipmill.config import Config
from snipmill.config_file import render_config
from snipmill.engine.flow import SeedOutcome
from snipmill.engine.shard_files import ShardFiles
from snipmill.engine.sharding import Sharding
from snipmill.records import Completion, Execution, Instruction, Response, Row, Seed, Usage, Verdict, Verification
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.stages.fewshot_files import load_bank
from snipmill.store.entries import CompletionEntry, VerdictEntry
from snipmill.store.journal import Journal
from snipmill.store.run_directory import CALIBRATION, CONFIG, RunDirectory
from snipmill.verification.calibration import encode_calibration


def outcome(number: int) -> SeedOutcome:
    """What came of a seed, with one response that passed."""
    draw = random.Random(number)
    bank = [example for example in load_bank(None).examples if example.response and len(example.response) < 1400]
    vocabulary = [f"{SYLLABLES[place % 8]}{place}" for place in range(1000)]
    example = bank[draw.randrange(len(bank))]
    words = " ".join(draw.choice(vocabulary) for _ in range(12))
    response = re.sub(r"\bdef (\w+)", rf"def \1_{number}", str(example.response))
    instruction = f"{words} {example.instruction[:200]} Variant {number}."
    if number % 10:
        response, instruction = _own_words(response, draw, vocabulary), _own_words(instruction, draw, vocabulary)
    parents = {
        name: f"{name[0]}-{hashlib.sha256(f'{name}{number}'.encode()).hexdigest()[:20]}"
        for name in ("seed", "instruction")
    }
    common: dict[str, Any] = {
        "seed": example.snippet,
        "concepts": list(example.concepts),
        "instruction": instruction,
        "parents": parents,
    }
    row_id = f"r-{hashlib.sha256(f'row{number}'.encode()).hexdigest()[:20]}"
    verdict = Verdict(status="passed", checks_executed=4, checks_written=4, checks_reached=4, tier="namespaces")
    found = Verification(samples=5, passed=3, mutants=8, killed=7, confidence=draw.uniform(0.3, 0.95))
    made = SeedOutcome()
    made.add("seeds", Seed(id=parents["seed"], seed=example.snippet))
    made.add("instructions", Instruction(id=parents["instruction"], **common))
    made.add("responses", Response(id=row_id, response=response, **common))
    made.add("execute", Execution(id=row_id, response=response, verdict=verdict, **common))
    made.add("verify", Execution(id=row_id, response=response, verdict=verdict, verification=found, **common))
    made.add("sanitize", Row(id=row_id, response=response, verdict=verdict, verification=found, style="raw", **common))
    return made


def write_shard(folder: str, index: int, count: int, rows: int) -> float:
    """Write a shard; returns the seconds that reducing and writing a row took, without making it up."""
    whole, config = RunDirectory(folder), Config()
    shard = whole.shard(index)
    shard.create()
    shard.write_text(CONFIG, render_config(config))
    shard.write_text(CALIBRATION, encode_calibration(shipped_calibration()).decode())
    spent = 0.0
    usage = Usage(prompt_tokens=900, completion_tokens=400)
    with (
        ShardFiles(shard, config, Sharding(index, count), "basis") as files,
        Journal(shard.journal("responses"), CompletionEntry) as completions,
        Journal(shard.journal("execute"), VerdictEntry) as verdicts,
    ):
        for position in range(index, rows, count):
            made = outcome(position)
            (row,) = made.kept["sanitize"]
            began = time.perf_counter()
            files.write(position, made, ())
            completion = Completion(text=row.response, finish_reason="stop", usage=usage)
            completions.append(CompletionEntry(id=row.id, outcome="kept", max_tokens=1536, completion=completion))
            verdicts.append(VerdictEntry(id=f"e-{row.id}", outcome="passed", verdict=Verdict(status="passed")))
            spent += time.perf_counter() - began
        files.end(())
    state = {
        "status": "done",
        "updated": time.time(),
        "seeds": rows,
        "shard": {"index": index, "count": count},
        "model": "m",
    }
    shard.write_manifest({**state, "funnel": {}, "models": {}})
    return spent


class Memory(threading.Thread):
    """The peak of the memory of a process and those that it started."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self.own = self.all = 0

    def run(self) -> None:
        while Path(f"/proc/{self._process}").exists():
            own, everything = _resident(self._process), 0
            family = [self._process]
            while family:
                one = family.pop()
                everything += _resident(one)
                try:
                    for task in Path(f"/proc/{one}/task").iterdir():
                        family += map(int, (task / "children").read_text().split())
                except OSError:
                    continue
            self.own, self.all = max(self.own, own), max(self.all, everything)
            time.sleep(0.2)


def _resident(process: int) -> int:
    """Bytes that a process has alone; pages that several share count in none."""
    try:
        fields = dict(re.findall(r"(\w+):\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text()))
        return 1024 * int(fields.get("Rss", 0))
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary) / "run"
        folder.mkdir()
        began = time.monotonic()
        with ProcessPoolExecutor() as pool:
            made = [
                pool.submit(write_shard, str(folder), index, args.shards, args.rows) for index in range(args.shards)
            ]
            spent = sum(one.result() for one in made)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        told = f"{args.rows:,} rows in {args.shards} shards, {size / 1e9:.1f} GB"
        print(
            f"{told}: made in {time.monotonic() - began:.0f} s, of which a worker spends {1e6 * spent / args.rows:.0f} µs a row"
        )
        began = time.monotonic()
        log = Path(temporary) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "snipmill", "gather", str(folder)], stdout=out, stderr=out
            )
            memory = Memory(process.pid)
            memory.start()
            assert process.wait() == 0, log.read_text()
        seconds = time.monotonic() - began
        memory.join()
        rows = sum(1 for _ in (folder / "dataset.jsonl").open("rb"))
        print(log.read_text())
        print(
            f"gathered in {seconds:.0f} s, {args.rows / seconds:,.0f} rows a second: {rows:,} stay; peak "
            f"{memory.own / 2**20:,.0f} MiB in the process itself, {memory.all / 2**20:,.0f} MiB with those that it starts"
        )
        figures = {
            "rows": args.rows,
            "seconds": seconds,
            "peak_bytes": memory.all,
            "shard_bytes_per_row": size / args.rows,
            "worker_seconds_per_row": spent / args.rows,
        }
        if args.json is not None:
            args.json.write_text(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()
