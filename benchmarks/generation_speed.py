"""How busy snipmill keeps a server, what its client costs, and how its memory grows.

    python benchmarks/generation_speed.py [--requests 5000] [--tick 0.004] [--interval 8] [--no-stream] [--openai]
    python benchmarks/generation_speed.py --faults 0.6,0.05,0.03,0.02 --requests 1000
    python benchmarks/generation_speed.py --memory

The reference is the ideal work-conserving client: the time in which `slots` machines do the same work when none of them
is ever idle while a request waits. `--openai` measures the CPU of the `openai` package (`pip install openai`) on the same
server with as many requests in flight. `--faults` names the shares of tries that fail transiently, are truncated, empty
and stalled. `--memory` compares resident memory after 5,000 and 100,000 requests that take no time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulated_server import length

from snipmill.config import Config, GenerateTable
from snipmill.config_model import ModelTable
from snipmill.engine.by_hand import generate_file
from snipmill.engine.files import Files
from snipmill.prompts.responses import STAGE as RESPONSES
from snipmill.records import Instruction
from snipmill.stages.stage_count import StageCount


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[str]:
    """A simulated server in a process of its own."""
    script = Path(__file__).with_name("simulated_server.py")
    with subprocess.Popen([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def counts(url: str) -> dict[str, int]:
    """What a server has seen."""
    with urllib.request.urlopen(url.replace("/v1", "/counts")) as answer:
        seen: dict[str, int] = json.load(answer)
    return seen


def write_instructions(path: Path, number: int) -> None:
    """Instructions that differ."""
    with path.open("w") as out:
        for index in range(number):
            out.write(json.dumps({"id": f"i-{index}", "instruction": f"Write function number {index}."}) + "\n")


def snipmill(url: str, folder: Path, requests: int, stream: bool) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and resident MiB of one stage, file to file."""
    source, out = folder / "instructions.jsonl", folder / "responses.jsonl"
    write_instructions(source, requests)
    config = Config(model=ModelTable(base_url=url, stream=stream), generate=GenerateTable(samples=1))
    count = StageCount()
    cpu, wall = time.process_time(), time.monotonic()
    asyncio.run(generate_file("responses", Files(str(source), str(out)), config, count, lambda _text: None))
    seconds = time.monotonic() - wall, time.process_time() - cpu
    if count.kept != requests:
        print(f"  LOST {requests - count.kept} of {requests} rows: {dict(count.rejected)}")
    return (*seconds, resident())


def resident() -> float:
    """Resident memory now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def prompts(requests: int) -> list[str]:
    """The prompts that snipmill sends for the instructions."""
    from snipmill.stages.generate import SampleTask, make_request
    from snipmill.stages.settings import for_models, resolve_generation

    generation = resolve_generation(Config(generate=GenerateTable(samples=1)))
    settings = for_models(generation, {"responses": "simulated"})["responses"]
    made = []
    for index in range(requests):
        record = Instruction(id=f"i-{index}", seed="", concepts=[], instruction=f"Write function number {index}.")
        made.append(str(make_request(RESPONSES, SampleTask(record, range(1)), settings).request.prompt))
    return made


def ideal(lengths: list[int], slots: int, tick: float) -> float:
    """Seconds of the ideal client: each request starts as soon as a slot is free."""
    free = [0.0] * slots
    for tokens in lengths:
        heapq.heappush(free, heapq.heappop(free) + tokens * tick)
    return max(free)


async def with_openai(url: str, texts: list[str], in_flight: int, stream: bool) -> tuple[float, float]:
    """Wall and CPU seconds of the openai package."""
    from openai import AsyncOpenAI

    gate = asyncio.Semaphore(in_flight)
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:

        async def one(text: str) -> None:
            fields: dict[str, Any] = {"model": "simulated", "prompt": text, "max_tokens": 4000, "seed": 1}
            async with gate:
                answer: Any = await client.completions.create(**fields, stream=stream)
                if stream:
                    async for _ in answer:
                        pass

        cpu, wall = time.process_time(), time.monotonic()
        await asyncio.gather(*map(one, texts))
        return time.monotonic() - wall, time.process_time() - cpu


def speed(args: argparse.Namespace, folder: Path) -> None:
    texts = prompts(args.requests)
    lengths = [length(text) for text in texts]
    best = ideal(lengths, args.slots, args.tick)
    bound = sum(lengths) * args.tick / args.slots
    options = ["--slots", str(args.slots), "--tick", str(args.tick), "--interval", str(args.interval)]
    print(f"{args.requests} requests, {sum(lengths)} tokens, {args.slots} slots, pieces of {args.interval} tokens")
    print(f"ideal client {best:.1f} s (work bound {bound:.1f} s)")
    with server(*options) as url:
        wall, cpu, memory = snipmill(url, folder, args.requests, args.stream)
    print(
        f"snipmill     {wall:.1f} s: {best / wall:.1%} of the ideal rate; client CPU "
        f"{1000 * cpu / args.requests:.2f} ms per request; {memory:.0f} MiB resident"
    )
    if args.openai:
        with server(*options) as url:
            wall, cpu = asyncio.run(with_openai(url, texts, args.slots, args.stream))
        print(
            f"openai       {wall:.1f} s: {best / wall:.1%} of the ideal rate; client CPU "
            f"{1000 * cpu / args.requests:.2f} ms per request"
        )


def faults(args: argparse.Namespace, folder: Path) -> None:
    options = ["--slots", str(args.slots), "--tick", str(args.tick), "--faults", args.faults]
    with server(*options) as url:
        wall, _, _ = snipmill(url, folder, args.requests, args.stream)
        seen = counts(url)
    failed = sum(seen.get(name, 0) for name in ("transient", "truncated", "empty", "stalled"))
    print(f"{args.requests} requests in {wall:.1f} s; the server saw {seen}")
    print(f"tries that did not fail: {seen['requests'] - failed}, one for each request where nothing is asked twice")


def memory(_args: argparse.Namespace, folder: Path) -> None:
    with server("--slots", "64", "--tick", "0", "--interval", "4000") as url:
        for number in (5_000, 100_000):
            place = folder / str(number)
            place.mkdir()
            wall, cpu, resident_after = snipmill(url, place, number, stream=False)
            print(
                f"{number:7} requests: {resident_after:.0f} MiB resident, {number / wall:.0f} requests/s, "
                f"client CPU {1000 * cpu / number:.2f} ms per request"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--tick", type=float, default=0.004)
    parser.add_argument("--interval", type=int, default=8)
    parser.add_argument("--stream", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--openai", action="store_true")
    parser.add_argument("--faults", default="")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (memory if args.memory else faults if args.faults else speed)(args, folder)


if __name__ == "__main__":
    main()
