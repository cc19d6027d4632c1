"""What journals hold: a kind of entry for each kind of work that is paid for."""

from __future__ import annotations

import msgspec

from snipmill.records import Completion, Examination, Refusal, Reject, Seed, Verdict, Verification


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a journal. `id` is the hash of what was done."""

    id: str


class MiningEntry(Entry, frozen=True, kw_only=True):
    """The result of mining a batch of documents: its seeds and its rejects."""

    seeds: list[Seed] = []
    rejects: list[Reject] = []


class PaidEntry(Entry, frozen=True, kw_only=True):
    """Work that took a server or a sandbox. `outcome` is `kept`, `passed`, or the reject's reason; `seconds` is what it took."""

    outcome: str
    seconds: float = 0.0


class CompletionEntry(PaidEntry, frozen=True, kw_only=True):
    """One sample of a request, and what came of it."""

    max_tokens: int
    max_thinking_tokens: int = 0
    completion: Completion | None = None
    refusal: Refusal | None = None


class VerdictEntry(PaidEntry, frozen=True, kw_only=True):
    """One execution and its verdict."""

    verdict: Verdict


class VerificationEntry(PaidEntry, frozen=True, kw_only=True):
    """The result of verifying one response: `kept`, `failed` (its program remains a failure), or a reject's reason.

    `tests` replace the response's own tests if these were repaired; `verdict` is that of the repaired program. For the question
    whether an instruction needs more samples the outcome is `enough` or `more`.

    For people: `response` is the id of what was verified; `survivors` are the mutants that its tests did not notice, as
    differences; the first entry of an instruction that is kept holds the `examination` of all its samples.
    """

    verification: Verification | None = None
    tests: str | None = None
    verdict: Verdict | None = None
    detail: str = ""
    response: str = ""
    survivors: list[str] = []
    examination: Examination | None = None
