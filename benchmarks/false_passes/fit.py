"""How good is each filter, and what is the evidence worth? Replays the evidence.jsonl of every model in seconds.

    python benchmarks/false_passes/fit.py [--ship]

For each model and filter: rows kept (one for each task), how many fail the hidden tests (false passes), and the right rows.
Confidence is cross-validated: each task's samples are judged by weights fitted on all other tasks, of all models; `strangers`
are weights fitted on all other tasks of the other models only. `--ship` writes the calibration that comes with snipmill, fitted on
all samples, with the reviews of each model by itself.

Some dozens of tasks are a small sample: the comparison with the original's filter also says between what it lies for 90% of 2,000
samples of as many tasks, drawn with replacement (bootstrap).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from recorded import Recorded, load

import snipmill
from snipmill.verification.calibration import SHIPPED, Calibration, encode_calibration
from snipmill.verification.confidence import confidence
from snipmill.verification.fitting import cross_validated, fit_all, roc_area

RESAMPLES = 2000
Samples = list[dict[str, Any]]


def as_lines(recorded: list[Recorded]) -> Samples:
    """The samples as lines of evidence, with the model and task of each."""
    return [{**one.line, "model": one.setting, "task": one.task, "found": one.found} for one in recorded]


def by_strangers(recorded: list[Recorded]) -> list[float]:
    """Each sample's confidence by weights that have seen neither its task nor its model."""
    calibrations: dict[tuple[str, str], Calibration] = {}
    scores = []
    for one in recorded:
        key = one.task, one.setting
        if key not in calibrations:
            others = [other.judged for other in recorded if other.task != one.task and other.setting != one.setting]
            calibrations[key] = Calibration(model="strangers", fits=fit_all(others, draws=0))
        scores.append(confidence(one.found, calibrations[key]))
    return scores


def shipped(recorded: list[Recorded]) -> Calibration:
    """The calibration that comes with snipmill. Questions are left out: their answers carry over to no other reviewer."""
    able = [one for one in recorded if one.can_be_row]
    return Calibration(
        model=SHIPPED,
        review="likelihood",
        shipped=True,
        samples=8,
        tasks=len({one.task for one in recorded}),
        judged=len(able),
        right=sum(one.is_right for one in able),
        snipmill=snipmill.__version__,
        fits=fit_all([one.judged for one in able]),
    )


def expected(samples: Samples, keep: Callable[[dict[str, Any]], bool]) -> tuple[int, float]:
    """Tasks with a row, and right rows to be expected, where one of those kept is drawn for each task."""
    rows: dict[str, list[bool]] = {}
    for sample in samples:
        if keep(sample):
            rows.setdefault(sample["task"], []).append(sample["right"])
    return len(rows), sum(sum(rights) / len(rights) for rights in rows.values())


def report(name: str, rows: int, right: float, tasks: int) -> None:
    share = (rows - right) / rows if rows else 0.0
    print(f"{name:58} {rows:4} rows {rows / tasks:6.0%}   {right:5.1f} right   {share:6.1%} false")


def curve(samples: Samples, scores: list[float], able: Callable[[dict[str, Any]], bool]) -> list[tuple[float, bool]]:
    """The best sample of each task that can be kept, from the most to the least confident."""
    best: dict[str, tuple[float, bool]] = {}
    for sample, score in zip(samples, scores, strict=True):
        if able(sample) and score > best.get(sample["task"], (-1.0, False))[0]:
            best[sample["task"]] = (score, sample["right"])
    return sorted(best.values(), reverse=True)


def report_origins(samples: Samples, scores: list[float]) -> None:
    """Are repaired samples worse than those that passed, and repairs of tasks none of whose samples passed worse still?"""
    kinds: dict[str, list[tuple[float, bool]]] = {}
    for sample, score in zip(samples, scores, strict=True):
        if sample["recompute"]["holds"]:
            how = "passed as written" if sample["passed"] else "repaired"
            if not sample["passed"]:
                how += ", where others passed" if sample["passed_share"] > 0 else ", where none passed"
            agreed = "another agrees" if sample["group"] >= 2 else "alone"
            kinds.setdefault(f"{how}, {agreed}", []).append((score, sample["right"]))
    print("\nsamples that can become rows, by what they went through:")
    for kind, found in sorted(kinds.items()):
        said, was = (float(np.mean(column)) for column in zip(*found, strict=True))
        print(f"    {kind:52} {len(found):4} samples, said {said:.2f}, right {was:.2f}")


FILTERS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "(a) raises nothing, as the original": lambda s: s["exit_zero"],
    "(b) strict verdict": lambda s: s["passed"],
    "(c) strict verdict, one more implementation agrees": lambda s: s["passed"] and s["group"] >= 2,
    "(c) repaired tests hold, one more implementation agrees": lambda s: s["recompute"]["holds"] and s["group"] >= 2,
    "(c) repaired tests hold, two more agree": lambda s: s["recompute"]["holds"] and s["group"] >= 3,
    "(d) the same, and mutation score at least 0.8": lambda s: (
        s["recompute"]["holds"] and s["group"] >= 2 and (s["found"].mutation or 0.0) >= 0.8
    ),
}


