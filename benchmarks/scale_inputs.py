"""Measures what a large run is made of, for `scale_simulation.py`: tokens, waves, CPU, bytes, and the time and memory of gathering.

    python benchmarks/scale_inputs.py --gathered GATHERED.json > benchmarks/scale_inputs.json

Tokens are counted by the tokenizer of the embedded model, in the prompts that snipmill builds around its own examples. The
responses are 6 real samples of Qwen2.5-Coder-1.5B for each of 60 MBPP tasks (`false_passes/`), which a server on loopback gives to
a shard of `snipmill run`. So how many are drawn before they are enough, and what executing and verifying them takes, is what it is
there. In one of ten tasks, all programs import numpy or pandas. Run nothing beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from snipmill.config import Config
from snipmill.llm.embedded import serve
from snipmill.llm.weights import find_weights
from snipmill.prompts import concepts, instructions, responses
from snipmill.records import Concepts, Instruction, Record, Seed
from snipmill.stages.generate import SampleTask, make_request
from snipmill.stages.settings import for_models, resolve_generation
from snipmill.stages.spec import ASKING
from snipmill.store.run_directory import RunDirectory

RECORDED = Path(__file__).parent / "false_passes/qwen2.5-coder-1.5b/recorded.jsonl.gz"
SAMPLES = 6
WAVE = 3
# The command, which tells at its end how many seconds of CPU its own process took, without the sandbox.
TELLS_ITS_CPU = (
    "import atexit, sys, time; atexit.register(lambda: print('CPU', time.process_time(), file=sys.stderr)); "
    "from snipmill.cli import main; main()"
)
HEAVY = ("import numpy as np\n", "import pandas as pd\n")  # what the programs of one task in ten begin with


def recorded() -> dict[str, list[str]]:
    """Samples by instruction; one task in ten imports numpy or pandas."""
    found: dict[str, list[str]] = {}
    with gzip.open(RECORDED, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            found.setdefault(record["instruction"], []).append(record["response"] or "")
    for number, instruction in enumerate(found):
        if number % 10 == 0:
            heavy = HEAVY[number // 10 % 2]
            found[instruction] = [text.replace("```python\n", f"```python\n{heavy}", 1) for text in found[instruction]]
    return found


class Replay:
    """A server on loopback that answers with recorded samples; runs in a thread."""

    def __init__(self, samples: dict[str, list[str]]) -> None:
        self._samples = samples
        self._names = list(samples)
        self.requests = 0
        self.drawn: dict[str, int] = {}
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._ready.set()
        await asyncio.Event().wait()

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "recorded"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.requests += 1
        prompt = str(body["prompt"])
        text = self._answer(prompt)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        words = re.findall(r"\s*\S+", text) or [text]
        pieces = ["".join(words[place : place + 6]) for place in range(0, len(words), 6)]  # about 8 tokens
        for piece in pieces:
            event = {"choices": [{"text": piece, "finish_reason": None}]}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
        last = {"choices": [{"text": "", "finish_reason": "stop"}], "usage": usage}
        await response.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
        return response

    def _answer(self, prompt: str) -> str:
        end = prompt.rstrip()
        if end.endswith("### Concepts"):
            number = int(re.findall(r"def task_(\d+)\(", prompt)[-1])
            return f"concept number {number}, functions\n"
        if end.endswith("### Instruction"):
            number = int(re.findall(r"concept number (\d+)", prompt)[-1])
            return f"{self._names[number % len(self._names)]}\n"
        asked = max(self._names, key=lambda name: prompt.rfind(name))
        sample = self.drawn.get(asked, 0)
        self.drawn[asked] = sample + 1
        return self._samples[asked][sample % len(self._samples[asked])]


def seeds_file(path: Path, count: int) -> Path:
    with path.open("w") as out:
        for number in range(count):
            code = f'def task_{number}(value):\n    """Tell what task {number} makes of a value."""\n    return value, {number}\n'
            out.write(json.dumps({"seed": code}) + "\n")
    return path


def busy() -> float:
    """Seconds that all CPUs of the machine have worked."""
    fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    return (sum(map(int, fields[:3])) + int(fields[5]) + int(fields[6])) / os.sysconf("SC_CLK_TCK")


def whole_run(folder: Path) -> dict[str, float]:
    """What a task takes in a run in shards, by the recorded samples."""
    samples = recorded()
    server = Replay(samples)
    seeds = seeds_file(folder / "seeds.jsonl", len(samples))
    run = folder / "run"
    config = folder / "run.toml"
    config.write_text(
        f'[run]\ndir = "{run}"\n[seeds]\nsources = ["{seeds}"]\nnear = 0.0\n[model]\nbase_url = "{server.url}"\n'
        f"[generate]\nsamples = {SAMPLES}\nwave = {WAVE}\naccept = 2\n[select]\ndecontaminate = false\n"
    )
    before, here, began = busy(), time.process_time(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", TELLS_ITS_CPU, "run", str(config), "--shard", "0/1"],
        check=True,
        capture_output=True,
        text=True,
    )
    own = float(re.findall(r"^CPU (\S+)$", done.stderr, re.MULTILINE)[-1])
    wall, used = time.monotonic() - began, busy() - before - (time.process_time() - here)
    shard = RunDirectory(run).shard(0)
    funnel = shard.read_manifest()["funnel"]
    drawn = funnel["responses"]["in"]
    size = sum(path.stat().st_size for path in (shard.path / "journal").iterdir())
    files = sum(path.stat().st_size for path in shard.path.glob("*.jsonl"))
    tasks = len(samples)
    return {
        "tasks": tasks,
        "requests": server.requests / tasks,
        "samples_drawn": drawn / tasks,
        "enough_after_first_wave": sum(count <= WAVE for count in server.drawn.values()) / tasks,
        "rows": sum(json.loads(line).get("has_row", False) for line in shard.grown.read_text().splitlines()[1:])
        / tasks,
        "kept_rows": funnel["sanitize"]["kept"] / tasks,
        "cpu_seconds": used / tasks,
        "process_seconds": own / tasks,
        "wall_seconds": wall / tasks,
        "journal_bytes": size / tasks,
        "file_bytes": files / tasks,
    }


def _own_part(prompt: str) -> str:
    """The part of a prompt behind the examples that it shares with others."""
    place = prompt.rfind("\n## ")
    return prompt[place:] if place >= 0 else prompt[-800:]


async def tokens() -> dict[str, dict[str, float]]:
    """Prompt tokens, those behind the shared examples, and tokens of answers, by stage."""
    settings = for_models(resolve_generation(Config()), dict.fromkeys(ASKING, "model"))
    examples = [example for example in settings["responses"].bank.examples if example.response]
    stages: dict[str, tuple[Any, list[Record], list[str]]] = {
        "concepts": (
            concepts.STAGE,
            [Seed(id=f"s-{number}", seed=one.snippet) for number, one in enumerate(examples)],
            [", ".join(one.concepts) for one in examples],
        ),
        "instructions": (
            instructions.STAGE,
            [
                Concepts(id=f"c-{number}", seed=one.snippet, concepts=list(one.concepts))
                for number, one in enumerate(examples)
            ],
            [one.instruction for one in examples],
        ),
        "responses": (
            responses.STAGE,
            [
                Instruction(id=f"i-{number}", seed="", concepts=[], instruction=one.instruction)
                for number, one in enumerate(examples)
            ],
            [text for texts in recorded().values() for text in texts if text],
        ),
    }
    found = {}
    async with serve(find_weights(None), slots=1, context=4096) as server, aiohttp.ClientSession() as session:

        async def count(text: str) -> int:
            headers = {"Authorization": f"Bearer {server.api_key}"}
            address = server.base_url.removesuffix("/v1") + "/tokenize"
            async with session.post(address, json={"content": text}, headers=headers) as answer:
                return len((await answer.json())["tokens"])

        for name, (stage, records, answers) in stages.items():
            prompts = [
                str(make_request(stage, SampleTask(one, range(1)), settings[name]).request.prompt) for one in records
            ]
            whole = [await count(prompt) for prompt in prompts]
            # What no other prompt with the same examples has is computed anew; the rest comes from the cache.
            own = [await count(_own_part(prompt)) for prompt in prompts]
            lengths = [await count(answer) for answer in answers]
            found[name] = {
                "prompt": statistics.fmean(whole),
                "prompt_uncached": statistics.fmean(own),
                "completion": statistics.fmean(lengths),
                "completion_spread": statistics.pstdev(lengths) / statistics.fmean(lengths),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gathered", type=Path, help="what gather_memory.py printed, as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measured: dict[str, Any] = {"task": whole_run(Path(temporary)), "tokens": asyncio.run(tokens())}
    if args.gathered is not None:
        measured["gather"] = json.loads(args.gathered.read_text())
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
