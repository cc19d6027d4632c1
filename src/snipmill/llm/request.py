"""A completion request to a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one or more completions of one prompt.

    Attributes:
        prompt: a text to continue, or chat messages.
        model: the served model's name.
        max_tokens: maximum number of new tokens, those of thought not included.
        temperature: sampling temperature.
        seed: sampling seed.
        n: number of completions.
        prefix: identifies the beginning of the prompt; requests with the same prefix should go to the same server.
        stop: strings that end the completion and are not part of it, whether the server cuts them off or not.
        cut: (text so far) -> the finished text, or None while more is needed. What may end early is streamed.
        first_tokens: number of candidates for the first token whose log probabilities are requested; such an answer is
            not streamed.
        hopeless: (text so far) -> whether the text is unusable, whatever follows.
        max_thinking: maximum number of tokens of thought before the answer; only in a chat.
        fields: more fields of the request's body, as the server understands them.
        scored: a text that stands after the prompt; its log probabilities are wanted in place of a completion.
        kind: what it asks for; requests of a kind are refused alike where the configuration is wrong.
    """

    prompt: str | list[dict[str, str]]
    model: str
    max_tokens: int
    temperature: float
    seed: int
    n: int = 1
    prefix: str = ""
    stop: tuple[str, ...] = ()
    cut: Callable[[str], str | None] | None = None
    hopeless: Callable[[str], bool] | None = None
    first_tokens: int = 0
    max_thinking: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    scored: str = ""
    kind: str = ""
