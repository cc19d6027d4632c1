"""How a row looks: each part is a switch of its own, and a style is a setting of all of them. Any combination works."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal

import msgspec

from snipmill.config import Style

Tests = Literal["keep", "drop", "asked"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """The switches.

    Attributes:
        tags: whether the four section tags stay.
        comments: whether the code's comments stay.
        tests: keep them, drop them, or keep them where the instruction speaks of tests (`asked`).
        reasoning: probability that the reasoning stays.
        explanation: probability that the explanation stays.
        shown_asserts: probability that the instruction gets some of the assertions.
        code_only: whether the response is the implementation's code and nothing else; overrides the other parts.
        refuse_incomplete: whether code with placeholders is refused.
    """

    tags: bool = True
    comments: bool = True
    tests: Tests = "keep"
    reasoning: float = 1.0
    explanation: float = 1.0
    shown_asserts: float = 0.0
    code_only: bool = False
    refuse_incomplete: bool = False


_PRESETS: dict[Style, Rendering] = {
    "raw": Rendering(),
    "plain": Rendering(tags=False),
    "smart": Rendering(
        tags=False,
        comments=False,
        tests="asked",
        reasoning=0.5,
        explanation=0.5,
        shown_asserts=0.5,
        refuse_incomplete=True,
    ),
    "codeonly": Rendering(tags=False, code_only=True),
}


def rendering(style: Style, switches: dict[str, Any] | None = None) -> tuple[Rendering, str]:
    """The switches of a style, some of them set otherwise, and the name that rows of this look get.

    Args:
        style: where the switches begin.
        switches: by name, those that differ; None values count as not given.
    """
    given = tuple((key, value) for key, value in switches.items() if value is not None) if switches else ()
    return _rendering(style, given)


@cache
def _rendering(style: Style, given: tuple[tuple[str, Any], ...]) -> tuple[Rendering, str]:
    """The same, once for all rows of a file."""
    preset = _PRESETS[style]
    changed = {key: value for key, value in given if value != getattr(preset, key)}
    values = {field.name: changed.get(field.name, getattr(preset, field.name)) for field in fields(preset)}
    name = ",".join([style, *(f"{key}={msgspec.json.encode(changed[key]).decode()}" for key in sorted(changed))])
    return Rendering(**values), name
