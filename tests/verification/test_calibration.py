"""Weights that are fitted to what is known, the probabilities that they give, and what is expected of many rows."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.records import Review, Verification
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.verification.calibration import (
    EXECUTED,
    LIKELIHOOD,
    QUESTIONS,
    Calibration,
    Fit,
    decode_calibration,
    encode_calibration,
)
from snipmill.verification.confidence import confidence, features, with_confidence
from snipmill.verification.expected_wrong import WrongRows
from snipmill.verification.fitting import Judged, cross_validated, fit_all, roc_area


def found(share: float, review: Review | None = None) -> Verification:
    """Evidence that rises with `share`."""
    return Verification(
        samples=8,
        passed=round(8 * share),
        values=5,
        alike=round(share, 4),
        likeness=round(share, 4),
        foreign=10,
        foreign_true=round(10 * share),
        mutants=10,
        killed=round(10 * share),
        review=review,
    )


def samples(tasks: int, each: int = 6, seed: int = 0, reviewed: bool = False) -> list[Judged]:
    """Samples whose chance to be right rises with their evidence."""
    draws = random.Random(seed)
    made = []
    for task in range(tasks):
        ease = draws.random()
        for _ in range(each):
            share = min(max(ease + draws.gauss(0, 0.2), 0), 1)
            is_right = draws.random() < share
            gain = draws.gauss(0.5 if is_right else -0.5, 0.3)
            review = Review(reviewer="r", gain=gain, without_code=-1.0, yes=gain) if reviewed else None
            made.append(Judged(f"t{task}", found(share, review), is_right))
    return made


def test_the_weights_find_what_tells_right_from_wrong() -> None:
    known = samples(60)
    (fit,) = fit_all(known, draws=20)
    assert fit.features == EXECUTED and len(fit.draws) == 20
    calibration = Calibration(model="m", fits=(fit,))
    fresh = samples(200, seed=1)
    scores = [confidence(one.found, calibration) for one in fresh]
    truths = [one.is_right for one in fresh]
    area = roc_area(truths, scores)
    assert area is not None and area > 0.75
    assert abs(sum(scores) - sum(truths)) < 0.1 * len(fresh)
    assert fit_all(known, draws=20) == (fit,)  # the same draws every time


def test_evidence_of_a_review_is_used_where_it_is_there_and_only_there() -> None:
    calibration = Calibration(model="m", fits=fit_all(samples(60, reviewed=True), draws=5))
    assert [fit.features[len(EXECUTED) :] for fit in calibration.fits] == [
        (*LIKELIHOOD, *QUESTIONS),
        LIKELIHOOD,
        QUESTIONS,
        (),
    ]
    bare = found(0.5)
    chances = [
        confidence(msgspec.structs.replace(bare, review=review), calibration)
        for review in (
            Review(reviewer="r", gain=-0.5, without_code=-1.0, yes=-0.5),
            None,
            Review(reviewer="r", gain=0.5, without_code=-1.0, yes=0.5),
        )
    ]
    assert chances == sorted(chances) and chances[2] - chances[0] > 0.5
    half = msgspec.structs.replace(bare, review=Review(reviewer="r", yes=0.5))
    assert features(half).keys() == {*EXECUTED, *QUESTIONS}
    assert confidence(half, calibration) > chances[1]


def test_a_few_reviewed_samples_do_not_make_a_fit() -> None:
    few = samples(10, reviewed=True) + samples(60, seed=2)
    assert [fit.features for fit in fit_all(few, draws=2)] == [EXECUTED]


@pytest.mark.parametrize("is_right", [True, False])
def test_samples_of_one_kind_teach_nothing(is_right: bool) -> None:
    alike = [Judged(one.task, one.found, is_right) for one in samples(10)]
    with pytest.raises(ValueError, match="at least 5 of each"):
        fit_all(alike)


def test_no_sample_is_judged_by_weights_that_have_seen_its_task() -> None:
    """Evidence that says nothing but which task it is looks perfect to weights that have seen the task."""
    draws = random.Random(3)
    made = []
    for task in range(40):
        is_right = bool(draws.getrandbits(1))
        made += [Judged(f"t{task}", found(task / 40), is_right) for _ in range(20)]
    scores = cross_validated(made)
    area = roc_area([one.is_right for one in made], scores)
    assert area is not None and area < 0.65
    assert cross_validated(made) == scores


def test_cross_validation_copes_with_two_tasks_and_with_some_reviews() -> None:
    two = [Judged("a", found(0.9), True), Judged("b", found(0.1), False), Judged("b", found(0.2), True)]
    assert all(0 <= score <= 1 for score in cross_validated(two))
    mixed = samples(10, reviewed=True) + samples(10, seed=4)
    assert all(0 < score < 1 for score in cross_validated(mixed))
    apart = [Judged(f"other {one.task}", one.found, one.is_right) for one in samples(3, reviewed=True)] + samples(
        30, seed=5
    )
    assert all(0 < score < 1 for score in cross_validated(apart))


def test_a_fold_whose_rest_is_of_one_kind_is_not_certain() -> None:
    known = [Judged(f"t{number}", found(number / 6), number > 0) for number in range(6) for _ in range(4)]
    scores = cross_validated(known)
    assert all(0.02 < score < 0.999 for score in scores)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=40))
def test_the_roc_area_is_the_share_of_pairs_in_the_right_order(rated: list[tuple[bool, float]]) -> None:
    right = [score for truth, score in rated if truth]
    wrong = [score for truth, score in rated if not truth]
    area = roc_area([truth for truth, _ in rated], [score for _, score in rated])
    if not right or not wrong:
        assert area is None
        return
    pairs = [(one > other) + 0.5 * (one == other) for one in right for other in wrong]
    assert area == pytest.approx(sum(pairs) / len(pairs))


def test_the_interval_of_wrong_rows_holds_the_truth_about_nine_times_of_ten() -> None:
    held = 0
    for trial in range(60):
        calibration = Calibration(model="m", fits=fit_all(samples(40, seed=100 + trial), trial, 60))
        rows, wrong = WrongRows(calibration), 0
        for one in samples(40, each=1, seed=900 + trial):
            rows.add(one.found)
            wrong += not one.is_right
        estimate = rows.estimate()
        assert estimate.low <= estimate.expected + 1 and estimate.expected - 1 <= estimate.high
        held += estimate.low <= wrong <= estimate.high
    assert 47 <= held <= 60  # 0.9 of 60 are 54; a 99.9% interval of a fair count


def test_expected_wrong_rows_are_the_sum_of_doubts_however_they_come() -> None:
    calibration = shipped_calibration()
    rows = [found(number / 9_000) for number in range(9_000)]
    whole = WrongRows(calibration)
    for number, row in enumerate(rows):
        whole.add(row)
        if number == 10:
            whole.estimate()  # looking changes nothing
    estimate = whole.estimate()
    assert estimate.rows == len(rows)
    assert estimate.expected == pytest.approx(sum(1 - confidence(row, calibration) for row in rows), rel=1e-6)
    assert estimate.low < estimate.expected < estimate.high
    assert WrongRows(calibration).estimate().rows == 0
    assert WrongRows(calibration).estimate().share == 0.0


def test_a_fit_without_draws_still_gives_an_interval() -> None:
    fit = Fit(features=EXECUTED, weights=(0.0,) * len(EXECUTED))
    rows = WrongRows(Calibration(model="m", fits=(fit,)))
    for _ in range(100):
        rows.add(found(0.5))
    estimate = rows.estimate()
    assert estimate.expected == 50 and 38 <= estimate.low < 45 and 55 < estimate.high <= 62
    assert str(estimate).startswith("50 of 100 (90%: ")


def test_a_calibration_comes_back_from_its_file_and_says_where_it_does_not_fit() -> None:
    made = Calibration(model="m", prompting="chat", reviewer="r", fits=fit_all(samples(20), draws=3), asked={"a": 1})
    assert decode_calibration(encode_calibration(made)) == made
    assert made.misfits("m", "chat", "r", {"a": 1}) == made.misfits("m", "chat", None, {}) == []
    assert len(made.misfits("other", "completion", "s", {"a": 2, "b": 3})) == 4
    assert shipped_calibration().misfits("any", "chat", "any", {}) == []
    assert made.summary()["sha256"] != shipped_calibration().summary()["sha256"]


def test_the_shipped_calibration_knows_reviews_of_the_likelihood_but_no_questions() -> None:
    shipped = shipped_calibration()
    assert [fit.features for fit in shipped.fits] == [(*EXECUTED, *LIKELIHOOD), EXECUTED]
    assert all(len(fit.draws) == 200 for fit in shipped.fits)
    only_yes = found(0.5, Review(reviewer="r", yes=3.0))
    assert confidence(only_yes, shipped) == confidence(found(0.5), shipped)


VALID: dict[str, Any] = {
    "format": 1,
    "model": "m",
    "fits": [{"features": ["always"], "weights": [0.5], "draws": [[0.4]]}],
}


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"fits": []},
        {"fits": [{"features": [], "weights": []}]},
        {"fits": [{"features": ["always"], "weights": []}]},
        {"fits": [{"features": ["always"], "weights": [1], "draws": [[1, 2]]}]},
        {"fits": [{"features": ["always"], "weights": ["x"]}]},
        {"fits": [{"features": ["the weather"], "weights": [1]}]},
        {"fits": [{"features": ["always", *LIKELIHOOD], "weights": [1, 2, 3]}]},
        {"model": None},
        {"more": 1},
    ],
)
def test_what_is_no_calibration_is_refused(changed: dict[str, Any]) -> None:
    assert decode_calibration(json.dumps(VALID).encode()).model == "m"
    with pytest.raises(ValueError):
        decode_calibration(json.dumps({**VALID, **changed}).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_text_that_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode_calibration(text)


def test_evidence_beyond_all_measure_still_gives_a_probability() -> None:
    wild = found(1.0, Review(reviewer="r", gain=1e9, without_code=-1e9))
    chance = with_confidence(wild, shipped_calibration()).confidence
    assert 0 <= chance <= 1 and math.isfinite(chance)
    rows = WrongRows(shipped_calibration())
    rows.add(wild)
    assert rows.estimate().rows == 1