def report_model(samples: Samples, scores: list[float]) -> None:
    """What each filter makes of one model's samples."""
    tasks = len({sample["task"] for sample in samples})
    right_tasks = len({sample["task"] for sample in samples if sample["right"]})
    bound = len({sample["task"] for sample in samples if sample["right"] and sample["recompute"]["holds"]})
    right = sum(sample["right"] for sample in samples)
    print(
        f"{tasks} tasks, {len(samples)} samples, {right} right, {right_tasks} tasks with a right sample, "
        f"{bound} with one whose tests hold after repair"
    )
    trues = sum(s["own_true"] for s in samples if s["right"])
    asked = sum(s["own_true"] + s["own_false"] for s in samples if s["right"])
    print(f"{trues / asked:.0%} of the assertions that were written for right code hold for it\n")
    for name, keep in FILTERS.items():
        report(name, *expected(samples, keep), tasks)
    print("\nby confidence, cross-validated, best of each task whose tests hold after repair:")
    ranked = curve(samples, scores, lambda s: s["recompute"]["holds"])
    for threshold in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.0):
        kept = [truth for score, truth in ranked if score >= threshold]
        report(f"    confidence at least {threshold}", len(kept), sum(kept), tasks)
    report_origins(samples, scores)
    report_comparison(samples, scores)
    print(f"area under the ROC curve over all samples: {roc_area([s['right'] for s in samples], scores):.3f}")
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = [(score, s["right"]) for score, s in zip(scores, samples, strict=True) if low <= score < low + 0.2]
        if inside:
            said, was = np.mean([a for a, _ in inside]), np.mean([b for _, b in inside])
            print(f"    said {said:.2f}, was {was:.2f} ({len(inside)} samples)")


def report_comparison(samples: Samples, scores: list[float]) -> None:
    """Right rows at the false-pass rate of (a), and false rows at its coverage, also as multiples of those of (a)."""
    keep = FILTERS["(a) raises nothing, as the original"]
    tasks = []
    for task in sorted({sample["task"] for sample in samples}):
        mine = [(sample, score) for sample, score in zip(samples, scores, strict=True) if sample["task"] == task]
        best = curve([sample for sample, _ in mine], [score for _, score in mine], lambda s: s["recompute"]["holds"])
        tasks.append(([sample["right"] for sample, _ in mine if keep(sample)], best))
    rows, good, right, false = compare(tasks)
    draws = np.random.default_rng(0)
    again = [compare([tasks[number] for number in draws.integers(0, len(tasks), len(tasks))]) for _ in range(RESAMPLES)]
    rights = np.percentile([r / g for _, g, r, _ in again], [5, 95])
    falses = np.percentile([f / (n - g) for n, g, _, f in again], [5, 95])
    print(
        f"\nat the false-pass rate of (a), {(rows - good) / rows:.1%}: {right} right rows against {good:.1f}, "
        f"{right / good:.2f} times as many ({rights[0]:.2f} to {rights[1]:.2f})"
    )
    print(
        f"at the coverage of (a), {rows} rows: {false} false against {rows - good:.1f}, "
        f"{false / (rows - good):.2f} times as many ({falses[0]:.2f} to {falses[1]:.2f})"
    )


def compare(tasks: list[tuple[list[bool], list[tuple[float, bool]]]]) -> tuple[int, float, int, int]:
    """The original's filter against confidence.

    Args:
        tasks: for each, whether those of its samples that (a) keeps are right, and its best sample, if there is one.

    Returns:
        rows of (a), right rows of (a), ours at its false-pass rate, and our false rows at its coverage.
    """
    filtered = [rights for rights, _ in tasks if rights]
    rows, good = len(filtered), sum(sum(rights) / len(rights) for rights in filtered)
    ranked = sorted((best for _, found in tasks for best in found), reverse=True)
    right = np.cumsum([truth for _, truth in ranked])
    kept = np.arange(1, len(ranked) + 1)
    most = int(np.max(right[(kept - right) * rows <= (rows - good) * kept], initial=0))
    return rows, good, most, rows - int(right[min(rows, len(right)) - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ship", action="store_true")
    args = parser.parse_args()
    if args.ship:
        target = Path(str(files("snipmill.verification").joinpath("shipped_calibration.json")))
        target.write_bytes(encode_calibration(shipped(load("own", "likelihood"))))
        return
    recorded = load()
    samples = as_lines(recorded)
    models = sorted({sample["model"] for sample in samples})
    scores = cross_validated([one.judged for one in recorded], folds=len(recorded))
    strange = by_strangers(recorded) if len(models) > 1 else []
    for model in models:
        mine = [number for number, sample in enumerate(samples) if sample["model"] == model]
        print(f"\n== {model}")
        report_model([samples[number] for number in mine], [scores[number] for number in mine])
        if strange:
            area = roc_area([samples[number]["right"] for number in mine], [strange[number] for number in mine])
            said = float(np.mean([strange[number] for number in mine]))
            was = float(np.mean([samples[number]["right"] for number in mine]))
            print(f"judged by strangers: area {area:.3f}, said {said:.2f} on average, was {was:.2f}")


if __name__ == "__main__":
    main()
