"""A simulated continuous-batching server for the benchmarks: real HTTP on loopback, work that takes the time of its tokens.

    python benchmarks/simulated_server.py --slots 64 --tick 0.004 [--interval 8] [--faults 0.6,0.05,0.03,0.02]

It works on `slots` requests at a time, first come first served; a token takes `tick` seconds. Lengths are log-normal
(median 250 tokens, sigma 0.8) and, like faults, follow from the prompt, so that every client meets the same work. The
first line on standard output is its address. `GET /counts` tells what it has seen.

With `--stages` it answers as a model does that knows the prompts of a whole run: concepts and instructions are short, and the
programs of responses differ, a quarter of them wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import hashlib
import json
import math
import random
from typing import Any

from aiohttp import web

MEDIAN, SIGMA, MOST = 250, 0.8, 4000
HEAD = "[Reasoning]\n"
TAIL = (
    "\n\n[Implementation]\n```python\ndef f(x):\n    return x\n```\n\n[Explanation]\nIt is.\n\n"
    "[Tests]\n```python\nassert f(1) == 1\n```\n"
)
TAIL_TOKENS = 30
FAULTS = ("transient", "truncated", "empty", "stalled")


def draw(prompt: str, purpose: str) -> random.Random:
    """A generator that belongs to a prompt."""
    return random.Random(hashlib.blake2b(f"{purpose}\0{prompt}".encode(), digest_size=8).digest())


def answer_in_run(prompt: str, seed: int) -> str | None:
    """The whole answer to a prompt for concepts or an instruction; None for a response."""
    end, number = prompt.rstrip(), draw(prompt, f"answer {seed}").randrange(1_000_000)
    if end.endswith("### Concepts"):
        return f"adding numbers, functions, integer arithmetic, documentation, case {number}\n"
    if end.endswith("### Instruction"):
        return (
            f"Write a function `f` that takes a number and returns it increased by {number}. It has to work for negative "
            f"numbers as well, and must not change anything else. This is variant {number % 997} of the task.\n"
        )
    return None


def program_in_run(prompt: str, seed: int) -> str:
    """The end of a response, with a program of its own."""
    generator = draw(prompt, f"program {seed}")
    number, wrong = generator.randrange(1_000_000), generator.random() < 0.25
    return TAIL.replace("return x", f"return x + {number}").replace("f(1) == 1", f"f(1) == {number + 1 + wrong}")


def length(prompt: str) -> int:
    """Tokens of the answer to a prompt."""
    tokens = round(math.exp(draw(prompt, "length").gauss(math.log(MEDIAN), SIGMA)))
    return min(max(tokens, TAIL_TOKENS + 2), MOST)


def pieces(prompt: str, interval: int, seed: int | None = None) -> list[str]:
    """The answer in pieces of `interval` tokens; with a seed as in a whole run."""
    short = None if seed is None else answer_in_run(prompt, seed)
    if short is not None:
        words = [f"{word} " for word in short.split(" ")]
        return ["".join(words[place : place + interval]) for place in range(0, len(words), interval)]
    tail = TAIL if seed is None else program_in_run(prompt, seed)
    tokens = [HEAD, *(f"word{n} " for n in range(length(prompt) - TAIL_TOKENS - 1))]
    texts = ["".join(tokens[place : place + interval]) for place in range(0, len(tokens), interval)]
    step = math.ceil(len(tail) / max(1, TAIL_TOKENS // interval))
    return texts + [tail[place : place + step] for place in range(0, len(tail), step)]


class Server:
    """The state of the simulation."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.slots = asyncio.Semaphore(args.slots)
        self.seen: collections.Counter[str] = collections.Counter()
        self.counts: collections.Counter[str] = collections.Counter()
        self.shares = [float(share) for share in args.faults.split(",")] if args.faults else []

    def fault(self, prompt: str) -> str | None:
        """What goes wrong with this try of a request. A draw for each try, so that no request is hopeless."""
        self.seen[prompt] += 1
        if not self.shares:
            return None
        drawn = draw(prompt, f"fault {self.seen[prompt]}").random()
        for name, share in zip(FAULTS, self.shares, strict=True):
            if drawn < share:
                return name
            drawn -= share
        return None

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        prompt = body["prompt"]
        self.counts["requests"] += 1
        fault = self.fault(prompt)
        if fault is not None:
            self.counts[fault] += 1
        if fault == "transient":
            return web.json_response({"error": {"message": "try again"}}, status=(500, 502, 504)[self.seen[prompt] % 3])
        if fault == "stalled":
            await asyncio.sleep(600)
        if fault == "empty":
            return await self.send(request, body, [""], 0)
        async with self.slots:
            texts = pieces(prompt, self.args.interval, body.get("seed", 0) if self.args.stages else None)
            if fault == "truncated":
                texts = texts[: len(texts) // 2]
            tokens = length(prompt) if len(texts) > 8 or not self.args.stages else len(texts) * self.args.interval
            return await self.send(request, body, texts, tokens, whole=fault is None)

    async def send(
        self, request: web.Request, body: dict[str, Any], texts: list[str], tokens: int, whole: bool = True
    ) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        end = loop.time() + tokens * self.args.tick
        usage = {"prompt_tokens": len(body["prompt"]) // 4, "completion_tokens": tokens}
        if not body.get("stream"):
            await asyncio.sleep(max(0.0, end - loop.time()))
            answer = json.dumps({"choices": [{"text": "".join(texts), "finish_reason": "stop"}], "usage": usage})
            text = answer if whole else answer[: len(answer) // 2]
            return web.Response(text=text, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        start = loop.time()
        try:
            for number, text in enumerate(texts, start=1):
                await asyncio.sleep(max(0.0, start + (end - start) * number / len(texts) - loop.time()))
                await response.write(event({"choices": [{"text": text, "finish_reason": None}]}))
            if whole:
                await response.write(event({"choices": [{"text": "", "finish_reason": "stop"}], "usage": usage}))
                await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            self.counts["left"] += 1
        return response


def event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


async def serve(args: argparse.Namespace) -> None:
    server = Server(args)
    app = web.Application(client_max_size=1 << 26)

    async def models(_request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "simulated"}]})

    async def counts(_request: web.Request) -> web.Response:
        return web.json_response(server.counts)

    app.router.add_get("/v1/models", models)
    app.router.add_get("/counts", counts)
    app.router.add_post("/v1/completions", server.complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--tick", type=float, default=0.004)
    parser.add_argument("--interval", type=int, default=8)
    parser.add_argument("--faults", default="")
    parser.add_argument("--stages", action="store_true")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
