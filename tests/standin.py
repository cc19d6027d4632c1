"""A deterministic OpenAI-compatible server on loopback: real HTTP, answers that depend on nothing but the request.

It runs in a thread with an event loop of its own. `faults` lets a test say what goes wrong with a request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web

GOOD = """[Reasoning]
Adding {n} is one step.

[Implementation]
```python
def add_{n}(x):
    # one step
    return x + {n}
```

[Explanation]
It adds {n}.

[Tests]
```python
assert add_{n}(0) == {n}
assert add_{n}(1) == {m}
```
And then the model goes on and on, as weak ones do.
"""
WRONG = GOOD.replace("== {m}", "== 0")
NO_TESTS = GOOD.split("[Tests]")[0]
THOUGHT = "Okay, the user wants a number to be added.\n\nMaybe [Tests] first? No: reasoning comes first.\n" + "".join(
    f"What about {n}? Then {n + 7} should come out, which can be checked in step {n * n}.\n" for n in range(8)
)
VARIANTS = (GOOD, WRONG, NO_TESTS, GOOD.replace("add_", "plus_"))

Fault = Callable[[dict[str, Any], int], Any]  # a response, a coroutine that gives one, or None


def answer_to(body: dict[str, Any]) -> str:
    """What the model says: a function of the prompt and the sampling seed."""
    prompt = body.get("prompt")
    if prompt is None:
        prompt = body["messages"][-1]["content"]
    digest = int(hashlib.sha256(f"{prompt}{body['seed']}".encode()).hexdigest(), 16)
    if prompt.rstrip().endswith("### Concepts"):
        return f"adding numbers, functions, case {digest % 1000}\n"
    if prompt.rstrip().endswith("### Assertions"):
        n = int((re.findall(r"adds the number (\d+)", prompt) or [digest % 50])[-1])
        return f"assert add_number(2) == {n + 2}\nassert add_number(40) == {n + 40}\n"
    if prompt.rstrip().endswith("### Answer"):
        return " yes\n" if digest % 4 else " No, it does not.\n"
    if prompt.rstrip().endswith("### Instruction"):
        return f"Write a function that adds the number {digest % 50} to its argument, variant {digest % 997}."
    asked = re.findall(r"adds the number (\d+)", prompt)
    n = int(asked[-1]) if asked else digest % 50
    return VARIANTS[digest // 50 % len(VARIANTS)].format(n=n, m=n + 1)


def pieces(text: str) -> list[str]:
    """The tokens of a text: words with the space before them."""
    return re.findall(r" ?\w+|\s|[^\w\s]", text)


def token_logprob(token: str, context: str) -> float:
    """The log probability of a token: a function of it and of what stands before it."""
    digest = hashlib.sha256(f"{context}\0{token}".encode()).digest()
    return -(1 + digest[0]) / 64


def scored(prompt: str) -> list[tuple[str, float | None]]:
    """Each token of a prompt with its log probability; the first has none."""
    found: list[tuple[str, float | None]] = []
    before = ""
    for token in pieces(prompt):
        found.append((token, token_logprob(token, before) if before else None))
        before += token
    return found


def _logprobs(body: dict[str, Any], text: str, chat: bool) -> dict[str, Any]:
    """Three of four parts of the probability for the word that is said, in the shape of the endpoint."""
    if not body.get("logprobs"):
        return {}
    said, other = (" yes", " no") if "yes" in text else (" No", " Yes")
    top = {said: math.log(0.6), other: math.log(0.2), " maybe": math.log(0.2)}
    if chat:
        listed = [{"token": token, "logprob": value} for token, value in top.items()]
        return {"logprobs": {"content": [{"token": said, "logprob": top[said], "top_logprobs": listed}]}}
    return {"logprobs": {"tokens": [said], "token_logprobs": [top[said]], "top_logprobs": [top]}}


class StandIn:
    """Use as a context manager; `url` is what `--base-url` takes."""

    def __init__(self, model: str = "stand-in", fault: Fault | None = None, key: str | None = None) -> None:
        self.model = model
        self.fault = fault
        self.key = key
        self.requests: list[dict[str, Any]] = []
        self.delay = 0.0
        self.at_once = self.most_at_once = 0  # requests that wait for the delay
        self.fenced: str | None = None  # how responses to tasks in Rust mark their code
        self.probable = True  # whether log probabilities are given to who asks for them
        self.tells = (
            "vllm"  # as which server it tells log probabilities of a prompt: `sglang`, `llamacpp`, or not at all
        )
        self.owner: str | None = None  # who owns the models, as servers say of themselves
        self.thinks: str | None = None  # in a chat: the field of the trace, or `inline`, or `prefilled`
        self.thought = THOUGHT
        self.dress: Callable[[str], str] = str  # how a chat model's responses look
        self.dress_base: Callable[[str], str] = str
        self.headers: list[dict[str, str]] = []
        self.pace = 0.0
        self.tokens_sent = 0
        self._seen: dict[str, int] = {}
        self._vocabulary: dict[str, int] = {}

    def __enter__(self) -> StandIn:
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/generate", self._generate)
        app.router.add_post("/tokenize", self._tokenize)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

        async def start() -> None:
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

        self._loop.run_until_complete(start())
        ready.set()
        self._loop.run_forever()

    def _refuse(self, request: web.Request) -> web.Response | None:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "no such key"}}, status=401)
        return None

    async def _models(self, request: web.Request) -> web.StreamResponse:
        owner = {"owned_by": self.owner} if self.owner is not None else {}
        return self._refuse(request) or web.json_response({"data": [{"id": self.model, **owner}]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        """SGLang's own endpoint."""
        body = json.loads(await request.text())
        self.requests.append(body)
        if self.tells != "sglang":
            return web.json_response({"detail": "Not Found"}, status=404)
        told = [[value, number, token] for number, (token, value) in enumerate(scored(body["text"]))]
        meta = {"input_token_logprobs": told, "prompt_tokens": len(told), "completion_tokens": 1}
        return web.json_response({"text": " x", "meta_info": meta})

    async def _tokenize(self, request: web.Request) -> web.StreamResponse:
        """llama.cpp's own endpoint; ids are places in a vocabulary that grows."""
        body = json.loads(await request.text())
        if self.tells != "llamacpp":
            return web.json_response({"detail": "Not Found"}, status=404)
        return web.json_response({"tokens": [self._id(token) for token in pieces(body["content"])]})

    def _id(self, token: str) -> int:
        return self._vocabulary.setdefault(token, len(self._vocabulary))

    def _score(self, body: dict[str, Any]) -> web.Response:
        """What a server says that is asked for the log probabilities of its prompt, or to generate by a grammar."""
        prompt = body["prompt"]
        usage = {"prompt_tokens": len(pieces(prompt)), "completion_tokens": 1}
        if "grammar" in body and self.tells == "llamacpp":
            words = {number: token for token, number in self._vocabulary.items()}
            content, before = [], prompt
            for number in map(int, re.findall(r"<\[(\d+)\]>", body["grammar"])):
                token = words[number]
                content.append({"id": number, "token": token, "logprob": token_logprob(token, before)})
                before += token
            usage["completion_tokens"] = len(content)
            return self._told(before.removeprefix(prompt), {"content": content}, usage)
        told: list[tuple[str, float | None]] = [(" x", -1.0)]
        if self.tells == "vllm":
            told = [*scored(prompt), *told]
        tokens = [token for token, _ in told]
        return self._told("".join(tokens), {"tokens": tokens, "token_logprobs": [value for _, value in told]}, usage)

    def _told(self, text: str, logprobs: dict[str, Any], usage: dict[str, int]) -> web.Response:
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": "length"}
        return web.json_response({"choices": [choice], "usage": usage})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        refused = self._refuse(request)
        if refused is not None:
            return refused
        raw = await request.text()
        body = json.loads(raw)
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        attempt = self._seen[raw] = self._seen.get(raw, 0) + 1
        faulty = self.fault(body, attempt) if self.fault is not None else None
        if asyncio.iscoroutine(faulty):
            faulty = await faulty
        if faulty is not None:
            assert isinstance(faulty, web.StreamResponse)
            return faulty
        if self.delay:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await asyncio.sleep(self.delay)
            finally:
                self.at_once -= 1
        if body.get("echo") or "grammar" in body:
            return self._score(body)
        chat = "messages" in body
        answers = []
        for number in range(body.get("n", 1)):
            text = answer_to({**body, "seed": body["seed"] + 104729 * number})
            if self.fenced is not None and "language: Rust" in str(body.get("prompt")).rpartition("## Example")[2]:
                text = text.replace("Write a", f"In {self.fenced}, write a")
            if self.fenced is not None and f"In {self.fenced}," in str(body.get("prompt")).rpartition("## Example")[2]:
                text = text.replace("```python", f"```{self.fenced}")
            text = self._as_chat(text) if chat else self.dress_base(text)
            words = [text[i : i + 4] for i in range(0, len(text), 4)]
            cut = len(words) > body["max_tokens"]
            answers.append((words[: body["max_tokens"]], "length" if cut else "stop"))
        trace = self.thought if chat and self.thinks not in (None, "inline", "prefilled") else ""
        thought = [trace[i : i + 4] for i in range(0, len(trace), 4)]
        if len(thought) >= body["max_tokens"]:
            thought, answers = thought[: body["max_tokens"]], [([], "length") for _ in answers]
        count = sum(len(words) + len(thought) for words, _ in answers)
        usage = {"prompt_tokens": 7, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": 5}}
        if not body.get("stream"):
            choices = []
            for number, (words, finish) in enumerate(answers):
                message = {"content": "".join(words), **({str(self.thinks): "".join(thought)} if thought else {})}
                choice: dict[str, Any] = {"message": message} if chat else {"text": "".join(words)}
                logprobs = _logprobs(body, "".join(words), chat) if self.probable else {}
                choices.append({"index": number, **choice, **logprobs, "finish_reason": finish})
            return web.json_response({"choices": choices, "usage": usage})
        return await self._stream(request, answers, chat, usage, thought)

    def _as_chat(self, text: str) -> str:
        text = self.dress(text)
        if self.thinks == "inline":
            return f"<think>\n{self.thought}\n</think>\n\n{text}"
        return f"{self.thought}\n</think>\n\n{text}" if self.thinks == "prefilled" else text

    async def _stream(
        self,
        request: web.Request,
        answers: list[tuple[list[str], str]],
        chat: bool,
        usage: dict[str, Any],
        thought: list[str],
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for piece in thought:
                for number in range(len(answers)):
                    delta = {"delta": {str(self.thinks): piece}}
                    await response.write(_event({"choices": [{"index": number, **delta, "finish_reason": None}]}))
            for place in range(max(len(words) for words, _ in answers)):
                for number, (words, _) in enumerate(answers):
                    if place < len(words):
                        part = {"delta": {"content": words[place]}} if chat else {"text": words[place]}
                        await response.write(_event({"choices": [{"index": number, **part, "finish_reason": None}]}))
                        self.tokens_sent += 1
                await asyncio.sleep(self.pace)
            for number, (_, finish) in enumerate(answers):
                last: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
                await response.write(_event({"choices": [{"index": number, **last, "finish_reason": finish}]}))
            await response.write(_event({"choices": [], "usage": usage}))
            await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            pass
        return response


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()
