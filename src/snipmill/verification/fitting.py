"""Fits the weights of a calibration: ridge-penalised logistic regression, with bootstrap and cross-validation over tasks.

Samples of one task are alike, so tasks are drawn and left out as a whole. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snipmill.records import Verification
from snipmill.verification.calibration import EXECUTED, LIKELIHOOD, QUESTIONS, Fit
from snipmill.verification.confidence import features

RIDGE = 3.0  # penalty on the square of a weight; the constant has none that would be felt
DRAWS = 200
FOLDS = 20
LEAST_TASKS = 5
_BINS = 10
_ROUNDS = 30
KINDS: tuple[tuple[str, ...], ...] = (
    (*EXECUTED, *LIKELIHOOD, *QUESTIONS),
    (*EXECUTED, *LIKELIHOOD),
    (*EXECUTED, *QUESTIONS),
    EXECUTED,
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A sample whose truth is known.

    Attributes:
        task: which task it answers; those of one task belong together.
        found: the evidence on it.
        is_right: the truth.
    """

    task: str
    found: Verification
    is_right: bool


def fit_weights(x: Floats, y: Floats, counts: Floats | None = None) -> Floats:
    """Weights by Newton's method.

    Args:
        x: evidence, samples x features; the first column is the constant.
        y: 1.0 where the sample is right.
        counts: how often each sample counts; once without it.
    """
    counts = np.ones(len(y)) if counts is None else counts
    penalty = np.full(x.shape[1], RIDGE)
    penalty[0] = 1e-3
    weights = np.zeros(x.shape[1])
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (counts * (p - y)) + penalty * weights
        hessian = (x * (counts * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def fit_all(samples: Sequence[Judged], seed: int = 0, draws: int = DRAWS) -> tuple[Fit, ...]:
    """A fit for each kind of evidence that all of enough samples have, those with more evidence first.

    Raises:
        ValueError: too few tasks have right samples, or too few have wrong ones.
    """
    right, wrong = (len({one.task for one in samples if one.is_right is kind}) for kind in (True, False))
    if min(right, wrong) < LEAST_TASKS:
        raise ValueError(
            f"{right} tasks have right samples that can become rows, and {wrong} have wrong ones; weights need at least "
            f"{LEAST_TASKS} of each"
        )
    fits = []
    for names in KINDS:
        able = [one for one in samples if features(one.found).keys() >= set(names)]
        if names == EXECUTED or (len(able) >= len(samples) / 2 and 0 < sum(one.is_right for one in able) < len(able)):
            fits.append(_fit_one(able, names, seed, draws))
    return tuple(fits)


def _fit_one(samples: Sequence[Judged], names: tuple[str, ...], seed: int, draws: int) -> Fit:
    x, y, groups = _arrays(samples, names)
    random = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    drawn = []
    for _ in range(draws):
        times = np.bincount(random.integers(0, count, count), minlength=count)
        drawn.append(_rounded(fit_weights(x, y, times[groups].astype(float))))
    return Fit(features=names, weights=_rounded(fit_weights(x, y)), draws=tuple(drawn))


def _rounded(weights: Floats) -> tuple[float, ...]:
    return tuple(round(float(weight), 3) for weight in weights)


def _arrays(samples: Sequence[Judged], names: Sequence[str]) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Evidence, truth, and the number of each sample's task."""
    x = np.array([[features(one.found)[name] for name in names] for one in samples])
    y = np.array([float(one.is_right) for one in samples])
    _, groups = np.unique([one.task for one in samples], return_inverse=True)
    return x, y, groups


def cross_validated(
    samples: Sequence[Judged], seed: int = 0, folds: int = FOLDS, kinds: Sequence[tuple[str, ...]] = KINDS
) -> list[float]:
    """Each sample's confidence by weights that have not seen its task, with as much evidence as it has.

    Args:
        samples: all of them.
        seed: of the draw of the folds.
        folds: into how many parts the tasks are dealt; at most one for each task.
        kinds: of evidence that may be used, those with more first; the last one is what all samples have.
    """
    found = [0.0] * len(samples)
    tasks = sorted({one.task for one in samples})
    parts = min(folds, len(tasks))
    order = np.random.default_rng(seed).permutation(len(tasks))
    fold_of = {tasks[place]: number % parts for number, place in enumerate(order)}
    evidence = [features(one.found) for one in samples]
    used = [next(names for names in kinds if all(name in one for name in names)) for one in evidence]
    for names in set(used):
        mine = [number for number, kind in enumerate(used) if kind == names]
        able = [number for number, one in enumerate(evidence) if all(name in one for name in names)]
        for fold in range(parts):
            left_out = [number for number in mine if fold_of[samples[number].task] == fold]
            if not left_out:
                continue
            rest = [samples[number] for number in able if fold_of[samples[number].task] != fold]
            right = sum(one.is_right for one in rest)
            if right in (0, len(rest)):  # nothing tells them apart
                for number in left_out:
                    found[number] = (right + 1) / (len(rest) + 2)
                continue
            weights = fit_weights(*_arrays(rest, names)[:2])
            scores = np.array([[evidence[number][name] for name in names] for number in left_out]) @ weights
            for number, score in zip(left_out, scores, strict=True):
                found[number] = float(1 / (1 + np.exp(-score)))
    return found


def roc_area(truths: Sequence[bool], scores: Sequence[float]) -> float | None:
    """The probability that a right sample scores above a wrong one; ties count half. None without samples of both kinds."""
    truth, score = np.array(truths, dtype=bool), np.array(scores)
    right, wrong = int(truth.sum()), int((~truth).sum())
    if not right or not wrong:
        return None
    _, places, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[truth].sum() - right * (right + 1) / 2) / (right * wrong))


def calibration_curve(truths: Sequence[bool], scores: Sequence[float]) -> list[dict[str, float]]:
    """What was said and what was true of samples, and how many there are, in tenths."""
    truth, score = np.array(truths, dtype=float), np.array(scores)
    bins = np.minimum((score * _BINS).astype(int), _BINS - 1)
    return [
        {"said": float(score[mine].mean()), "was": float(truth[mine].mean()), "samples": int(mine.sum())}
        for mine in (bins == number for number in range(_BINS))
        if mine.any()
    ]


def calibration_error(truths: Sequence[bool], scores: Sequence[float]) -> float:
    """The expected calibration error: the mean distance between said and true, weighted by samples."""
    curve = calibration_curve(truths, scores)
    return sum(one["samples"] * abs(one["said"] - one["was"]) for one in curve) / len(truths)
