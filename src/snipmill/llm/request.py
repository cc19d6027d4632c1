"""What a server is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """One or more completions of one prompt.

    Attributes:
        prompt: a text to continue, or chat messages.
        model: the served model's name.
        max_tokens: at most as many new tokens.
        temperature: sampling temperature.
        seed: sampling seed.
        n: how many completions.
        prefix: names what the prompt begins with: requests that share it are best asked of the same server.
        stop: strings that end the completion and are not part of it.
        cut: (text so far) -> the finished text, or None while more is needed; makes the answer a stream.
        first_tokens: ask for the log probabilities of as many tokens that could begin the text; such an answer is no stream.
        hopeless: (text so far) -> whether the rest cannot matter any more.
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
