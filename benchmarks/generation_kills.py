"""Kill a run with -9 at random instants, continue it, and compare the data set with that of an uninterrupted run.

    python benchmarks/generation_kills.py [--runs 30] [--seeds 40]

The server is the deterministic one of the tests, a whole `snipmill run` is the child. Told are the runs whose data set is
the same to the byte, and how many requests were asked again, against how many were in flight at the kills.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.standin import StandIn

CONCURRENCY = 8


def configure(folder: Path, seeds: Path, url: str) -> Path:
    """A configuration of a run in `folder`."""
    path = folder.with_suffix(".toml")
    path.write_text(
        f"[run]\ndir = {json.dumps(str(folder))}\n[seeds]\nsources = [{json.dumps(str(seeds))}]\n"
        f'[model]\nbase_url = "{url}"\nconcurrency = {CONCURRENCY}\n[generate]\nsamples = 6\nwave = 3\naccept = 2\n'
        "[select]\nnear_instructions = 0\nnear_code = 0\n"
    )
    return path


def start(configuration: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "snipmill", "run", str(configuration)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=40)
    args = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # a killed client is no news here
    draw = random.Random(0)
    same = kills = again = 0
    with tempfile.TemporaryDirectory() as temporary, StandIn() as server:
        folder = Path(temporary)
        server.delay = 0.02
        seeds = folder / "seeds.jsonl"
        code = ({"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(args.seeds))
        seeds.write_text("".join(json.dumps(record) + "\n" for record in code))
        began = time.monotonic()
        assert start(configure(folder / "whole", seeds, server.url)).wait() == 0
        whole, needed = time.monotonic() - began, len(server.requests)
        expected = (folder / "whole" / "dataset.jsonl").read_bytes()
        print(f"uninterrupted: {needed} requests, {whole:.1f} s, {len(expected.splitlines())} rows")
        for number in range(args.runs):
            server.requests.clear()
            configuration = configure(folder / f"run{number}", seeds, server.url)
            mine = 0
            while True:
                process = start(configuration)
                try:
                    process.wait(draw.uniform(0.2, 1.0) * whole)
                    assert process.returncode == 0
                    break
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    mine += 1
            identical = (folder / f"run{number}" / "dataset.jsonl").read_bytes() == expected
            same += identical
            kills += mine
            again += len(server.requests) - needed
            if len(server.requests) - needed > CONCURRENCY * mine or not identical:
                print(
                    f"  run {number}: identical {identical}, {len(server.requests) - needed} asked again, {mine} kills"
                )
    print(f"{same} of {args.runs} runs identical to the byte after {kills} kills")
    print(f"{again} requests asked again, {again / max(kills, 1):.1f} per kill, with {CONCURRENCY} in flight at each")


if __name__ == "__main__":
    main()
