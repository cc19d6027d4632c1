"""How a row looks: each part is a switch of its own, and a style is a preset of all of them. Any combination works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import msgspec

from snipmill.config import LookTable, Style

Tests = Literal["keep", "drop", "asked"]


@dataclass(frozen=True, slots=True)
class Look:
    """The switches, resolved.

    Attributes:
        name: the style, and every switch that differs from it; stands in the rows that have this look.
        tags: whether the four section tags stay.
        comments: whether the code's comments stay.
        tests: keep them, drop them, or keep them where the instruction mentions tests (`asked`).
        reasoning: probability that the reasoning stays.
        explanation: probability that the explanation stays.
        shown_asserts: probability that some of the assertions are added to the instruction.
        code_only: whether the response is the implementation's code and nothing else; overrides the other parts.
        refuse_incomplete: whether code with placeholders is refused.
    """

    name: str
    tags: bool = True
    comments: bool = True
    tests: Tests = "keep"
    reasoning: float = 1.0
    explanation: float = 1.0
    shown_asserts: float = 0.0
    code_only: bool = False
    refuse_incomplete: bool = False


RAW = Look("raw")
_PRESETS: dict[Style, Look] = {
    "raw": RAW,
    "plain": Look("plain", tags=False),
    "smart": Look(
        "smart",
        tags=False,
        comments=False,
        tests="asked",
        reasoning=0.5,
        explanation=0.5,
        shown_asserts=0.5,
        refuse_incomplete=True,
    ),
    "codeonly": Look("codeonly", tags=False, code_only=True),
}


@lru_cache(maxsize=64)
def resolve_look(style: Style, changes: LookTable = LookTable()) -> Look:  # noqa: B008 (frozen)
    """The look of a style with some switches changed; None leaves a switch as the style has it."""
    preset = _PRESETS[style]
    given = msgspec.structs.asdict(changes)
    changed: dict[str, Any] = {
        key: value for key, value in sorted(given.items()) if value is not None and value != getattr(preset, key)
    }
    name = ",".join([style, *(f"{key}={msgspec.json.encode(value).decode()}" for key, value in changed.items())])
    return replace(preset, name=name, **changed)
