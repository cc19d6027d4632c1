"""What hangs together is never parted."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from snipmill.publish.split import split_rows
from snipmill.records import Provenance, Row

WORDS = [f"word{n}" for n in range(4000)]


def row(number: int, task: str, path: str | None = None, parent: str | None = None) -> Row:
    origin = Provenance(source="s", path=path) if path is not None else None
    return Row(
        id=f"r-{number:020x}",
        seed="",
        concepts=[],
        instruction=task,
        response=f"```python\n{task[::-1]}\n```",
        provenance=origin,
        parents={"instruction": parent} if parent is not None else {},
    )


def sentence(seed: str) -> list[str]:
    return random.Random(seed).choices(WORDS, k=40)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2), st.integers(0, 12), st.integers(0, 20)), max_size=40),
    st.floats(0.05, 0.5),
    st.randoms(use_true_random=False),
)
def test_nothing_alike_on_both_sides(
    shapes: list[tuple[int, int, int, int]], share: float, shuffle: random.Random
) -> None:
    rows, keys = [], []
    for number, (topic, change, path, parent) in enumerate(shapes):
        words = sentence(str(topic))
        words[change] = f"changed{change}"  # one word of forty: near duplicates
        rows.append(row(number, " ".join(words), f"{path}.py" if path else None, str(parent) if parent else None))
        keys.append(
            {("topic", topic)} | ({("path", path)} if path else set()) | ({("parent", parent)} if parent else set())
        )
    split = split_rows(rows, share, 1)
    sides = [split.of(one.id) for one in rows]
    for one, mine in zip(keys, sides, strict=True):
        for other, theirs in zip(keys, sides, strict=True):
            assert mine == theirs or not one & other
    assert sides.count("test") <= max(1, round(share * len(rows)))
    again = list(rows)
    shuffle.shuffle(again)
    assert [split_rows(again, share, 1).of(one.id) for one in rows] == sides


def test_independent_rows_give_the_share_that_was_asked_for() -> None:
    rows = [row(number, " ".join(sentence(str(number)))) for number in range(100)]
    assert len(split_rows(rows, 0.2, 1)) == 20
    assert len(split_rows(rows, 0.0, 1)) == 0
    assert {one.id for one in rows if split_rows(rows, 0.2, 1).of(one.id) == "test"} != {
        one.id for one in rows if split_rows(rows, 0.2, 2).of(one.id) == "test"
    }
