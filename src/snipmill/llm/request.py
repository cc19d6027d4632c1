"""What a server is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """One completion of one prompt.

    Attributes:
        prompt: a text to continue, or chat messages.
        model: the served model's name.
        max_tokens: at most as many new tokens.
        temperature: sampling temperature.
        seed: sampling seed.
        stop: strings that end the completion and are not part of it.
        cut: (text so far) -> the finished text, or None while more is needed; makes the answer a stream.
        hopeless: (text so far) -> whether the rest cannot matter any more.
    """

    prompt: str | list[dict[str, str]]
    model: str
    max_tokens: int
    temperature: float
    seed: int
    stop: tuple[str, ...] = ()
    cut: Callable[[str], str | None] | None = None
    hopeless: Callable[[str], bool] | None = None
