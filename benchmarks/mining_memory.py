"""Memory of mining does not grow with the source: peak resident memory for 1,000 to 100,000 generated functions.

    python benchmarks/mining_memory.py [--sizes 1000 10000 100000] [--near 0] [--all]

Functions come from a JSONL file with a column of code; all of them stay. Each size is mined in a process of its own, with
near-duplicate search, the journal and as many workers as there are CPUs; with --all also secrets, types and benchmarks.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from snipmill.config import ColumnsTable, Config, SeedsTable
from snipmill.engine.by_hand import seeds_file
from snipmill.stages.stage_count import StageCount

WORDS = [
    first + second + third
    for first in "bdfgkl"
    for second in ("al", "or", "en", "ik")
    for third in ("to", "ra", "mi", "su")
]


def function(number: int) -> str:
    draw = random.Random(number)
    names = draw.sample(WORDS, 12)
    lines = [
        f"    {draw.choice(names)} = {draw.choice(names[:3])} * {draw.randrange(999)} + {draw.choice(names[:3])}"
        for _ in range(12)
    ]
    arguments = ", ".join(names[:3])
    text = " ".join(draw.sample(WORDS, 14))
    body = "\n".join(lines)
    return f'def {names[3]}_{number}({arguments}):\n    """Return {text}."""\n{body}\n    return {names[0]}\n'


def measure(path: str, everything: bool, near: float) -> None:
    seeds = SeedsTable(
        sources=(path,),
        columns=ColumnsTable(code="code"),
        licenses=("any",),
        types=everything,
        secrets=everything,
        decontaminate=everything,
        near=near,
    )
    count = StageCount()
    started = time.monotonic()
    seeds_file(Config(seeds=seeds), f"{path}.seeds", None, count)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(json.dumps([count.kept, count.rejected.total(), time.monotonic() - started, own, worker]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--all", action="store_true", help="secrets, types and benchmarks as well")
    parser.add_argument("--near", type=float, default=0.5, help="similarity of near duplicates, 0: off")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.all, options.near)
        return
    print(f"{'functions':>10} {'kept':>8} {'dropped':>8} {'seconds':>8} {'main MiB':>9} {'largest worker MiB':>19}")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "code.jsonl"
            with path.open("w") as handle:
                for number in range(size):
                    handle.write(json.dumps({"code": function(number)}) + "\n")
            command = [
                sys.executable,
                __file__,
                "--measure",
                str(path),
                "--near",
                str(options.near),
                *(["--all"] if options.all else []),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        kept, dropped, seconds, own, worker = json.loads(done.stdout)
        print(f"{size:10,} {kept:8,} {dropped:8,} {seconds:8.1f} {own:9,} {worker:19,}", flush=True)


if __name__ == "__main__":
    main()
