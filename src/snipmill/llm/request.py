"""A completion request to a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one or more completions of one prompt.

    Attributes:
        prompt: a text to continue, or chat messages.
        model: the served model's name.
        max_tokens: maximum number of new tokens.
        temperature: sampling temperature.
        seed: sampling seed.
        n: number of completions.
        prefix: identifies the beginning of the prompt; requests with the same prefix should go to the same server.
        stop: strings that end the completion and are not part of it.
        cut: (text so far) -> the finished text, or None while more is needed; if set, the answer is streamed.
        first_tokens: number of candidates for the first token whose log probabilities are requested; such an answer is
            not streamed.
        hopeless: (text so far) -> whether the text is unusable, whatever follows.
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
