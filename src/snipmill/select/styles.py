"""How a row looks: each part is a switch of its own, and a style is a setting of all of them. Any combination works."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
    preset = _PRESETS[style]
    given = {key: value for key, value in (switches or {}).items() if value is not None}
    changed = {key: value for key, value in given.items() if value != getattr(preset, key)}
    values = {field.name: changed.get(field.name, getattr(preset, field.name)) for field in fields(preset)}
    name = ",".join([style, *(f"{key}={msgspec.json.encode(changed[key]).decode()}" for key in sorted(changed))])
    return Rendering(**values), name
