"""Selects the rows of a data set: one for each instruction, without duplicates or near duplicates.

There are two steps, so that a million rows need not be in memory: each row is reduced to a key (`key_of`), and then all
keys are compared (`choose`). The result depends only on content and seeded draws, not on the order of the input. Source
of the rules: the selection step of StarCoder2-Instruct.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snipmill.randomness import rank
from snipmill.reasons import Reason
from snipmill.records import Reject, Row, hash64, hash_bytes
from snipmill.text.code import function_names
from snipmill.text.fences import python_fences

STAGE = "select"
NEAR = 0.03  # confidences that differ by no more count as equal; then the tests decide
EASY, RARE = 2 / 3, 1 / 3  # by share of samples that passed, a task is easy above the first and rare below the second
Keep = Literal["one", "all"]
# Rows not yet dropped, from the lowest to the highest rank -> {row to drop: the row that it is too similar to}.
Finder = Callable[[NDArray[np.int64]], dict[int, int]]
# Whether a finder compares only tasks. If so, rows of one instruction count as one and are kept or dropped together.
ComparesTasksOnly = bool


class Key(NamedTuple):
    """What selection needs to know of one row: 64-bit hashes, scores, and the id by which rejects name an earlier row.

    `instruction` and `response` hash the text without white space, `question` the instruction's record, `names` the
    function names; 0 means that there is none. `tests` is the mutation score, minus 1 if the tests were repaired.
    `easy` says whether most samples of the task passed.
    """

    id: str
    rank: int
    question: int
    instruction: int
    response: int
    names: int
    confidence: float = 0.0
    tests: float = 0.0
    easy: bool = False


@dataclass(slots=True)
class Keys:
    """The keys of all rows, in order of arrival, column by column."""

    ids: list[str] = field(default_factory=list)
    ranks: array[int] = field(default_factory=lambda: array("Q"))
    questions: array[int] = field(default_factory=lambda: array("Q"))
    instructions: array[int] = field(default_factory=lambda: array("Q"))
    responses: array[int] = field(default_factory=lambda: array("Q"))
    names: array[int] = field(default_factory=lambda: array("Q"))
    confidences: array[float] = field(default_factory=lambda: array("d"))
    tests: array[float] = field(default_factory=lambda: array("d"))
    easy: array[int] = field(default_factory=lambda: array("b"))

    def add(self, key: Key) -> None:
        """Append the key of one more row."""
        self.ids.append(key.id)
        self.ranks.append(key.rank)
        self.questions.append(key.question)
        self.instructions.append(key.instruction)
        self.responses.append(key.response)
        self.names.append(key.names)
        self.confidences.append(key.confidence)
        self.tests.append(key.tests)
        self.easy.append(key.easy)

    def __len__(self) -> int:
        return len(self.ids)


def key_of(row: Row, seed: int, name_diversity: bool) -> Key:
    """The key of a row: a pure function of the row, the run's seed, and whether function names count."""
    parent = row.parents.get("instruction")
    found = row.verification
    return Key(
        id=row.id,
        rank=rank(seed, "select", row.id),
        question=hash64(parent) if parent else hash64(row.seed, row.instruction),
        instruction=_hash_without_space(row.instruction),
        response=_hash_without_space(row.response),
        names=_name_key(row) if name_diversity else 0,
        confidence=found.confidence if found is not None else 0.0,
        tests=(found.mutation or 0.0) - (found.changed > 0) if found is not None else 0.0,
        easy=found is not None and found.ease > EASY,
    )


_SPACE = bytes(code for code in range(128) if chr(code).isspace())


def _hash_without_space(text: str) -> int:
    """A hash of a text without white space."""
    if text.isascii():
        return hash_bytes(text.encode().translate(None, _SPACE))
    return hash64("".join(text.split()))


