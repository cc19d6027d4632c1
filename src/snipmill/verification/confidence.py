"""The probability that a sample's code is right, computed from the evidence on it.

A logistic regression over what the other samples, the tests' strength and a reviewer say. The weights are a calibration's
(`calibration`): the user's own, or the one that ships, which was fitted on two small models. All evidence stands in a row's
`verification`, so a confidence can be worked out again with other weights, without executing anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from snipmill.records import Row, Verification
from snipmill.verification.calibration import Calibration


def features(found: Verification) -> dict[str, float]:
    """The evidence as numbers of magnitude about 1; those of a review only where there was one."""
    # Smoothing: add two samples that disagree and failed, because a share of one or two samples says little.
    of_all, of_others = found.samples / (found.samples + 2), max(found.samples - 1, 0) / (found.samples + 1)
    evidence = {
        "always": 1.0,
        "others' assertions true": found.foreign_true / found.foreign if found.foreign else 0.0,
        "others that compute the same": found.alike * of_others,
        "likeness of others": found.likeness * of_others,
        "one value only": float(found.values <= 1),
        "share of samples that passed": found.ease * of_all,
        "mutation score": found.mutation or 0.0,
    }
    review = found.review
    if review is not None and review.gain is not None and review.without_code is not None:
        evidence["gain by the code"] = review.gain
        evidence["likelihood without the code"] = review.without_code
    if review is not None and review.yes is not None:
        evidence["yes rather than no"] = review.yes
    return evidence


def confidence(found: Verification, calibration: Calibration) -> float:
    """The probability that a sample is right, from 0 to 1."""
    evidence = features(found)
    fit = calibration.fit_for(evidence)
    score = sum(weight * evidence[name] for name, weight in zip(fit.features, fit.weights, strict=True))
    return 1 / (1 + math.exp(-max(min(score, 500.0), -500.0)))


def recalibrated(rows: Iterable[Row], calibration: Calibration) -> Iterator[Row]:
    """Rows with the confidences that a calibration gives them; rows without evidence stay as they are."""
    for row in rows:
        found = row.verification
        yield row if found is None else msgspec.structs.replace(row, verification=with_confidence(found, calibration))


def with_confidence(found: Verification, calibration: Calibration) -> Verification:
    """The evidence with the confidence that a calibration gives it."""
    return msgspec.structs.replace(found, confidence=round(confidence(found, calibration), 4))
