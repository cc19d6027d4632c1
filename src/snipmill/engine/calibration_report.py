"""What a calibration shows about a model: how well evidence tells right from wrong, and what rows at each bar are worth.

Every score here is cross-validated: a sample is judged by weights that have not seen its task. Intervals are 90% of resamples of
tasks (bootstrap). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snipmill.engine.calibration_tasks import ORIGINAL, REWRITTEN
from snipmill.records import Verification
from snipmill.selection.choose import NEAR
from snipmill.verification.fitting import Judged, calibration_curve, calibration_error, cross_validated, roc_area

BARS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_RESAMPLES = 1000
_SURE = 0.7  # confidence of a row from which being wrong is worth a look
_MOST_NAMED = 20
_LARGE_ERROR = 0.1


@dataclass(frozen=True)
class Sampled:
    """A sample: whether its own program passed, whether it is right, and the evidence where it can become a row."""

    passed: bool
    is_right: bool
    found: Verification | None


@dataclass(frozen=True)
class Answered:
    """A task in one form, with what came of its samples; `drawn` were asked for."""

    task: str
    source: str
    form: str
    drawn: int
    samples: tuple[Sampled, ...]


@dataclass(frozen=True)
class _Best:
    """The row of a task in one form; where several are equal, `right` is the share of them that is."""

    task: str
    form: str
    score: float
    right: float


def make_report(
    answered: Sequence[Answered],
    judged: Sequence[Judged],
    kinds: Sequence[tuple[str, ...]],
    cost: dict[str, object],
    seed: int,
) -> dict[str, Any]:
    """All figures, as they stand in the calibration's file.

    Args:
        answered: what came of each task.
        judged: its samples that can become rows, in the same order.
        kinds: of evidence that the fits use.
        cost: the account.
        seed: of the draws.
    """
    scores = cross_validated(judged, seed, kinds=kinds)
    truths = [one.is_right for one in judged]
    best = _best_rows(answered, scores)
    tasks = sorted({one.task for one in answered})
    resamples = _resamples(len(tasks), seed)
    place = {task: number for number, task in enumerate(tasks)}
    return {
        "tasks": len(tasks),
        "instructions": len(answered),
        "samples": sum(one.drawn for one in answered),
        "samples_with_program": sum(len(one.samples) for one in answered),
        "right_samples": sum(sample.is_right for one in answered for sample in one.samples),
        "samples_that_can_be_rows": len(judged),
        "roc_area": _with_interval(judged, scores, place, resamples),
        "roc_curve": _roc_curve(truths, scores),
        "calibration_curve": [
            {name: round(value, 4) for name, value in one.items()} for one in calibration_curve(truths, scores)
        ],
        "calibration_error": round(calibration_error(truths, scores), 4),
        "rows_at_bar": [_rows_at(bar, best, place, resamples) for bar in BARS],
        "own_tests": _own_tests(answered, place, resamples),
        "tasks_to_halve_interval": 3 * len(tasks),
        "forms": _forms(answered, place, resamples),
        "sure_and_wrong": _sure_and_wrong(best),
        "cost": cost,
    }


def _best_rows(answered: Sequence[Answered], scores: Sequence[float]) -> list[_Best]:
    """The row of each task in each form that selection takes: of the most confident ones, that with the strongest tests."""
    given = iter(scores)
    best: list[_Best] = []
    for one in answered:
        rated = [(next(given), sample.found, sample.is_right) for sample in one.samples if sample.found is not None]
        if not rated:
            continue
        most = max(score for score, _, _ in rated)
        near = [
            ((found.mutation or 0.0) - (found.changed > 0), score, right)
            for score, found, right in rated
            if score >= most - NEAR
        ]
        chosen = max((tests, score) for tests, score, _ in near)
        equal = [right for tests, score, right in near if (tests, score) == chosen]
        best.append(_Best(one.task, one.form, chosen[1], sum(equal) / len(equal)))
    return best


def _sure_and_wrong(best: Sequence[_Best]) -> list[str]:
    """Tasks whose row is wrong and confident: where all samples agree on something else than was asked."""
    return [f"{one.task} ({one.form})" for one in best if one.score >= _SURE and not one.right]


def _resamples(tasks: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How often each task occurs, in each of the resamples."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, tasks, (_RESAMPLES, tasks))
    return np.stack([np.bincount(one, minlength=tasks) for one in drawn])


def _interval(values: Sequence[float] | np.ndarray[Any, Any]) -> list[float]:
    known = np.array(values, dtype=float)
    known = known[~np.isnan(known)]
    return [round(float(value), 4) for value in np.percentile(known, [5, 95])] if len(known) else []


def _with_interval(
    judged: Sequence[Judged],
    scores: Sequence[float],
    place: dict[str, int],
    resamples: np.ndarray[Any, np.dtype[np.int64]],
) -> dict[str, Any]:
    """The area under the ROC curve, over resamples of tasks."""
    truth, score = np.array([one.is_right for one in judged]), np.array(scores)
    members: dict[int, list[int]] = {}
    for number, one in enumerate(judged):
        members.setdefault(place[one.task], []).append(number)
    areas = []
    for times in resamples[:200]:
        rows = [row for task in np.flatnonzero(times) for row in members.get(int(task), ()) * int(times[task])]
        area = roc_area(truth[rows].tolist(), score[rows].tolist()) if rows else None
        areas.append(np.nan if area is None else area)
    whole = roc_area(truth.tolist(), score.tolist())
    return {"value": None if whole is None else round(whole, 4), "interval": _interval(areas)}


def _roc_curve(truths: Sequence[bool], scores: Sequence[float]) -> list[list[float]]:
    """Points (share of wrong samples kept, share of right ones kept), from the highest bar to the lowest."""
    order = np.argsort(-np.array(scores), kind="stable")
    truth = np.array(truths)[order]
    right, wrong = np.cumsum(truth), np.cumsum(~truth)
    if not right[-1] or not wrong[-1]:
        return []
    places = np.unique(np.linspace(0, len(truth) - 1, 50).round().astype(int))
    return [[0.0, 0.0]] + [
        [round(float(wrong[one] / wrong[-1]), 4), round(float(right[one] / right[-1]), 4)] for one in places
    ]


def _rows_at(
    bar: float, best: Sequence[_Best], place: dict[str, int], resamples: np.ndarray[Any, np.dtype[np.int64]]
) -> dict[str, Any]:
    """Rows of at least some confidence: how many, right and wrong, with what was expected of them."""
    kept = [one for one in best if one.score >= bar]
    return {
        "bar": bar,
        "rows": len(kept),
        "right": round(sum(one.right for one in kept), 1),
        "wrong": round(sum(1 - one.right for one in kept), 1),
        "expected_wrong": round(sum(1 - one.score for one in kept), 1),
        **_share(_per_task([(one.task, 1 - one.right, 1.0) for one in kept], place), resamples, "wrong_share"),
    }


def _own_tests(
    answered: Sequence[Answered], place: dict[str, int], resamples: np.ndarray[Any, np.dtype[np.int64]]
) -> dict[str, Any]:
    """What a filter by the samples' own tests keeps, if one of those that pass is drawn for each task."""
    shares = [
        (one.task, sum(not sample.is_right for sample in passed) / len(passed), 1.0)
        for one in answered
        if (passed := [sample for sample in one.samples if sample.passed])
    ]
    wrong = sum(share for _, share, _ in shares)
    return {
        "rows": len(shares),
        "right": round(len(shares) - wrong, 1),
        "wrong": round(wrong, 1),
        **_share(_per_task(shares, place), resamples, "wrong_share"),
    }


