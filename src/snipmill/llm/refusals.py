"""Notices when a server refuses every request of a kind alike: then the configuration is to blame, and no single record."""

from __future__ import annotations

import re

from snipmill.errors import ServerError
from snipmill.reasons import Reason
from snipmill.records import Refusal

_SAME = 5  # equal refusals before any answer of their kind, after which the configuration is to blame
_LONG_PROMPTS = 100  # the same, where prompts are too long: some really are


class SameRefusals:
    """The refusals of each kind of request, until one of the kind is answered."""

    def __init__(self) -> None:
        self._refusals: dict[str, list[Refusal]] = {}
        self._answered: set[str] = set()

    def answered(self, kind: str, refusal: Refusal | None, outstanding: int) -> ServerError | None:
        """Record what came of a request; the error to stop the run with, if it is time.

        Refusals come faster than answers: there must be as many of them as there are requests without either.

        Args:
            kind: of the request.
            refusal: None where there was a completion.
            outstanding: how many requests of the kind have neither.
        """
        if kind in self._answered:
            return None
        if refusal is None:
            self._answered.add(kind)
            self._refusals.pop(kind, None)
            return None
        refusals = self._refusals.setdefault(kind, [])
        refusals.append(refusal)
        least = _LONG_PROMPTS if refusal.reason == Reason.PROMPT_TOO_LONG else _SAME
        return self.all_refused(kind) if len(refusals) >= max(least, outstanding) else None

    def all_refused(self, kind: str) -> ServerError | None:
        """The error to report where all requests of a kind got the same refusal, numbers aside."""
        details = [refusal.detail for refusal in self._refusals.get(kind, [])]
        is_same = len({_without_numbers(detail) for detail in details}) == 1
        return refused_by_all(kind, details[0]) if is_same else None


def _without_numbers(detail: str) -> str:
    return re.sub(r"\d+", "N", detail)


_KEYS = (
    ("max_tokens", "`model.max_tokens` or `model.max_thinking_tokens`"),
    ("max_completion_tokens", "`model.max_tokens` or `model.max_thinking_tokens`"),
    ("temperature", "`model.sampling.temperature`"),
    ("top_p", "`model.sampling.top_p`"),
    ("top_k", "`model.sampling.top_k`"),
    ("min_p", "`model.sampling.min_p`"),
    ("repetition_penalty", "`model.sampling.repetition_penalty`"),
    ("presence_penalty", "`model.sampling.presence_penalty`"),
    ("frequency_penalty", "`model.sampling.frequency_penalty`"),
    ("chat_template", "`model.prompting` or `model.extra_body`"),
    ("context", "`generate.shots`, `seeds.max_lines` or `model.max_tokens`"),
)


def refused_by_all(kind: str, detail: str) -> ServerError:
    """The error where a server refuses every request of a kind, with the key that its sentence speaks of."""
    named = next((keys for word, keys in _KEYS if word in detail.lower()), "[model] in the configuration")
    return ServerError(
        f"The server refuses every request for {kind or 'completions'} with the same sentence: {detail} "
        f"Change {named}, and run the same command again; everything so far is kept."
    )
