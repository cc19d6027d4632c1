"""Which rows of a data set stay: one for each instruction, no two the same, none nearly the same.

Two steps, so that a million rows need not be in memory: a row is reduced to a key (`key_of`), and all keys together
decide (`choose`). Everything follows from content and seeded draws, so the order in which rows come in changes nothing.
Source of the rules: the selection step of StarCoder2-Instruct.
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
from snipmill.records import Reject, Row, hash64
from snipmill.text.code import function_names
from snipmill.text.fences import python_fences

STAGE = "select"
NEAR = 0.03  # confidences that differ by no more say the same: then the tests decide
EASY, RARE = 2 / 3, 1 / 3  # shares of a task's samples that passed: above the first, and below the second
Keep = Literal["one", "all"]
# The rows that are still there, from the lowest to the highest rank -> row: the row of these that it is too much like.
Finder = Callable[[NDArray[np.int64]], dict[int, int]]
# Whether a finder looks at the task alone; then all rows of one instruction are one to it, and stay or go together.
OfTasks = bool


class Key(NamedTuple):
    """What decides about one row: 64-bit hashes, and its id for telling which row was the earlier.

    `instruction` and `response` hash the text without white space, `question` the instruction's record, `names` the
    function names; 0 means that there is none. `tests` is the mutation score, less 1 where tests were repaired. `easy` says
    whether most samples of the task passed.
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
    """The keys of all rows, in their order of arrival, column by column."""

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
        """Take in one more row's key."""
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
    """What decides about a row: a pure function of the row, the run's seed, and whether function names count."""
    parent = row.parents.get("instruction")
    found = row.verification
    return Key(
        id=row.id,
        rank=rank(seed, "select", row.id),
        question=hash64(parent) if parent else hash64(row.seed, row.instruction),
        instruction=hash64("".join(row.instruction.split())),
        response=hash64("".join(row.response.split())),
        names=_name_key(row) if name_diversity else 0,
        confidence=found.confidence if found is not None else 0.0,
        tests=(found.mutation or 0.0) - (found.changed > 0) if found is not None else 0.0,
        easy=found is not None and found.ease > EASY,
    )


