"""What fixed few-shot draws save on a server that caches prefixes: the embedded one, or any with --base-url.

    python benchmarks/prefix_cache.py [--base-url URL] [--requests 32] [--shots 3] [--draws 1 4 16 0]

For each number of draws (0: a set of examples for each record, as the original does) the same tasks are asked for 8 tokens
each, and the prompt tokens, those that came from the cache, and the seconds are told. The embedded server is started anew for each.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gzip
import json
import time
from pathlib import Path

from snipmill.config import Config, GenerateTable
from snipmill.config_model import ModelTable
from snipmill.llm.connect import Connection, connect
from snipmill.prompts.responses import STAGE
from snipmill.records import Instruction, Refusal
from snipmill.stages.generate import SampleTask, make_request
from snipmill.stages.settings import for_models, resolve_generation

RECORDED = Path(__file__).parent / "false_passes" / "qwen2.5-coder-0.5b" / "recorded.jsonl.gz"


def tasks(count: int) -> list[Instruction]:
    """Instructions of the false-pass benchmark."""
    lines = (json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines())
    texts = {line["task"]: line["instruction"] for line in lines}
    return [Instruction(id=name, seed="", concepts=[], instruction=text) for name, text in texts.items()][:count]


async def measure(connection: Connection, draws: int, seed: int, shots: int, count: int) -> None:
    """Ask all tasks, and tell what came from the cache."""
    config = Config(generate=GenerateTable(draws=draws))
    generation = for_models(resolve_generation(config), {STAGE.name: connection.model})[STAGE.name]
    # Another run seed for each measurement draws other sets, so that none finds the cache of the one before.
    generation = dataclasses.replace(
        generation, max_tokens=8, shots=shots, draws=dataclasses.replace(generation.draws, seed=seed)
    )
    requests = [make_request(STAGE, SampleTask(task, range(1)), generation).request for task in tasks(count)]
    began = time.monotonic()
    answers = await asyncio.gather(*(connection.fleet.complete(dataclasses.replace(r, cut=None)) for r in requests))
    seconds = time.monotonic() - began
    usages = [part.usage for answer in answers if not isinstance(answer, Refusal) for part in answer]
    prompt, cached = sum(usage.prompt_tokens for usage in usages), sum(usage.cached_tokens for usage in usages)
    print(
        f"{draws or 'one per record':>14} draws: {prompt:7} prompt tokens, {cached / prompt:5.0%} from the cache, {seconds:6.1f} s",
        flush=True,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--shots", type=int, default=3)
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 4, 16, 0])
    args = parser.parse_args()
    for number, draws in enumerate(args.draws):
        async with connect(ModelTable(base_url=args.base_url)) as connection:
            if number == 0:
                print(connection.description)
            await measure(connection, draws, 1000 + number, args.shots, args.requests)


if __name__ == "__main__":
    asyncio.run(main())
