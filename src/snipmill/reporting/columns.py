"""What a row is searched, filtered and sorted by in the report: its numbers and its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from snipmill.records import Row

UNKNOWN = "unknown"
MOST_VALUE = 200  # characters of a label in the page


@dataclass(frozen=True)
class Number:
    """A number of a row.

    Attributes:
        name: in filters and links.
        title: for people.
        question: what its distribution answers.
        read: the number; None where the row has none.
        digits: after the point.
        is_share: whether it is from 0 to 1.
    """

    name: str
    title: str
    question: str
    read: Callable[[Row], float | None]
    digits: int = 0
    is_share: bool = False


@dataclass(frozen=True)
class Label:
    """A property of a row that has one or more of some values."""

    name: str
    title: str
    question: str
    read: Callable[[Row], Sequence[str]]


def _ease(row: Row) -> float | None:
    return row.verification.ease if row.verification is not None and row.verification.samples else None


def _confidence(row: Row) -> float | None:
    return row.verification.confidence if row.verification is not None else None


def _agreement(row: Row) -> float | None:
    return row.verification.agreement if row.verification is not None and row.verification.samples > 1 else None


def _mutation(row: Row) -> float | None:
    return row.verification.mutation if row.verification is not None else None


def _checks(row: Row) -> float | None:
    return row.verdict.checks_executed if row.verdict is not None else None


def _tokens(row: Row) -> float | None:
    usage = row.usage.get("responses")
    return usage.completion_tokens if usage is not None else None


def _license(row: Row) -> list[str]:
    return [(row.provenance.license if row.provenance is not None else None) or UNKNOWN]


def _source(row: Row) -> list[str]:
    return [row.provenance.source if row.provenance is not None else UNKNOWN]


def _evidence(row: Row) -> list[str]:
    found = row.verification
    if row.is_unverified or found is None:
        return ["not executed" if row.is_unverified else "executed only"]
    words = ["tests repaired" if found.changed else "tests as written"]
    return [*words, "reviewed"] if found.review is not None else words


NUMBERS = (
    Number("confidence", "Confidence", "How likely is the code right, by the evidence?", _confidence, 3, True),
    Number("passed", "Share of samples that passed", "How hard was the task for this model?", _ease, 3, True),
    Number("agreement", "Agreement", "Do the other samples compute the same?", _agreement, 3, True),
    Number("mutation", "Mutation score", "How many small faults do the tests notice?", _mutation, 3, True),
    Number("checks", "Checks executed", "How much was checked?", _checks),
    Number(
        "instruction_length", "Instruction, characters", "How long are the tasks?", lambda row: len(row.instruction)
    ),
    Number("response_length", "Response, characters", "How long are the answers?", lambda row: len(row.response)),
    Number("tokens", "Response, tokens", "What did an answer cost to write?", _tokens),
)
LABELS = (
    Label("concept", "Concept", "What are the tasks about?", lambda row: row.concepts),
    Label("category", "Category", "What kinds of task are there?", lambda row: [row.category]),
    Label("difficulty", "Difficulty", "Which difficulty was asked for?", lambda row: [row.difficulty]),
    Label("language", "Language", "In which languages?", lambda row: [row.language]),
    Label("license", "Licence", "Under which licences is the code?", _license),
    Label("source", "Source", "Whose code did the rows grow from?", _source),
    Label("evidence", "Evidence", "What is known of the rows?", _evidence),
)
