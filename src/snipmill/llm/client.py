"""Client for one OpenAI-compatible server: /v1/completions and /v1/chat/completions, whole or streamed, no retries.

Does not cover concurrency, the choice of a server, or the handling of faults (`fleet`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

from snipmill.errors import AuthenticationFailed, ServerError, ServerUnreachable
from snipmill.llm.answer import DECODER, MODELS_DECODER
from snipmill.llm.faults import ConnectFailed, Hung, Transient, classify, error_message
from snipmill.llm.request import Request
from snipmill.llm.stream import Stream
from snipmill.records import Completion, Refusal, Usage, encode_json

_CONNECT_TIMEOUT = 10.0
# vLLM's extensions of the protocol: chunks of several tokens, which take a fraction of the client's time, and counts in
# every chunk, so that a stream that is closed early has counts too.
_VLLM_STREAMS: Mapping[str, Any] = {
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    "stream_interval": 8,
}


@dataclass(frozen=True)
class Server:
    """Address and settings of a server.

    Attributes:
        base_url: usually ends in /v1, as for the `openai` package.
        api_key: sent as a bearer token; never written anywhere.
        timeout: maximum number of seconds without a byte from the server.
        patience: lower bound in seconds of the adaptive timeout, however fast the server has been so far: a new prefix
            takes longer than a cached one.
        stream: whether completions that may be cut are streamed, so that the stream can be closed early.
        extra: additional fields for the body of every request.
    """

    base_url: str
    api_key: str | None = None
    timeout: float = 600.0
    patience: float = 30.0
    stream: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)


class Client:
    """Use as `async with Client(server) as client`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.base_url.rstrip("/")
        self._gives_probabilities = True
        self._stream_extra: Mapping[str, Any] = {"stream_options": {"include_usage": True}}

    async def __aenter__(self) -> Client:
        headers = {"Content-Type": "application/json"}
        if self.server.api_key:
            headers["Authorization"] = f"Bearer {self.server.api_key}"
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
                    message = error_message(body)
                    raise AuthenticationFailed(
                        f"The server at {self.url} rejected the API key (HTTP {answer.status}: {message}). "
                        "Set OPENAI_API_KEY to a valid key."
                    )
                if answer.status != 200:
                    raise ServerError(
                        f"The server at {self.url} answered HTTP {answer.status} when asked for its models. "
                        "Check that the address belongs to an OpenAI-compatible server and ends in /v1."
                    )
                models = MODELS_DECODER.decode(body).data
                if any(model.owned_by == "vllm" for model in models):
                    self._stream_extra = _VLLM_STREAMS
                return [model.id for model in models]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnreachable(
                f"No server answers at {self.url} ({error or type(error).__name__}). "
                "Start the server, or give its address with --base-url or OPENAI_BASE_URL."
            ) from error
        except msgspec.DecodeError as error:
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
        streamed = self.server.stream and request.cut is not None and not request.first_tokens
        if request.first_tokens and not self._gives_probabilities:
            request = replace(request, first_tokens=0)
        body = _body(request, request.seed if seed is None else seed) | dict(self.server.extra)
        if streamed:
            body |= {"stream": True, **self._stream_extra}
        path = "completions" if isinstance(request.prompt, str) else "chat/completions"
        try:
            async with self._session.post(f"{self.url}/{path}", data=encode_json(body)) as answer:
                if answer.status in (400, 422) and request.first_tokens:
                    found = await self.ask(replace(request, first_tokens=0), seed=seed, on_tokens=on_tokens)
                    # The server may not support log probabilities, or not that many; or it refuses this request anyway.
                    self._gives_probabilities = self._gives_probabilities and isinstance(found, Refusal)
                    return found
                if answer.status != 200:
                    return classify(answer.status, await answer.read(), answer.headers, self.url, request.model)
                if not streamed:
                    completions = _whole(await answer.read(), request)
                    on_tokens(sum(completion.usage.completion_tokens for completion in completions))
                    return completions
                stream = Stream(request, on_tokens)
                async for data in answer.content.iter_any():
                    if stream.feed(data):
                        if not stream.complete:
                            answer.close()  # the server stops generating when the connection closes
                        break
                return stream.completions()
        except aiohttp.ClientConnectorError as error:
            raise ConnectFailed(f"{type(error).__name__}: {error}") from error
        except TimeoutError as error:
            raise Hung(f"the server sent no data for {self.server.timeout:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"{type(error).__name__}: {error}") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise Transient(f"the answer is not JSON of the expected shape: {error}") from error


def _body(request: Request, seed: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": seed % (1 << 31),
        "stop": list(request.stop),
    }
    if request.n > 1:
        body["n"] = request.n
    if request.first_tokens:
        chat = not isinstance(request.prompt, str)
        body |= {"logprobs": True, "top_logprobs": request.first_tokens} if chat else {"logprobs": request.first_tokens}
    body["prompt" if isinstance(request.prompt, str) else "messages"] = request.prompt
    return body


def _whole(body: bytes, request: Request) -> list[Completion]:
    answer = DECODER.decode(body)
    choices = sorted(answer.choices or (), key=lambda choice: choice.index)
    if len(choices) != request.n:
        raise ValueError(f"{len(choices)} choices instead of {request.n}")
    usage = answer.usage.to_usage() if answer.usage is not None else Usage()
    completions = []
    for number, choice in enumerate(choices):
        text, reason = choice.content, choice.finish_reason or "stop"
        cut = request.cut(text) if request.cut is not None else None
        if cut is not None:
            text, reason = cut, "cut"
        # The server reports one total for all completions; it is recorded with the first one.
        usage_of = Usage() if number else usage
        first = choice.first_tokens() if request.first_tokens else {}
        completions.append(Completion(text=text, finish_reason=reason, usage=usage_of, first=first))
    return completions
