"""How many rows of a data set are expected to be wrong, with an interval.

The expected number is the sum of 1 - confidence. The interval holds nine of ten outcomes under two uncertainties: that of the
fit, by its bootstrap draws over tasks, and that of each row, which is right or wrong by chance. What the fit's tasks do not show,
such as a data set of other tasks, is not in it; nor is that several rows of one task (`keep = "all"`) are right or wrong together.
`benchmarks/false_passes/coverage.py` measures how often it holds the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from snipmill.records import Verification
from snipmill.verification.calibration import Calibration, Fit
from snipmill.verification.confidence import features

_BATCH = 4096
_QUANTILES = np.array([NormalDist().inv_cdf((place + 0.5) / 40) for place in range(40)])
_BETWEEN = (5, 95)  # percent


class _Line(msgspec.Struct):
    verification: Verification | None = None


_LINE = msgspec.json.Decoder(_Line)


@dataclass(frozen=True)
class ExpectedWrong:
    """Of so many rows, how many are expected to be wrong, and the interval that holds nine of ten outcomes."""

    rows: int
    expected: float
    low: int
    high: int

    @property
    def share(self) -> float:
        """The expected share of wrong rows."""
        return self.expected / self.rows if self.rows else 0.0

    def __str__(self) -> str:
        return f"{self.expected:,.0f} of {self.rows:,} (90%: {self.low:,} to {self.high:,})"


class WrongRows:
    """Counts rows one by one, in little memory; `estimate` at any time."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self._rows = 0
        self._expected = 0.0
        draws = max((len(fit.draws) for fit in calibration.fits), default=0) or 1
        self._means = np.zeros(draws)
        self._variances = np.zeros(draws)
        self._waiting: dict[tuple[str, ...], list[list[float]]] = {}
        self._fits = {fit.features: fit for fit in calibration.fits}

    def add(self, found: Verification) -> None:
        """Count one more row."""
        evidence = features(found)
        fit = self.calibration.fit_for(evidence)
        waiting = self._waiting.setdefault(fit.features, [])
        waiting.append([evidence[name] for name in fit.features])
        if len(waiting) >= _BATCH:
            self._take(fit)

    def add_line(self, line: bytes) -> None:
        """Count one more row, given as a line of JSON. Without evidence it does not count."""
        found = _LINE.decode(line).verification
        if found is not None:
            self.add(found)

    def _take(self, fit: Fit) -> None:
        evidence = np.array(self._waiting.pop(fit.features))
        self._rows += len(evidence)
        self._expected += float(_wrong(evidence, np.array([fit.weights])).sum())
        wrong = _wrong(evidence, np.array(fit.draws or (fit.weights,)))
        # A fit with fewer draws than another is repeated.
        repeats = -(-len(self._means) // wrong.shape[1])
        self._means += np.tile(wrong.sum(axis=0), repeats)[: len(self._means)]
        self._variances += np.tile((wrong * (1 - wrong)).sum(axis=0), repeats)[: len(self._means)]

    def estimate(self) -> ExpectedWrong:
        """What is expected of the rows so far."""
        for name in list(self._waiting):
            self._take(self._fits[name])
        if not self._rows:
            return ExpectedWrong(0, 0.0, 0, 0)
        outcomes = self._means[:, None] + np.sqrt(self._variances)[:, None] * _QUANTILES
        low, high = np.percentile(np.clip(np.rint(outcomes), 0, self._rows), _BETWEEN)
        return ExpectedWrong(self._rows, self._expected, int(low), int(high))


def _wrong(evidence: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability that each row is wrong, by each set of weights."""
    return 1 / (1 + np.exp(np.clip(evidence @ weights.T, -500, 500)))
