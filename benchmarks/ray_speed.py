"""The Ray engine against the local one: the same seeds, the same simulated server, the same cores.

    python benchmarks/ray_speed.py [--seeds 5000] [--workers 2] [--rounds 1] [--samples 4]

Each round runs `snipmill run` once by each engine, as whole commands, start and gathering included. Told are wall time, the CPU of
the clients for each request, and the ratios of Ray to local. The CPU of the clients is what all CPUs of the machine did meanwhile,
less the server's, so run nothing beside it. Both must give the same data set.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a run cost."""

    wall: float
    cpu: float
    requests: int


def busy() -> float:
    """Seconds that all CPUs have worked."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS


def used_by(process: int) -> float:
    """Seconds of CPU of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def configure(folder: Path, name: str, seeds: Path, url: str, samples: int) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(
        f'[run]\ndir = "{folder / name}"\n[seeds]\nsources = ["{seeds}"]\n[model]\nbase_url = "{url}"\n'
        f"[generate]\nsamples = {samples}\nwave = 2\naccept = 2\n"
    )
    return path


def measure(command: list[str], server: subprocess.Popen[str], url: str, log: Path) -> Cost:
    def requests() -> int:
        with urllib.request.urlopen(url.removesuffix("/v1") + "/counts") as answer:
            return int(json.load(answer).get("requests", 0))

    before, cpu, own, began = requests(), busy(), used_by(server.pid), time.monotonic()
    with log.open("wb") as out:
        subprocess.run(command, check=True, stdout=out, stderr=out)
    wall = time.monotonic() - began
    return Cost(wall, busy() - cpu - (used_by(server.pid) - own), requests() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--tick", type=float, default=0.002)
    args = parser.parse_args()
    simulated = [sys.executable, str(Path(__file__).with_name("simulated_server.py"))]
    simulated += ["--slots", str(args.slots), "--tick", str(args.tick), "--stages"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seeds = folder / "seeds.jsonl"
        with seeds.open("w") as out:
            for number in range(args.seeds):
                code = f'def f{number}(x):\n    """Add {number} to a number, and tell how often."""\n    return x + {number}\n'
                out.write(json.dumps({"seed": code}) + "\n")
        server = subprocess.Popen(simulated, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        costs: dict[str, list[Cost]] = {"local": [], "ray": []}
        try:
            for number in range(args.rounds):
                for engine in costs:
                    path = configure(folder, f"{engine}{number}", seeds, url, args.samples)
                    command = [sys.executable, "-m", "snipmill", "run", str(path), "--engine", engine]
                    command += ["--workers", str(args.workers)] if engine == "ray" else []
                    cost = measure(command, server, url, folder / f"{engine}.log")
                    costs[engine].append(cost)
                    each = 1000 * cost.cpu / cost.requests
                    print(
                        f"{engine:>6}: {cost.wall:6.1f} s, {cost.requests:,} requests, {cost.requests / cost.wall:,.0f} a second, "
                        f"{each:.2f} ms of CPU each",
                        flush=True,
                    )
                same = (folder / f"ray{number}/dataset.jsonl").read_bytes() == (
                    folder / f"local{number}/dataset.jsonl"
                ).read_bytes()
                print(f"the same data set: {same}")
        finally:
            server.kill()
    walls = {engine: statistics.median(cost.wall for cost in found) for engine, found in costs.items()}
    cpus = {engine: statistics.median(cost.cpu / cost.requests for cost in found) for engine, found in costs.items()}
    wall, cpu = (by_engine["ray"] / by_engine["local"] for by_engine in (walls, cpus))
    print(
        f"Ray with {args.workers} workers to local, {args.seeds:,} seeds: {wall:.2f} of the time, {cpu:.2f} of the CPU"
    )


if __name__ == "__main__":
    main()
