"""How often does the interval of expected wrong rows hold the truth, and how far are confidences off? Replays recorded samples.

    python benchmarks/false_passes/coverage.py [--splits 200] [--review own]

Own calibration: half of a setting's tasks are drawn, weights are fitted on them as `snipmill calibrate` does, and the best row of
each other task gets its confidence. Counted is how often the 90% interval holds the true number of wrong rows, at several bars, and
the mean distance of said and true (calibration error), over all rows of all splits in tenths.
A stranger's: the same rows, by weights fitted on the other settings, without the tasks that are judged.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from recorded import Recorded, load

from snipmill.verification.calibration import Calibration
from snipmill.verification.confidence import confidence
from snipmill.verification.expected_wrong import WrongRows
from snipmill.verification.fitting import calibration_error, fit_all

BARS = (0.0, 0.3, 0.5)
DRAWS = 100  # of the bootstrap in each split; a calibration has 200


@dataclass
class Seen:
    """What was found over all splits, by bar."""

    held: dict[float, list[bool]] = field(default_factory=dict)
    widths: dict[float, list[float]] = field(default_factory=dict)
    said: list[float] = field(default_factory=list)
    was: list[bool] = field(default_factory=list)


def judge(calibration: Calibration, samples: Sequence[Recorded], seen: Seen) -> None:
    """Take the best row of each task, and hold what is expected of them against the truth."""
    best: dict[str, tuple[float, Recorded]] = {}
    for one in samples:
        score = confidence(one.found, calibration)
        if one.can_be_row and score > best.get(one.task, (-1.0, one))[0]:
            best[one.task] = (score, one)
    for score, one in best.values():
        seen.said.append(score)
        seen.was.append(one.is_right)
    for bar in BARS:
        rows = [one for score, one in best.values() if score >= bar]
        if not rows:
            continue
        counted = WrongRows(calibration)
        for one in rows:
            counted.add(one.found)
        found = counted.estimate()
        wrong = sum(not one.is_right for one in rows)
        seen.held.setdefault(bar, []).append(found.low <= wrong <= found.high)
        seen.widths.setdefault(bar, []).append((found.high - found.low) / len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--review", help="reviewer: `own`, or the beginning of its name")
    parser.add_argument("--kind", default="both", choices=("likelihood", "questions", "both"))
    args = parser.parse_args()
    samples = load(args.review, args.kind)
    for setting in sorted({one.setting for one in samples}):
        mine = [one for one in samples if one.setting == setting]
        others = [one for one in samples if one.setting != setting]
        tasks = sorted({one.task for one in mine})
        own, strangers, random = Seen(), Seen(), np.random.default_rng(0)
        for split in range(args.splits):
            order = random.permutation(len(tasks))
            known = {tasks[place] for place in order[: len(tasks) // 2]}
            rest = [one for one in mine if one.task not in known]
            judged = [one.judged for one in mine if one.task in known and one.can_be_row]
            judge(Calibration(model="own", fits=fit_all(judged, split, DRAWS)), rest, own)
            left = {one.task for one in rest}
            foreign = [one.judged for one in others if one.task not in left and one.can_be_row]
            judge(Calibration(model="strangers", fits=fit_all(foreign, split, DRAWS)), rest, strangers)
        print(f"\n== {setting}: {len(tasks)} tasks, half of them known, {args.splits} splits")
        for name, seen in (("own", own), ("a stranger's", strangers)):
            error = calibration_error(seen.was, seen.said)
            print(f"{name}: calibration error {error:.3f}, said {np.mean(seen.said):.3f}, was {np.mean(seen.was):.3f}")
            for bar, held in seen.held.items():
                width = np.mean(seen.widths[bar])
                print(
                    f"    confidence at least {bar}: interval holds the truth in {np.mean(held):.0%}, width {width:.0%} of the rows"
                )


if __name__ == "__main__":
    main()
