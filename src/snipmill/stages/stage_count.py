"""Counts of one stage: what came in, what stayed, what was dropped for which reason, tokens and seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from snipmill.records import Usage

_SPENT = (
    "reused",
    "requests",
    "mended",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "thinking_tokens",
    "seconds",
)


@dataclass(slots=True)
class StageCount:
    """One stage's share of the funnel. Seconds add up over concurrent tasks.

    `reused` came from the journal, `fresh` records and tokens are of this session; `spared` samples were not needed;
    `rescued` records were kept although the stage before had dropped them; `mended` answers wore their tags in another form, or
    had a sentence before them. Tokens of thought are a part of the generated ones.
    """

    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    requests: int = 0
    fresh: int = 0
    fresh_tokens: int = 0
    spared: int = 0
    rescued: int = 0
    mended: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    thinking_tokens: int = 0
    seconds: float = 0.0

    @property
    def came_in(self) -> int:
        """How many records the stage has seen."""
        return self.kept + self.rejected.total()

    def count(self, reason: str | None) -> None:
        """One record more: kept where there is no reason against it."""
        if reason is None:
            self.kept += 1
        else:
            self.rejected[reason] += 1

    def spend(self, usage: Usage, seconds: float, *, fresh: bool = True) -> None:
        """Tokens and seconds of one request; not `fresh` are those of an earlier session."""
        if fresh:
            self.fresh_tokens += usage.completion_tokens
        self.prompt_tokens += usage.prompt_tokens
        self.cached_tokens += usage.cached_tokens
        self.completion_tokens += usage.completion_tokens
        self.thinking_tokens += usage.thinking_tokens
        self.seconds += seconds

    def add(self, counts: Mapping[str, Any]) -> None:
        """Add all that another process has counted, as its manifest tells it."""
        self.kept += counts.get("kept", 0)
        self.rejected.update(counts.get("rejected", {}))
        self.spared += counts.get("spared", 0)
        self.rescued += counts.get("rescued", 0)
        self.add_spent(counts)

    def add_spent(self, counts: Mapping[str, Any]) -> None:
        """Add what another process has spent, as its manifest tells it. What was kept is counted elsewhere."""
        for name in _SPENT:
            setattr(self, name, getattr(self, name) + counts.get(name, 0))

    @property
    def has_nothing(self) -> bool:
        """Whether no completion has come to the stage, in this session or an earlier one."""
        return not self.kept and not self.completion_tokens

    @property
    def usage(self) -> Usage:
        """All tokens of the stage."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
            thinking_tokens=self.thinking_tokens,
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands in the manifest; reasons from the most to the least frequent."""
        return {
            "in": self.came_in,
            "kept": self.kept,
            "rejected": dict(sorted(self.rejected.items(), key=lambda item: (-item[1], item[0]))),
            "reused": self.reused,
            "requests": self.requests,
            "spared": self.spared,
            "rescued": self.rescued,
            "mended": self.mended,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "thinking_tokens": self.thinking_tokens,
            "seconds": round(self.seconds, 1),
        }
