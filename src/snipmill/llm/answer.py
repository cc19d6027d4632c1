"""Typed structures for OpenAI-compatible answers, whole and streamed; only the fields that are used here."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.records import Usage


class TokenDetails(msgspec.Struct):
    """Number of prompt tokens that came from the server's cache."""

    cached_tokens: int | None = None


class UsageAnswer(msgspec.Struct):
    """Token counts; fields that a server omits count as zero."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: TokenDetails | None = None

    def to_usage(self) -> Usage:
        """Convert to our own `Usage` record."""
        details = self.prompt_tokens_details
        return Usage(
            prompt_tokens=self.prompt_tokens or 0,
            cached_tokens=(details.cached_tokens or 0) if details is not None else 0,
            completion_tokens=self.completion_tokens or 0,
        )


class Message(msgspec.Struct):
    """A chat message, or a chunk of one."""

    content: str | None = None


class Choice(msgspec.Struct):
    """One choice, or a chunk of one: `text` for completions, `message` or `delta` for chat."""

    index: int = 0
    text: str | None = None
    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw()  # decoded only if it was requested

    def first_tokens(self) -> dict[str, float]:
        """Log probabilities of the candidates for the first token; empty if the server sent none that can be decoded.

        Completions use `top_logprobs` and chat uses `content`; some servers use `content` for completions too.
        """
        try:
            given: Any = msgspec.json.decode(bytes(self.logprobs) or b"null")
            if given.get("content"):
                return {one["token"]: float(one["logprob"]) for one in given["content"][0]["top_logprobs"]}
            return {token: float(value) for token, value in given["top_logprobs"][0].items()}
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, msgspec.DecodeError):
            return {}

    @property
    def content(self) -> str:
        """The text, from whichever field holds it."""
        if self.text is not None:
            return self.text
        part = self.message or self.delta
        return (part.content or "") if part is not None else ""


class Timings(msgspec.Struct):
    """llama.cpp's own token counts; sent with every chunk if `timings_per_token` was requested."""

    prompt_n: int = 0
    cache_n: int = 0
    predicted_n: int = 0


class Answer(msgspec.Struct):
    """A whole answer, or one event of a stream."""

    choices: list[Choice] | None = None
    usage: UsageAnswer | None = None
    timings: Timings | None = None


class Model(msgspec.Struct):
    """A served model. Some servers put the name of their software in `owned_by`."""

    id: str
    owned_by: str = ""


class Models(msgspec.Struct):
    """The answer of /v1/models."""

    data: list[Model]


DECODER = msgspec.json.Decoder(Answer)
MODELS_DECODER = msgspec.json.Decoder(Models)
