"""Client for one OpenAI-compatible server: /v1/completions and /v1/chat/completions, whole or streamed, no retries.

Does not cover concurrency, the choice of a server, or the handling of faults (`fleet`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

from snipmill.errors import ServerError, ServerUnreachable
from snipmill.llm.adaptation import Adaptation
from snipmill.llm.answer import DECODER, model_names, read_usage
from snipmill.llm.faults import (
    ConnectFailed,
    Hung,
    Place,
    Refused,
    Transient,
    classify,
    error_message,
    is_too_long,
    raise_error,
)
from snipmill.llm.reading import Reading
from snipmill.llm.request import Request
from snipmill.llm.scoring import WAYS, Call, Way, not_told, read_scores, read_tokens, scoring_call, tokenize_call
from snipmill.llm.stream import Stream
from snipmill.records import Completion, Refusal, Usage, encode_json

_CONNECT_TIMEOUT = 10.0
_UNTOLD = 3  # texts that were not scored by any way, after which the server is asked for no more
_BUSY = (408, 409, 425, 429, 503)
_UNKNOWN = (400, 404, 405, 415, 422, 501)  # how servers answer where they do not know an endpoint or a field
# vLLM's extensions of the protocol: chunks of several tokens, which take a fraction of the client's time, and counts in
# every chunk, so that a stream that is closed early has counts too.
_VLLM_STREAMS: Mapping[str, Any] = {
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    "stream_interval": 8,
}


_WAY_OF: Mapping[str, tuple[Way, ...]] = {"vllm": ("echo",), "sglang": ("generate",), "llamacpp": ("grammar",)}


@dataclass(frozen=True)
class Server:
    """Address and settings of a server.

    Attributes:
        base_url: usually ends in /v1, as for the `openai` package.
        api_key: sent as a bearer token; never written anywhere.
        key_variable: the environment variable that it comes from, for messages.
        timeout: maximum number of seconds without a byte from the server.
        patience: lower bound in seconds of the adaptive timeout, however fast the server has been so far: a new prefix
            takes longer than a cached one.
        stream: whether completions that may be cut are streamed, so that the stream can be closed early.
        extra: additional fields for the body of every request.
        headers: additional headers of every request; never written anywhere.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 600.0
    patience: float = 30.0
    stream: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Client:
    """Use as `async with Client(server) as client`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.base_url.rstrip("/")
        self._gives_probabilities = True
        self._ways: tuple[Way, ...] = WAYS  # in which it may tell log probabilities of a given text
        self._scores, self._untold = False, 0  # whether it ever did, and how often it did not before
        self._stream_extra: Mapping[str, Any] = {"stream_options": {"include_usage": True}}
        self.adaptation = Adaptation(self.url)

    async def __aenter__(self) -> Client:
        headers = {"Content-Type": "application/json"}
        if self.server.api_key:
            headers["Authorization"] = f"Bearer {self.server.api_key}"
        headers |= self.server.headers
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
            ServerUnreachable, AuthenticationFailed, ServerError: the list cannot be fetched.
        """
        try:
            async with self._session.get(f"{self.url}/models") as answer:
                body = await answer.read()
                if answer.status in (401, 403):
                    classify(answer.status, body, answer.headers, Place(self.url, "", self.server.key_variable))
                if answer.status != 200:
                    raise ServerError(
                        f"The server at {self.url} answered HTTP {answer.status} when asked for its models. "
                        "Check that the address belongs to an OpenAI-compatible server and ends in /v1."
                    )
                names, owner = model_names(body)
                if owner == "vllm":
                    self._stream_extra = _VLLM_STREAMS
                self._ways = _WAY_OF.get(owner, self._ways)
                return names
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnreachable(
                f"No server answers at {self.url} ({error or type(error).__name__}). "
                "Start the server, or give its address with --base-url or OPENAI_BASE_URL."
            ) from error
        except (msgspec.DecodeError, ValueError, AttributeError) as error:
            raise ServerError(
                f"The server at {self.url} sent an answer that is not OpenAI-compatible: {error}. Check the address."
            ) from error

    async def ask(
        self,
        request: Request,
        *,
        seed: int | None = None,
        on_tokens: Callable[[int], None] = lambda _tokens: None,
    ) -> list[Completion] | Refusal:
        """Send a request once.

        Args:
            request: the request to send.
            seed: sampling seed that replaces the request's own.
            on_tokens: called with the number of new tokens as they arrive.

        Raises:
            Transient: the same request may succeed later.
            AuthenticationFailed, ModelNotFound, ServerError: no request of this run can succeed.
        """
        if request.scored:
            return await self._score(request)
        if request.first_tokens and not self._gives_probabilities:
            request = replace(request, first_tokens=0)
        body = self.adaptation.apply(self._body(request, request.seed if seed is None else seed))
        path = "completions" if isinstance(request.prompt, str) else "chat/completions"
        try:
            with self._faults():
                async with self._session.post(f"{self.url}/{path}", data=encode_json(body)) as answer:
                    if answer.status == 200:
                        return await self._read(answer, request, on_tokens)
                    said = await answer.read()
                    again = self._change(answer.status, error_message(said), body, request)
                    if again is None:
                        return classify(answer.status, said, answer.headers, self._at(request))
                found = await self.ask(again, seed=seed, on_tokens=on_tokens)
                if again.first_tokens != request.first_tokens:
                    # The server may not support log probabilities, or not that many; or it refuses this request anyway.
                    self._gives_probabilities = self._gives_probabilities and isinstance(found, Refusal)
                return found
        except Refused as refused:
            return refused.refusal

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """What fails on the way is transient."""
        try:
            yield
        except aiohttp.ClientConnectorError as error:
            raise ConnectFailed(f"{type(error).__name__}: {error}") from error
        except TimeoutError as error:
            raise Hung(f"the server sent no data for {self.server.timeout:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"{type(error).__name__}: {error}") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise Transient(f"the answer is not JSON of the expected shape: {error}") from error

    @property
    def can_score(self) -> bool:
        """Whether the server may tell the log probabilities of a given text."""
        return bool(self._ways)

    async def _score(self, request: Request) -> list[Completion] | Refusal:
        """The log probabilities of a given text. The first way that works is kept; where none ever does, none is tried."""
        spent = Usage()
        for way in self._ways:
            tokens: list[int] = []
            if way == "grammar":
                tokens = read_tokens(await self._post(tokenize_call(request), request))
                if not tokens:
                    continue
            answer = await self._post(scoring_call(way, request, tokens), request)
            if isinstance(answer, Refusal):
                return answer
            found = read_scores(way, answer, request, tokens)
            if found is not None:
                self._ways, self._scores = (way,), True
                return [found]
            spent = _sum(spent, read_usage(answer.get("usage") if isinstance(answer, dict) else None))
        if not self._scores and self._ways:
            self._untold += 1
            if self._untold >= _UNTOLD:
                self._ways = ()
                self.adaptation.notes.append(
                    f"{self.url} does not tell the log probabilities of a given text, so it reviews without the likelihood of "
                    "the instruction."
                )
        return [not_told(request, spent)]

    async def _post(self, call: Call, request: Request) -> Any:
        """The decoded answer; a refusal of this one request; None where the server does not know what is asked.

        As long as it is not known how a server is to be asked, any fault but an overload means that it is not to be asked so.
        """
        address = self.url if call.below_v1 else self.url.removesuffix("/v1")
        is_trial = not self._scores and len(self._ways) > 1
        with self._faults():
            async with self._session.post(f"{address}/{call.path}", data=encode_json(call.body)) as answer:
                said = await answer.read()
                if answer.status == 200:
                    try:
                        return msgspec.json.decode(said)
                    except msgspec.DecodeError:
                        if is_trial:
                            return None
                        raise
                is_foreign = answer.status in _UNKNOWN or (is_trial and answer.status not in _BUSY)
                if is_foreign and not is_too_long(error_message(said)):
                    return None
                return classify(answer.status, said, answer.headers, self._at(request))

    def _at(self, request: Request) -> Place:
        return Place(self.url, request.model, self.server.key_variable)

    def _change(self, status: int, message: str, body: Mapping[str, Any], request: Request) -> Request | None:
        """The request to send in place of a refused one; None where nothing else can be tried."""
        if status not in (400, 422):
            return None
        if self.adaptation.learn(message, body):
            return request
        if request.first_tokens:
            return replace(request, first_tokens=0)
        if request.max_thinking and is_too_long(message):
            return replace(request, max_thinking=0)  # the context has no room for a thought
        return None

    def _body(self, request: Request, seed: int) -> dict[str, Any]:
        is_chat = not isinstance(request.prompt, str)
        ends_early = request.cut is not None or request.hopeless is not None or request.max_thinking > 0
        streams = self.server.stream and self.adaptation.streams and ends_early and not request.first_tokens
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens + request.max_thinking,
            "temperature": request.temperature,
            "seed": seed % (1 << 31),
            "stream": streams,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.n > 1:
            body["n"] = request.n
        if request.first_tokens:
            body |= (
                {"logprobs": True, "top_logprobs": request.first_tokens}
                if is_chat
                else {"logprobs": request.first_tokens}
            )
        body["messages" if is_chat else "prompt"] = request.prompt
        return body | (dict(self._stream_extra) if streams else {}) | dict(self.server.extra) | dict(request.fields)

    async def _read(
        self, answer: aiohttp.ClientResponse, request: Request, on_tokens: Callable[[int], None]
    ) -> list[Completion]:
        """The completions of an answer, in whichever form the server has chosen."""
        stream = Stream(request, on_tokens, self._at(request))
        if "json" not in answer.content_type:
            is_first = True
            async for data in answer.content.iter_any():
                if is_first and data.lstrip().startswith((b"{", b"[")):  # not what the header says
                    return self._whole(data + await answer.content.read(), request, on_tokens)
                is_first = False
                if stream.feed(data):
                    if not stream.complete:
                        answer.close()  # the server stops generating when the connection closes
                    break
            return stream.completions()
        body = await answer.read()
        if not body.lstrip().startswith((b"{", b"[")):
            stream.feed(body + b"\n")
            return stream.completions()
        return self._whole(body, request, on_tokens)

    def _whole(self, body: bytes, request: Request, on_tokens: Callable[[int], None]) -> list[Completion]:
        answer = DECODER.decode(body)
        if answer.is_error:
            raise_error(answer.error_value, self._at(request))
        choices = sorted(filter(None, answer.choices or ()), key=lambda choice: choice.index or 0)
        if len(choices) != request.n:
            raise ValueError(f"{len(choices)} choices instead of {request.n}")
        usage = read_usage(answer.usage)
        completions = []
        for number, choice in enumerate(choices):
            reading = Reading(request)
            reading.add(choice.content, choice.thought)
            reading.finish(choice.reason)
            first = choice.first_tokens() if request.first_tokens else {}
            # The server reports one total for all completions; it is recorded with the first one.
            completions.append(reading.completion(Usage() if number else usage, first))
        on_tokens(sum(completion.usage.completion_tokens for completion in completions))
        return completions


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__})
