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
    "always": -2.705,
    "passed as written": -0.001,
    "own assertions true": 0.037,
    "own assertions contradicted": -0.534,
    "mean agreement": 0.401,
    "others' assertions true": 0.753,
    "others that compute the same": 1.357,
    "likeness of others": 2.222,
    "one value only": -1.376,
    "share of samples that passed": 0.623,
    "mutation score": 0.849,
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
    of_all, of_others = support.samples / (support.samples + 2), (support.samples - 1) / (support.samples + 1)
    return {
        "always": 1.0,
        "passed as written": float(passed),
        "own assertions true": support.own_true / own if own else 0.0,
        "own assertions contradicted": support.contradicted / own if own else 0.0,
        "mean agreement": support.agreement,
        "others' assertions true": support.foreign_true / support.foreign if support.foreign else 0.0,
        "others that compute the same": support.alike * of_others,
        "likeness of others": support.likeness * of_others,
        "one value only": float(support.values <= 1),
        "share of samples that passed": support.passed * of_all,
        "mutation score": mutation if mutation is not None else 0.0,
    }


def confidence(support: Support, *, passed: bool, mutation: float | None) -> float:
    """The probability that a sample is right, from 0 to 1."""
    found = features(support, passed=passed, mutation=mutation)
    score = sum(WEIGHTS.get(name, 0.0) * value for name, value in found.items())
    return 1 / (1 + math.exp(-score))
