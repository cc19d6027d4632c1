"""Typed structures for OpenAI-compatible answers, whole and streamed; only the fields that are used here."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.records import Usage


def read_usage(usage: Any) -> Usage:
    """Token counts; fields that a server omits, or fills with something else, count as zero."""
    fields = usage if isinstance(usage, dict) else {}
    cached, thinking = fields.get("prompt_tokens_details"), fields.get("completion_tokens_details")
    return Usage(
        prompt_tokens=_count(fields.get("prompt_tokens")),
        cached_tokens=_count(cached.get("cached_tokens")) if isinstance(cached, dict) else 0,
        completion_tokens=_count(fields.get("completion_tokens")),
        thinking_tokens=_count(thinking.get("reasoning_tokens")) if isinstance(thinking, dict) else 0,
    )


def read_timings(timings: Any) -> Usage | None:
    """llama.cpp's own counts, which it sends with every chunk if `timings_per_token` was requested."""
    if not isinstance(timings, dict):
        return None
    cached = _count(timings.get("cache_n"))
    return Usage(
        prompt_tokens=_count(timings.get("prompt_n")) + cached,
        cached_tokens=cached,
        completion_tokens=_count(timings.get("predicted_n")),
    )


def _count(value: Any) -> int:
    try:
        return max(int(value), 0)
    except (TypeError, ValueError, OverflowError):
        return 0


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
    finish_reason: Any = None
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
    def reason(self) -> str | None:
        """Why it ended, if it did."""
        return self.finish_reason if isinstance(self.finish_reason, str) else None

    @property
    def content(self) -> str:
        """The text, from whichever field holds it."""
        if self.text:
            return self.text
        part = self.message or self.delta
        return part.text if part is not None else ""

    @property
    def thought(self) -> str:
        """The trace, where the server separates it."""
        part = self.message or self.delta
        return part.thought if part is not None else ""


class Answer(msgspec.Struct):
    """A whole answer, or one event of a stream. Some servers send an error in its place, under status 200."""

    choices: list[Choice | None] | None = None
    usage: Any = None
    timings: Any = None
    error: Any = None
    object: Any = None
    type: Any = None
    message: Any = None
    code: Any = None

    @property
    def is_error(self) -> bool:
        """Whether it is an error."""
        named = self.object == "error" or self.type == "error"
        return bool(self.error) or named or (self.choices is None and self.message is not None)

    @property
    def error_value(self) -> Any:
        """The error as the server describes it."""
        return self.error if self.error else {"message": self.message, "code": self.code}


def model_names(body: bytes) -> tuple[list[str], str]:
    """The names in an answer of /v1/models of any usual shape, and which server calls itself their owner.

    Raises:
        ValueError: there is no list of models.
    """
    value = msgspec.json.decode(body)
    listed = value.get("data", value.get("models")) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise ValueError("it holds no list of models")
    models = [model if isinstance(model, dict) else {"id": model} for model in listed]
    names = [model.get("id") or model.get("name") for model in models]
    owner = next((model["owned_by"] for model in models if isinstance(model.get("owned_by"), str)), "")
    return [name for name in names if isinstance(name, str)], owner


DECODER = msgspec.json.Decoder(Answer)
