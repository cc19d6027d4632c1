"""From the evidence on a sample to one number: the probability that its code is right.

A logistic regression over what `agreement` found and the tests' strength. Its weights come from the false-pass benchmark, where
hidden tests tell the truth; `benchmarks/false_passes/fit.py` fits and cross-validates them, and prints this table. They are
those of two small models on one kind of task: the order of rows carries over better than the number itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from snipmill.verify.agreement import Support

# Feature -> weight; see `features`. Written by benchmarks/false_passes/fit.py.
WEIGHTS: Mapping[str, float] = {
    "always": -2.449,
    "passed as written": 0.373,
    "own assertions true": -0.574,
    "own assertions contradicted": -0.592,
    "own assertions endorsed": -0.550,
    "others that agree": -0.151,
    "share of other samples in the group": 2.094,
    "mean agreement": 1.454,
    "others' assertions true": 0.448,
    "different values": 0.152,
    "share of samples that passed": 0.737,
    "mutation score": 1.307,
}


def features(support: Support, *, passed: bool, mutation: float | None) -> dict[str, float]:
    """The evidence as numbers of about the size of 1.

    Args:
        support: what samples say of each other.
        passed: whether the sample's own program passed as it was written.
        mutation: mutation score of the tests that hold; None where there are none, or nothing could be changed.
    """
    own = support.own_true + support.own_false
    # As if there were two more samples that disagree and have failed: a share of one or two samples says little.
    doubted = support.samples + 2
    return {
        "always": 1.0,
        "passed as written": float(passed),
        "own assertions true": support.own_true / own if own else 0.0,
        "own assertions contradicted": support.contradicted / own if own else 0.0,
        "own assertions endorsed": min(support.endorsed, 5) / 5,
        "others that agree": math.log2(support.group) / 2,
        "share of other samples in the group": (support.share * support.samples - 1) / (doubted - 1),
        "mean agreement": support.agreement,
        "others' assertions true": support.foreign_true / support.foreign if support.foreign else 0.0,
        "different values": math.log2(1 + min(support.values, 15)) / 4,
        "share of samples that passed": support.passed * support.samples / doubted,
        "mutation score": mutation if mutation is not None else 0.0,
    }


def confidence(support: Support, *, passed: bool, mutation: float | None) -> float:
    """The probability that a sample is right, from 0 to 1."""
    found = features(support, passed=passed, mutation=mutation)
    score = sum(WEIGHTS.get(name, 0.0) * value for name, value in found.items())
    return 1 / (1 + math.exp(-score))