def _forms(
    answered: Sequence[Answered], place: dict[str, int], resamples: np.ndarray[Any, np.dtype[np.int64]]
) -> dict[str, Any]:
    """The share of right samples in each form, and by how much they differ."""
    sums: dict[str, np.ndarray[Any, Any]] = {}
    for form in dict.fromkeys(one.form for one in answered):
        counts = [
            (one.task, sum(sample.is_right for sample in one.samples), float(len(one.samples)))
            for one in answered
            if one.form == form
        ]
        sums[form] = _per_task(counts, place)
    found: dict[str, Any] = {form: _share(counts, resamples, "right_share") for form, counts in sums.items()}
    if ORIGINAL in sums and REWRITTEN in sums:
        differences = _ratios(sums[ORIGINAL], resamples) - _ratios(sums[REWRITTEN], resamples)
        whole = _ratios(sums[ORIGINAL], None) - _ratios(sums[REWRITTEN], None)
        known = not np.isnan(whole[0])
        found["difference"] = {
            "value": round(float(whole[0]), 4) if known else None,
            "interval": _interval(differences) if known else [],
        }
    return found


def _per_task(counts: Sequence[tuple[str, float, float]], place: dict[str, int]) -> np.ndarray[Any, Any]:
    """Sums of (number, of how many) by task."""
    sums = np.zeros((2, len(place)))
    for task, number, of in counts:
        sums[0, place[task]] += number
        sums[1, place[task]] += of
    return sums


def _ratios(sums: np.ndarray[Any, Any], resamples: np.ndarray[Any, Any] | None) -> np.ndarray[Any, Any]:
    """The share over all tasks, or in each resample."""
    counted = sums.sum(axis=1, keepdims=True) if resamples is None else sums @ resamples.T
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray[Any, Any] = counted[0] / counted[1]
    return found


def _share(sums: np.ndarray[Any, Any], resamples: np.ndarray[Any, Any], name: str) -> dict[str, Any]:
    whole = float(_ratios(sums, None)[0])
    return {
        name: None if np.isnan(whole) else round(whole, 4),
        f"{name}_interval": _interval(_ratios(sums, resamples)),
    }


def remarks(report: dict[str, Any]) -> list[str]:
    """What a person should take from the figures, in sentences."""
    found: list[str] = []
    difference = report["forms"].get("difference")
    if difference is not None:
        found.append(_on_forms(difference))
    sure = report["sure_and_wrong"]
    if sure:
        named = ", ".join(sure[:_MOST_NAMED]) + (", ..." if len(sure) > _MOST_NAMED else "")
        found.append(
            f"Wrong in spite of a confidence of {_SURE} or more: {len(sure)} of the rows ({named}). There the samples agree on "
            "something else than was asked."
        )
    if report["calibration_error"] > _LARGE_ERROR:
        found.append(f"The confidences miss the truth by {report['calibration_error']:.2f} on average, which is much.")
    return found


def _on_forms(difference: dict[str, Any]) -> str:
    if difference["value"] is None:
        return "The two forms cannot be compared: in one of them no sample has a program."
    low, high = difference["interval"]
    told = f"{100 * difference['value']:+.0f} percentage points (90%: {100 * low:+.0f} to {100 * high:+.0f})"
    if low > 0:
        return (
            f"More samples are right on the tasks as they are than on the rewritten ones: {told}. Either the model has seen the "
            "tasks, or it overlooks what was changed. Tasks that nobody has seen will be more like the rewritten ones."
        )
    if high < 0:
        return (
            f"Fewer samples are right on the tasks as they are than on the rewritten ones: {told}. So the model has hardly "
            "learned them by heart."
        )
    return f"These tasks do not show a difference between the two forms: {told}."
