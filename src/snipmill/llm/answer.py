"""The typed shapes of OpenAI-compatible answers, whole and streamed, as far as they matter here."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.records import Usage


class TokenDetails(msgspec.Struct):
    """How much of the prompt came from the server's cache."""

    cached_tokens: int | None = None


class UsageAnswer(msgspec.Struct):
    """Token counts; fields that a server leaves out count as zero."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: TokenDetails | None = None

    def to_usage(self) -> Usage:
        """As our own record."""
        details = self.prompt_tokens_details
        return Usage(
            prompt_tokens=self.prompt_tokens or 0,
            cached_tokens=(details.cached_tokens or 0) if details is not None else 0,
            completion_tokens=self.completion_tokens or 0,
        )


class Message(msgspec.Struct):
    """A chat message, or a piece of one."""

    content: str | None = None


class Choice(msgspec.Struct):
    """One answer, or a piece of one: `text` for completions, `message` or `delta` for chat."""

    index: int = 0
    text: str | None = None
    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw()  # read only where it was asked for

    def first_tokens(self) -> dict[str, float]:
        """The log probabilities of tokens that could have begun the text; empty where the server gave none that can be read.

        Completions have `top_logprobs`, chat has `content`, and some servers have that for completions as well.
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
        """The text, whichever shape carries it."""
        if self.text is not None:
            return self.text
        part = self.message or self.delta
        return (part.content or "") if part is not None else ""


class Timings(msgspec.Struct):
    """llama.cpp's own counts, which come with every piece where `timings_per_token` was asked for."""

    prompt_n: int = 0
    cache_n: int = 0
    predicted_n: int = 0


class Answer(msgspec.Struct):
    """A whole answer, or one event of a stream."""

    choices: list[Choice] | None = None
    usage: UsageAnswer | None = None
    timings: Timings | None = None


class Model(msgspec.Struct):
    """A served model. `owned_by` names the software with some servers."""

    id: str
    owned_by: str = ""


class Models(msgspec.Struct):
    """The answer of /v1/models."""

    data: list[Model]


DECODER = msgspec.json.Decoder(Answer)
MODELS_DECODER = msgspec.json.Decoder(Models)
