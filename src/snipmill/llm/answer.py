"""Typed structures for OpenAI-compatible answers, whole and streamed; only the fields that are used here."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.records import Usage


class TokenDetails(msgspec.Struct):
    """Number of prompt tokens that came from the server's cache."""

    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    """Number of generated tokens that were a thought."""

    reasoning_tokens: int | None = None


class UsageAnswer(msgspec.Struct):
    """Token counts; fields that a server omits count as zero."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    def to_usage(self) -> Usage:
        """Convert to our own `Usage` record."""
        details, generated = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            prompt_tokens=self.prompt_tokens or 0,
            cached_tokens=(details.cached_tokens or 0) if details is not None else 0,
            completion_tokens=self.completion_tokens or 0,
            thinking_tokens=(generated.reasoning_tokens or 0) if generated is not None else 0,
        )


class Message(msgspec.Struct):
    """A chat message, or a chunk of one.

    `content` is a text, or a list of parts of which some are thoughts. Servers send a trace as `reasoning` (vLLM, OpenRouter),
    `reasoning_content` (SGLang, DeepSeek, llama.cpp, earlier vLLM) or `thinking`; some send it under two names at once.
    """

    content: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    thinking: Any = None

    @property
    def text(self) -> str:
        """What is not a thought."""
        if isinstance(self.content, list):
            return "".join(_part_text(part) for part in self.content if not _is_thought(part))
        return self.content if isinstance(self.content, str) else ""

    @property
    def thought(self) -> str:
        """The trace, from whichever field holds it."""
        for given in (self.reasoning, self.reasoning_content, self.thinking):
            if isinstance(given, str) and given:
                return given
        if isinstance(self.content, list):
            return "".join(_part_text(part) for part in self.content if _is_thought(part))
        return ""


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("thinking", "reasoning")


def _part_text(part: Any) -> str:
    if isinstance(part, dict):
        part = part.get("text", part.get("thinking", part.get("reasoning", "")))
    if isinstance(part, list):
        return "".join(map(_part_text, part))
    return part if isinstance(part, str) else ""


class Choice(msgspec.Struct):
    """One choice, or a chunk of one: `text` for completions, `message` or `delta` for chat."""

    index: int | None = 0
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
        return part.text if part is not None else ""

    @property
    def thought(self) -> str:
        """The trace, where the server separates it."""
        part = self.message or self.delta
        return part.thought if part is not None else ""


class Timings(msgspec.Struct):
    """llama.cpp's own token counts; sent with every chunk if `timings_per_token` was requested."""

    prompt_n: int = 0
    cache_n: int = 0
    predicted_n: int = 0


class Answer(msgspec.Struct):
    """A whole answer, or one event of a stream. Some servers send an error in its place, under status 200."""

    choices: list[Choice | None] | None = None
    usage: UsageAnswer | None = None
    timings: Timings | None = None
    error: Any = None
    object: Any = None
    message: Any = None
    code: Any = None

    @property
    def is_error(self) -> bool:
        """Whether it is an error."""
        return self.error is not None or self.object == "error"

    @property
    def error_value(self) -> Any:
        """The error as the server describes it."""
        return self.error if self.error is not None else {"message": self.message, "code": self.code}


def model_names(body: bytes) -> tuple[list[str], bool]:
    """The names in an answer of /v1/models of any usual shape, and whether the server is a vLLM.

    Raises:
        ValueError: there is no list of models.
    """
    value = msgspec.json.decode(body)
    listed = value.get("data", value.get("models")) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise ValueError("it holds no list of models")
    models = [model if isinstance(model, dict) else {"id": model} for model in listed]
    names = [model.get("id") or model.get("name") for model in models]
    return [name for name in names if isinstance(name, str)], any(model.get("owned_by") == "vllm" for model in models)


DECODER = msgspec.json.Decoder(Answer)