def _name_key(row: Row) -> int:
    blocks = python_fences(row.response)
    names = function_names(blocks[0].code if blocks else row.response)  # in style `codeonly` the whole response is code
    return hash64(" ".join(names)) if names else 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The kept rows in the order of the data set, and for each dropped row the reason and the row that caused it."""

    kept: list[int]
    dropped: dict[int, tuple[str, int]]


def choose(
    keys: Keys,
    *,
    keep: Keep = "one",
    excluded: frozenset[int] = frozenset(),
    finders: Iterable[tuple[str, ComparesTasksOnly, Finder]] = (),
    max_easy: float = 1.0,
    max_wrong: float = 1.0,
) -> Choice:
    """Decide which rows to keep.

    Args:
        keys: one for each row.
        keep: `one` row for each instruction, or `all` of them.
        excluded: rows that were already dropped and are ignored.
        finders: steps in order, each a reason code, whether it compares only tasks, and a finder of rows that are too
            similar among those not yet dropped.
        max_easy: maximum share of easy rows among those kept; surplus ones are dropped from the end of the order.
        max_wrong: maximum expected share of wrong rows among those kept; the least confident ones are dropped.
    """
    order = _order(keys, excluded)
    dropped = _drop_equal(keys, order, keep, excluded)
    for reason, of_tasks, find in finders:
        alive = [row for row in order if row not in dropped and row not in excluded]
        heads = _first_of_task(keys, alive) if of_tasks and keep == "all" else alive
        asked = [row for row, head in zip(alive, heads, strict=True) if row == head]
        found = find(np.array(asked, dtype=np.int64)) if asked else {}
        dropped.update({row: (reason, found[head]) for row, head in zip(alive, heads, strict=True) if head in found})
    kept = [row for row in order if row not in dropped and row not in excluded]
    while surplus := _surplus_of_easy(keys, kept, max_easy) or _surplus_of_wrong(keys, kept, max_wrong):
        dropped.update(surplus)
        kept = [row for row in kept if row not in surplus]
    return Choice(kept, dropped)


def _first_of_task(keys: Keys, rows: list[int]) -> list[int]:
    """For each row, the first row of its instruction."""
    first = {keys.questions[row]: row for row in reversed(rows)}
    return [first[keys.questions[row]] for row in rows]


def _surplus_of_easy(keys: Keys, kept: list[int], max_easy: float) -> dict[int, tuple[str, int]]:
    """The easy rows beyond their maximum share. Agreement favours easy tasks: without a limit they dominate."""
    easy = [row for row in kept if keys.easy[row]]
    if max_easy >= 1 or not easy:
        return {}
    room = int(max_easy / (1 - max_easy) * (len(kept) - len(easy)) + 1e-9)
    if room >= len(easy):
        return {}
    last = easy[room - 1] if room else easy[0]
    return dict.fromkeys(easy[room:], (Reason.TOO_MANY_EASY, last))


def _surplus_of_wrong(keys: Keys, kept: list[int], max_wrong: float) -> dict[int, tuple[str, int]]:
    """The least confident rows, as many as must go so that the expected share of wrong ones among the others is small enough."""
    if max_wrong >= 1 or not kept:
        return {}
    ranked = sorted(kept, key=lambda row: -keys.confidences[row])
    wrong = np.cumsum([1 - keys.confidences[row] for row in ranked])
    fits = np.flatnonzero(wrong <= max_wrong * np.arange(1, len(ranked) + 1) + 1e-9)
    count = int(fits[-1]) + 1 if len(fits) else 0
    return {row: (Reason.LOW_CONFIDENCE, row) for row in ranked[count:]}


def _order(keys: Keys, excluded: frozenset[int]) -> list[int]:
    """The rows by rank; within an instruction by confidence, and by their tests where confidences are about equal."""
    ranks: NDArray[np.uint64] = (
        np.frombuffer(keys.ranks, dtype=np.uint64) if len(keys) else np.zeros(0, dtype=np.uint64)
    )
    order: list[int] = np.argsort(ranks, kind="stable").tolist()
    # Equal ranks are practically impossible, but even then the order of the input must not decide.
    if any(keys.ranks[one] == keys.ranks[other] for one, other in pairwise(order)):
        order.sort(key=lambda row: (keys.ranks[row], keys.ids[row]))
    if any(keys.confidences):
        _confident_first(keys, order, excluded)
    return order


def _confident_first(keys: Keys, order: list[int], excluded: frozenset[int]) -> None:
    """Sort the rows of each instruction within the positions they occupy; the order of tasks stays the same."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(order):
        places.setdefault(keys.questions[row], []).append(place)
    for mine in places.values():
        if len(mine) > 1:
            for place, row in zip(mine, _best_first(keys, [order[place] for place in mine], excluded), strict=True):
                order[place] = row


def _best_first(keys: Keys, rows: list[int], excluded: frozenset[int]) -> list[int]:
    """Rows of one instruction by confidence; those within `NEAR` of the best come first, sorted by their tests."""
    least = max((keys.confidences[row] for row in rows if row not in excluded), default=0.0) - NEAR
    best = [row for row in rows if keys.confidences[row] >= least]
    rest = [row for row in rows if keys.confidences[row] < least]
    best.sort(key=lambda row: (-keys.tests[row], -keys.confidences[row]))
    return [*best, *sorted(rest, key=lambda row: -keys.confidences[row])]


def _drop_equal(keys: Keys, order: list[int], keep: Keep, excluded: frozenset[int]) -> dict[int, tuple[str, int]]:
    """Go through the rows in order and drop each that has a hash in common with an earlier kept row."""
    checks: list[tuple[str, array[int], dict[int, int]]] = []
    if keep == "one":
        checks.append((Reason.NOT_CHOSEN, keys.questions, {}))
        checks.append((Reason.DUPLICATE_INSTRUCTION, keys.instructions, {}))
    checks.append((Reason.DUPLICATE_RESPONSE, keys.responses, {}))
    checks.append((Reason.DUPLICATE_NAMES, keys.names, {}))
    dropped: dict[int, tuple[str, int]] = {}
    for row in order:
        if row in excluded:
            continue
        for reason, hashes, seen in checks:
            key = hashes[row]
            if key and key in seen:
                dropped[row] = (reason, seen[key])
                break
        else:
            for _, hashes, seen in checks:
                if hashes[row]:
                    seen[hashes[row]] = row
    return dropped


_DETAILS: dict[str, str] = {
    Reason.NOT_CHOSEN: "another response to the same instruction was chosen:",
    Reason.DUPLICATE_INSTRUCTION: "it has the same instruction as",
    Reason.DUPLICATE_RESPONSE: "it has the same response as",
    Reason.TOO_MANY_EASY: "most samples of its task passed, and such rows already fill --max-easy; the last one is",
    Reason.DUPLICATE_NAMES: "its functions have the same names as those of",
    Reason.NEAR_DUPLICATE: "it is a near duplicate of",
    Reason.SEMANTIC_DUPLICATE: "its instruction means the same as that of",
}


def reject_for(keys: Keys, row: int, reason: str, other: int) -> Reject:
    """The reject of a dropped row."""
    if reason == Reason.LOW_CONFIDENCE:
        detail = f"Confidence {keys.confidences[row]:.2f}: with it, more rows would be wrong than --max-wrong allows."
        return Reject(id=keys.ids[row], stage=STAGE, reason=reason, detail=detail)
    return Reject(id=keys.ids[row], stage=STAGE, reason=reason, detail=f"{_DETAILS[reason]} row {keys.ids[other]}")