def _name_key(row: Row) -> int:
    blocks = python_fences(row.response)
    names = function_names(blocks[0].code if blocks else row.response)  # all is code in the style `codeonly`
    return hash64(" ".join(names)) if names else 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows that stay, in the order of the data set, and for each other row why it goes and because of which row."""

    kept: list[int]
    dropped: dict[int, tuple[str, int]]


def choose(
    keys: Keys,
    *,
    keep: Keep = "one",
    without: frozenset[int] = frozenset(),
    alike: Iterable[tuple[str, OfTasks, Finder]] = (),
    max_easy: float = 1.0,
) -> Choice:
    """Decide about all rows.

    Args:
        keys: one for each row.
        keep: `one` row for each instruction, or `all` of them.
        without: rows that are dropped already and count for nothing.
        alike: one after the other, a reason code, whether tasks are looked at, and what finds rows that are too alike among
            those still there.
        max_easy: at most this share of the rows that stay may be easy; of more, those last in the order go.
    """
    order = _order(keys, without)
    dropped = _drop_equal(keys, order, keep, without)
    for reason, of_tasks, find in alike:
        alive = [row for row in order if row not in dropped and row not in without]
        heads = _heads(keys, alive) if of_tasks and keep == "all" else alive
        asked = [row for row, head in zip(alive, heads, strict=True) if row == head]
        found = find(np.array(asked, dtype=np.int64)) if asked else {}
        dropped.update({row: (reason, found[head]) for row, head in zip(alive, heads, strict=True) if head in found})
    kept = [row for row in order if row not in dropped and row not in without]
    surplus = _surplus_of_easy(keys, kept, max_easy)
    dropped.update(surplus)
    return Choice([row for row in kept if row not in surplus], dropped)


def _heads(keys: Keys, rows: list[int]) -> list[int]:
    """For each row the first one of its instruction."""
    first = {keys.questions[row]: row for row in reversed(rows)}
    return [first[keys.questions[row]] for row in rows]


def _surplus_of_easy(keys: Keys, kept: list[int], max_easy: float) -> dict[int, tuple[str, int]]:
    """The easy rows beyond their share. Agreement favours easy tasks: without a bound a data set is mostly these."""
    easy = [row for row in kept if keys.easy[row]]
    if max_easy >= 1 or not easy:
        return {}
    room = int(max_easy / (1 - max_easy) * (len(kept) - len(easy)) + 1e-9)
    last = easy[room - 1] if room else easy[0]
    return dict.fromkeys(easy[room:], ("too-many-easy", last))


def _order(keys: Keys, without: frozenset[int]) -> list[int]:
    """The rows by rank, but within an instruction the most confident first, or of several such the one with the best tests."""
    ranks: NDArray[np.uint64] = (
        np.frombuffer(keys.ranks, dtype=np.uint64) if len(keys) else np.zeros(0, dtype=np.uint64)
    )
    order: list[int] = np.argsort(ranks, kind="stable").tolist()
    # Equal ranks are as good as impossible, but the order of the input must not decide even then.
    if any(keys.ranks[one] == keys.ranks[other] for one, other in pairwise(order)):
        order.sort(key=lambda row: (keys.ranks[row], keys.ids[row]))
    if any(keys.confidences):
        _confident_first(keys, order, without)
    return order


def _confident_first(keys: Keys, order: list[int], without: frozenset[int]) -> None:
    """Let the rows of an instruction change places among themselves: the places stay, and with them the order of tasks."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(order):
        places.setdefault(keys.questions[row], []).append(place)
    for mine in places.values():
        if len(mine) > 1:
            for place, row in zip(mine, _best_first(keys, [order[place] for place in mine], without), strict=True):
                order[place] = row


def _best_first(keys: Keys, rows: list[int], without: frozenset[int]) -> list[int]:
    """Rows of one instruction by confidence, but those that are nearly as good as the best of them by their tests."""
    least = max((keys.confidences[row] for row in rows if row not in without), default=0.0) - NEAR
    best = [row for row in rows if keys.confidences[row] >= least]
    rest = [row for row in rows if keys.confidences[row] < least]
    best.sort(key=lambda row: (-keys.tests[row], -keys.confidences[row]))
    return [*best, *sorted(rest, key=lambda row: -keys.confidences[row])]


def _drop_equal(keys: Keys, order: list[int], keep: Keep, without: frozenset[int]) -> dict[int, tuple[str, int]]:
    """Go through the rows in order and drop what an earlier kept row has already."""
    checks: list[tuple[str, array[int], dict[int, int]]] = []
    if keep == "one":
        checks.append(("not-chosen", keys.questions, {}))
        checks.append(("duplicate-instruction", keys.instructions, {}))
    checks.append(("duplicate-response", keys.responses, {}))
    checks.append(("duplicate-names", keys.names, {}))
    dropped: dict[int, tuple[str, int]] = {}
    for row in order:
        if row in without:
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


_DETAILS = {
    "not-chosen": "another response to its instruction was chosen",
    "duplicate-instruction": "the instruction is that of",
    "duplicate-response": "the response is that of",
    "too-many-easy": "most samples of its task passed, and there are enough such rows; the last one is",
    "duplicate-names": "its functions are named as in",
    "near-duplicate": "it is nearly the same as",
    "semantic-duplicate": "its instruction means the same as that of",
}


def reject_for(keys: Keys, row: int, reason: str, other: int) -> Reject:
    """The reject of a dropped row."""
    return Reject(id=keys.ids[row], stage=STAGE, reason=reason, detail=f"{_DETAILS[reason]} row {keys.ids[other]}")
