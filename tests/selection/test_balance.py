from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.config import SelectTable
from snipmill.records import Evidence, Reject, Row, Verification
from snipmill.stages.select_rows import select_rows


def row(number: int, passed: int, confidence: float = 0.5) -> Row:
    found = Verification(samples=10, passed=passed, confidence=confidence)
    return Row(
        id=f"r-{number}",
        seed="",
        concepts=[],
        instruction=f"Do {number}.",
        response=f"It is {number}.",
        verification=found,
    )


def select(rows: list[Row], **table: float) -> tuple[list[str], list[Reject]]:
    rejects: list[Reject] = []
    settings = SelectTable(near_instructions=0, near_code=0, decontaminate=False, **table)  # type: ignore[arg-type]
    return [one.id for one in select_rows(rows, settings, 3, rejects.append)], rejects


ROWS = [row(n, 9) for n in range(60)] + [row(n, 5) for n in range(60, 80)] + [row(n, 1) for n in range(80, 90)]


@pytest.mark.parametrize(("share", "easy"), [(1.0, 60), (0.5, 30), (0.25, 10), (0.0, 0)])
def test_easy_tasks_take_no_more_than_their_share(share: float, easy: int) -> None:
    kept, rejects = select(ROWS, max_easy=share)
    assert len(kept) == 30 + easy
    assert [reject.reason for reject in rejects] == ["too-many-easy"] * (60 - easy)
    shuffled = ROWS[:]
    random.Random(1).shuffle(shuffled)
    assert select(shuffled, max_easy=share)[0] == kept
    whole = select(ROWS)[0]
    assert [name for name in whole if name in set(kept)] == kept, "what stays keeps its order"


@given(st.lists(st.sampled_from([9, 5, 1]), max_size=30), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), st.randoms())
def test_max_easy_never_drops_more_than_it_must_in_any_order(
    passes: list[int], share: float, draw: random.Random
) -> None:
    rows = [row(number, passed) for number, passed in enumerate(passes)]
    kept, _ = select(rows, max_easy=share)
    easy = sum(passes[int(name.removeprefix("r-"))] == 9 for name in kept)
    others = sum(passed != 9 for passed in passes)
    assert len(kept) - easy == others
    assert share == 1.0 or easy <= share / (1 - share) * others + 1e-6
    assert easy == passes.count(9) or share / (1 - share) * others < easy + 1 + 1e-6
    draw.shuffle(rows)
    assert select(rows, max_easy=share)[0] == kept


def test_rare_passes_need_more_evidence_and_are_not_excluded() -> None:
    rows = [row(1, 1, 0.4), row(2, 1, 0.8), row(3, 9, 0.4), row(4, 4, 0.4)]
    kept, rejects = select(rows, min_rare_confidence=0.7)
    assert sorted(kept) == ["r-2", "r-3", "r-4"]
    assert [(reject.id, reject.reason) for reject in rejects] == [("r-1", "low-confidence")]
    assert "1 of 10 samples passed" in rejects[0].detail


def test_of_rows_that_are_nearly_as_confident_the_one_with_the_best_tests_is_chosen() -> None:
    def sample(name: str, confidence: float, killed: int, changed: int = 0) -> Row:
        found = Verification(samples=10, passed=5, confidence=confidence, mutants=10, killed=killed, changed=changed)
        return msgspec.structs.replace(row(1, 5), id=f"r-{name}", response=f"It is {name}.", verification=found)

    surest = sample("surest", confidence=0.80, killed=9, changed=1)
    weak = sample("weak", confidence=0.79, killed=5)
    strong = sample("strong", confidence=0.78, killed=9)
    doubtful = sample("doubtful", confidence=0.70, killed=10)
    for rows in ([surest, weak, strong, doubtful], [doubtful, strong, weak, surest]):
        assert select(rows)[0] == ["r-strong"]
        assert select([one for one in rows if one is not strong])[0] == ["r-weak"]
    assert select([surest, doubtful])[0] == ["r-surest"]
    assert select([surest, strong, doubtful], min_mutation=0.95)[0] == ["r-doubtful"]


def test_a_bar_for_the_share_of_checks_that_were_reached() -> None:
    def reaching(number: int, reached: int) -> Row:
        evidence = Evidence(status="passed", checks_written=4, checks_reached=reached)
        return msgspec.structs.replace(row(number, 5), verdict=evidence)

    rows = [reaching(1, 4), reaching(2, 2), row(3, 5)]
    kept, rejects = select(rows, min_reached=0.75)
    assert kept == ["r-1"]
    assert {(reject.id, reject.reason) for reject in rejects} == {("r-2", "weak-tests"), ("r-3", "weak-tests")}
    assert "0.50 of the checks" in next(reject.detail for reject in rejects if reject.id == "r-2")
    assert sorted(select(rows)[0]) == ["r-1", "r-2", "r-3"]


@given(
    st.lists(st.floats(0, 1), max_size=40),
    st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_max_wrong_keeps_the_most_confident_rows_and_as_many_as_fit(
    chances: list[float], most: float, easy: float
) -> None:
    rows = [row(number, 9 if number % 2 else 1, chance) for number, chance in enumerate(chances)]
    kept, rejects = select(rows, max_wrong=most, max_easy=easy)
    mine = {int(name.removeprefix("r-")) for name in kept}
    wrong = sum(1 - chances[number] for number in mine)
    assert wrong <= most * len(mine) + 1e-6
    assert easy == 1.0 or sum(number % 2 for number in mine) <= easy / (1 - easy) * sum(n % 2 == 0 for n in mine) + 1e-6
    assert len(rejects) == len(rows) - len(mine)
    if easy == 1.0 and len(mine) < len(rows) and most < 1:
        left = sorted((chances[number] for number in set(range(len(rows))) - mine), reverse=True)
        assert not mine or min(chances[number] for number in mine) >= left[0]
        assert wrong + 1 - left[0] > most * (len(mine) + 1) - 1e-6
        assert {reject.reason for reject in rejects} == {"low-confidence"}


def test_rows_without_evidence_do_not_fit_under_a_share_of_wrong_rows() -> None:
    rows = [row(1, 9, 0.9), msgspec.structs.replace(row(2, 9), verification=None)]
    assert select(rows, max_wrong=0.2)[0] == ["r-1"]
