"""Simulates a large run on a cluster, from measured figures, and tells hours, cores, storage, cost, and what breaks first.

    python benchmarks/scale_simulation.py --gpu-tokens 3000 [--seeds 1000000] [--gpus 64] [--cores 512] [--gpu-hour 2.5]

Every input is in `scale_inputs.json`, which `scale_inputs.py` measures, but for one: `--gpu-tokens`, the tokens that one GPU
generates in a second with your model under load, which snipmill shows while it runs. Prices are yours as well.

Simulated is one worker of many: a GPU that works on a number of sequences at a time, its part of the cores, and the flow of a seed
as the engine has it, in events. A worker has nothing to do with others, so the cluster takes as long as its slowest worker.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INPUTS = Path(__file__).with_name("scale_inputs.json")
WAVE, SAMPLES = 5, 10  # the defaults of a run


@dataclass
class Pool:
    """Servers that work on one job each: sequences of a GPU, or cores."""

    size: int
    busy: int = 0
    seconds: float = 0.0
    waiting: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)


class Worker:
    """One worker, in events."""

    def __init__(self, measured: dict[str, Any], args: argparse.Namespace, cores: float, seed: int) -> None:
        self.draw = random.Random(seed)
        self.task, self.tokens = measured["task"], measured["tokens"]
        self.gpu, self.cores = Pool(args.sequences), Pool(max(1, round(cores)))
        self.per_token = args.sequences / args.gpu_tokens  # seconds for a token of one sequence, all at work
        self.per_prompt_token = 1 / args.gpu_prompt_tokens
        self.now, self.done = 0.0, 0
        self.generated = self.read = 0.0
        self.responses = 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        # Executing and verifying, for each response that was drawn; what the worker's process takes is counted apart.
        self.per_response = (self.task["cpu_seconds"] - self.task["process_seconds"]) / self.task["samples_drawn"]

    def spread(self, mean: float, variation: float) -> float:
        """A log-normal draw."""
        sigma = math.sqrt(math.log(1 + variation**2))
        return self.draw.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)

    def submit(self, pool: Pool, seconds: float, then: Callable[[], None]) -> None:
        """Have a job done when a server is free, first come first served."""
        pool.waiting.append((seconds, then))
        self.start(pool)

    def start(self, pool: Pool) -> None:
        while pool.busy < pool.size and pool.waiting:
            seconds, then = pool.waiting.popleft()
            pool.busy += 1
            pool.seconds += seconds
            heapq.heappush(self.events, (self.now + seconds, next(self.order), lambda then=then: self.end(pool, then)))  # type: ignore[misc]

    def end(self, pool: Pool, then: Callable[[], None]) -> None:
        pool.busy -= 1
        then()
        self.start(pool)

    def ask(self, stage: str, then: Callable[[], None]) -> None:
        """A request of a stage."""
        figures = self.tokens[stage]
        length = self.spread(figures["completion"], figures["completion_spread"])
        self.generated += length
        self.read += figures["prompt"]
        seconds = length * self.per_token + figures["prompt_uncached"] * self.per_prompt_token
        self.submit(self.gpu, seconds, then)

    def grow(self, ended: Callable[[], None]) -> None:
        """A seed, from its concepts to its rows."""

        def draw_wave(drawn: int) -> None:
            left = [WAVE]

            def executed() -> None:
                left[0] -= 1
                if left[0]:
                    return
                is_enough = self.draw.random() < self.task["enough_after_first_wave"]
                if drawn + WAVE >= SAMPLES or is_enough:
                    ended()
                else:
                    draw_wave(drawn + WAVE)

            self.responses += WAVE
            for _ in range(WAVE):
                seconds = self.spread(self.per_response, 1.5)
                self.ask("responses", lambda seconds=seconds: self.submit(self.cores, seconds, executed))  # type: ignore[misc]

        self.ask("concepts", lambda: self.ask("instructions", lambda: draw_wave(0)))

    def run(self, seeds: int, window: int) -> None:
        """Grow so many seeds, at most `window` at a time."""
        left = [seeds]

        def begin() -> None:
            if left[0]:
                left[0] -= 1
                self.grow(end)

        def end() -> None:
            self.done += 1
            begin()

        for _ in range(min(window, seeds)):
            begin()
        while self.events:
            self.now, _, happens = heapq.heappop(self.events)
            happens()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--gpu-tokens", type=float, required=True, help="generated tokens a second of one GPU under load"
    )
    parser.add_argument(
        "--gpu-prompt-tokens", type=float, help="prompt tokens a second; ten times as many if not given"
    )
    parser.add_argument("--sequences", type=int, default=128, help="that a GPU works on at a time")
    parser.add_argument("--seeds", type=int, default=1_000_000)
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--cores", type=int, default=512)
    parser.add_argument("--gpu-hour", type=float, default=0.0, help="price of an hour of a GPU with its host")
    parser.add_argument(
        "--core-hour", type=float, default=0.0, help="price of an hour of a core that is not part of such a host"
    )
    parser.add_argument("--terabyte-month", type=float, default=0.0)
    parser.add_argument("--sampled", type=int, default=3, help="workers that are simulated")
    args = parser.parse_args()
    args.gpu_prompt_tokens = args.gpu_prompt_tokens or 10 * args.gpu_tokens
    measured = json.loads(INPUTS.read_text())
    task, gathered = measured["task"], measured["gather"]
    each = args.seeds // args.gpus
    workers = [Worker(measured, args, args.cores / args.gpus, seed) for seed in range(args.sampled)]
    for worker in workers:
        worker.run(each, window=4 * args.sequences)
    seconds = max(worker.now for worker in workers)
    generated, read = (
        args.gpus * sum(getattr(worker, name) for worker in workers) / len(workers) for name in ("generated", "read")
    )
    gpu_use = max(worker.gpu.seconds / worker.now / worker.gpu.size for worker in workers)
    core_use = max(worker.cores.seconds / worker.now / worker.cores.size for worker in workers)
    # What was measured for a task had fewer samples; all of it grows with their number.
    more = sum(worker.responses for worker in workers) / len(workers) / each / task["samples_drawn"]
    process_use = task["process_seconds"] * more * each / seconds
    stored = args.seeds * (task["journal_bytes"] + task["file_bytes"]) * more * 2
    rows = args.seeds * task["kept_rows"] * more
    gather_hours = gathered["seconds"] / gathered["rows"] * rows / 3600
    hours = seconds / 3600
    cost = hours * (args.gpus * args.gpu_hour + args.cores * args.core_hour) + stored / 1e12 * args.terabyte_month
    print(f"{args.seeds:,} seeds on {args.gpus} GPUs of {args.gpu_tokens:,.0f} tokens a second, and {args.cores} cores")
    print(f"hours               {hours:,.1f}, and {gather_hours:,.1f} to gather")
    print(
        f"tokens              {generated / 1e9:,.2f} billion generated, {read / 1e9:,.1f} billion read, most of them cached"
    )
    print(f"use of GPUs         {gpu_use:.0%}")
    print(f"use of cores        {core_use:.0%}: {core_use * args.cores:,.0f} keep up with generation")
    print(f"use of each process {process_use:.0%} of a core")
    print(f"rows to select      {rows / 1e6:,.2f} million")
    print(f"storage             {stored / 1e12:,.2f} TB, shards and gathered run")
    print(f"memory of gathering {gathered['peak_bytes'] / gathered['rows'] * rows / 2**30:,.1f} GiB")
    if cost:
        print(f"cost                {cost:,.0f}, {1000 * cost / rows:,.2f} for a thousand rows before selection")
    limits = {
        "the GPUs": gpu_use,
        "the cores of the sandboxes": core_use,
        "the process of a worker: give more workers than GPUs": process_use,
    }
    first, use = max(limits.items(), key=lambda item: item[1])
    print(f"what breaks first   {first}, at {use:.0%}")


if __name__ == "__main__":
    main()
