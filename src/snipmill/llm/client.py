"""The client of OpenAI-compatible servers: /v1/completions and /v1/chat/completions, whole or streamed.

Every fault has an owner: transient ones are tried again here with jittered backoff, a request's own become a refusal,
and those that no request can survive are raised. Does not cover how many requests are made at a time (`pipeline`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

from snipmill.errors import AuthenticationFailed, ServerError, ServerUnreachable
from snipmill.llm.answer import DECODER, MODELS_DECODER, Answer
from snipmill.llm.faults import Transient, classify, error_message
from snipmill.llm.request import Request
from snipmill.records import Completion, Refusal, Usage

_CONNECT_TIMEOUT = 10.0
_EMPTY_TRIES = 3
_LOOK_EVERY = 16  # pieces of a stream without a line end or a bracket after which it is looked at all the same


@dataclass(frozen=True)
class Server:
    """Where and how a server is asked.

    Attributes:
        base_url: ends in /v1 as a rule, as for the `openai` package.
        api_key: sent as a bearer token; never written anywhere.
        timeout: seconds without a byte from the server after which a request is tried again.
        tries: how often one request is tried before the run stops.
        extra: more fields for every request's body.
    """

    base_url: str
    api_key: str | None = None
    timeout: float = 600.0
    tries: int = 8
    extra: Mapping[str, Any] = field(default_factory=dict)


class Client:
    """Use as `async with Client(server) as client`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._url = server.base_url.rstrip("/")
        self.retries = 0

    async def __aenter__(self) -> Client:
        headers = {"Authorization": f"Bearer {self.server.api_key}"} if self.server.api_key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=self.server.timeout),
            read_bufsize=1 << 18,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def models(self) -> list[str]:
        """The names of the models that the server has.

        Raises:
            ServerUnreachable, AuthenticationFailed, ServerError: it cannot be asked.
        """
        try:
            async with self._session.get(f"{self._url}/models") as answer:
                body = await answer.read()
                if answer.status in (401, 403):
                    message = error_message(body)
                    raise AuthenticationFailed(
                        f"The server at {self._url} refused the key (HTTP {answer.status}: {message}). "
                        "Set OPENAI_API_KEY to a key that it takes."
                    )
                if answer.status != 200:
                    raise ServerError(
                        f"The server at {self._url} answered HTTP {answer.status} for the list of its models. "
                        "Is the address that of an OpenAI-compatible server, with /v1 at its end?"
                    )
                return [model.id for model in MODELS_DECODER.decode(body).data]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        except msgspec.DecodeError as error:
            raise ServerError(
                f"The server at {self._url} does not answer as an OpenAI-compatible one: {error}."
            ) from error

    def _unreachable(self, error: BaseException) -> ServerUnreachable:
        return ServerUnreachable(
            f"No server answers at {self._url} ({error or type(error).__name__}). "
            "Start it, or give its address with --base-url or OPENAI_BASE_URL."
        )

    async def complete(self, request: Request) -> Completion | Refusal:
        """The answer to a request, or why it has none.

        Raises:
            ServerUnreachable: the last of all tries found no server, or one that does not answer properly.
            AuthenticationFailed, ModelNotFound, ServerError: no request of this run can succeed.
        """
        empty = 0
        fault: Transient | None = None
        for attempt in range(self.server.tries):
            try:
                completion = await self._ask(request, request.seed + 7919 * empty)
            except Transient as error:
                fault = error
                self.retries += 1
                await asyncio.sleep(_backoff(attempt, error.wait))
                continue
            if isinstance(completion, Refusal) or completion.text.strip() or completion.finish_reason == "length":
                return completion
            empty += 1
            if empty == _EMPTY_TRIES:
                return Refusal(reason="empty-completion", detail=f"The server answered {empty} times without a text.")
        raise ServerUnreachable(
            f"The server at {self._url} failed {self.server.tries} times on one request: "
            f"{fault.detail if fault else 'no usable answer'}. Everything so far is kept; start the server and run the "
            "same command again."
        )

    async def _ask(self, request: Request, seed: int) -> Completion | Refusal:
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": seed % (1 << 31),
            "stop": list(request.stop),
            **self.server.extra,
        }
        if isinstance(request.prompt, str):
            path, body["prompt"] = "completions", request.prompt
        else:
            path, body["messages"] = "chat/completions", request.prompt
        streamed = request.cut is not None
        if streamed:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        # JSON has no lone surrogates, so a prompt that holds one is sent with a replacement character.
        payload = _encode(body)
        try:
            async with self._session.post(
                f"{self._url}/{path}", data=payload, headers={"Content-Type": "application/json"}
            ) as answer:
                if answer.status != 200:
                    return classify(answer.status, await answer.read(), answer.headers, self._url, request.model)
                if streamed:
                    return await self._read_stream(answer, request)
                return _whole(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Transient(f"{type(error).__name__}: {error}") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise Transient(f"an answer that is no JSON of the expected shape: {error}") from error

    async def _read_stream(self, answer: aiohttp.ClientResponse, request: Request) -> Completion:
        """Read pieces until the server ends, or until what follows cannot matter; leaving closes the connection."""
        stream = _Stream()
        async for line in answer.content:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                break
            piece = stream.add(DECODER.decode(data))
            if "\n" not in piece and "]" not in piece and stream.pieces % _LOOK_EVERY:
                continue
            cut = request.cut(stream.text) if request.cut is not None else None
            if cut is not None:
                answer.close()
                return stream.completion(cut, "cut")
            if request.hopeless is not None and request.hopeless(stream.text):
                answer.close()
                return stream.completion(stream.text, "hopeless")
        if stream.finish_reason is None:
            raise Transient("the stream ended without a finish reason")
        return stream.completion(stream.text, stream.finish_reason)


class _Stream:
    """The pieces of a streamed answer so far."""

    def __init__(self) -> None:
        self.text = ""
        self.finish_reason: str | None = None
        self.pieces = 0
        self._usage: Usage | None = None

    def add(self, event: Answer) -> str:
        """Take one event in and return its text."""
        if event.usage is not None:
            self._usage = event.usage.to_usage()
        elif event.timings is not None:
            timings = event.timings
            self._usage = Usage(
                prompt_tokens=timings.prompt_n + timings.cache_n,
                cached_tokens=timings.cache_n,
                completion_tokens=timings.predicted_n,
            )
        if not event.choices:
            return ""
        choice = event.choices[0]
        self.finish_reason = choice.finish_reason or self.finish_reason
        self.pieces += bool(choice.content)
        self.text += choice.content
        return choice.content

    def completion(self, text: str, reason: str) -> Completion:
        # A stream that was stopped has no count of its own; one piece is one token on all servers we know.
        usage = self._usage or Usage(completion_tokens=self.pieces)
        return Completion(text=text, finish_reason=reason, usage=usage)


def _whole(body: bytes) -> Completion:
    answer = DECODER.decode(body)
    if not answer.choices:
        raise ValueError("no choices")
    choice = answer.choices[0]
    usage = answer.usage.to_usage() if answer.usage is not None else Usage()
    return Completion(text=choice.content, finish_reason=choice.finish_reason or "stop", usage=usage)


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(body))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {key: _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def _backoff(attempt: int, asked: float | None) -> float:
    """Seconds to wait: what the server asked for, else exponential with full jitter. Not a draw of any record."""
    if asked is not None:
        return asked
    if attempt == 0:
        return 0.05  # a kept connection that the server had dropped: try at once
    return random.uniform(0.2, 1.0) * min(2.0**attempt * 0.5, 30.0)
