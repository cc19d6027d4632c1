"""Which rows of a data set stay: one for each instruction, and no two that are the same.

Everything is decided by content and seeded draws, so the order in which rows come in changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from snipmill.randomness import generator
from snipmill.records import Reject, Row, content_hash
from snipmill.text.code import function_names
from snipmill.text.fences import python_fences

STAGE = "select"


def select(
    rows: Sequence[Row], *, seed: int, keep: Literal["one", "all"] = "one", name_diversity: bool = False
) -> Iterator[Row | Reject]:
    """The chosen rows in a seeded order, and rejects for the others.

    Args:
        rows: candidates; several may answer one instruction.
        seed: the run's seed.
        keep: `one` row for each instruction, or `all`.
        name_diversity: drop a row whose function names, taken together, equal those of an earlier row.
    """
    ranked = sorted(rows, key=lambda row: (generator(seed, "select", row.id).random(), row.id))
    answered: dict[str, str] = {}
    instructions: dict[str, str] = {}
    responses: dict[str, str] = {}
    names: dict[str, str] = {}
    for row in ranked:
        question = instruction_key(row)
        answer = content_hash("".join(row.response.split()))
        named = _name_key(row) if name_diversity else ""
        duplicate = (
            _earlier("not-chosen", "another response to its instruction was drawn", answered, question)
            if keep == "one"
            else None
        )
        text = content_hash("".join(row.instruction.split()))
        if duplicate is None and keep == "one":
            duplicate = _earlier("duplicate-instruction", "the instruction is that of", instructions, text)
        duplicate = duplicate or _earlier("duplicate-response", "the response is that of", responses, answer)
        if named:
            duplicate = duplicate or _earlier("duplicate-names", "its functions are named as in", names, named)
        if duplicate is not None:
            reason, detail = duplicate
            yield Reject(id=row.id, stage=STAGE, reason=reason, detail=detail)
            continue
        answered[question] = instructions[text] = responses[answer] = row.id
        if named:
            names[named] = row.id
        yield row


def instruction_key(row: Row) -> str:
    """What makes two rows answers to one instruction: its record, or where that is not known its text."""
    return row.parents.get("instruction") or content_hash(row.seed, row.instruction)


def _earlier(reason: str, detail: str, seen: dict[str, str], key: str) -> tuple[str, str] | None:
    earlier = seen.get(key)
    return None if earlier is None else (reason, f"{detail} row {earlier}")


def _name_key(row: Row) -> str:
    blocks = python_fences(row.response)
    return " ".join(function_names(blocks[0].code)) if blocks else ""
