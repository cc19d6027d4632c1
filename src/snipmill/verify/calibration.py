"""A calibration: what evidence is worth for one model, fitted on samples whose truth is known.

It is made by `snipmill calibrate` from the user's own model (`engine/calibrate.py`); the one that ships was fitted on two small
models by `benchmarks/false_passes/fit.py`. Pure: reading files is `stages/calibration_file.py`, fitting is `fitting`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from typing import Any

import msgspec

# What evidence may be called in a fit; `confidence.features` works it out.
EXECUTED = (
    "always",
    "others' assertions true",
    "others that compute the same",
    "likeness of others",
    "one value only",
    "share of samples that passed",
    "mutation score",
)
LIKELIHOOD = ("gain by the code", "likelihood without the code")
QUESTIONS = ("yes rather than no",)
SHIPPED = "shipped"  # the name of the built-in calibration's model
FORMAT = 1


class Fit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A logistic regression over some kinds of evidence (`confidence.features`).

    Attributes:
        features: their names.
        weights: of each, in the same order.
        draws: the same, fitted on other draws of the tasks (bootstrap); how much they differ is how little is known.
    """

    features: tuple[str, ...]
    weights: tuple[float, ...]
    draws: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        size = len(self.features)
        if not size or any(len(one) != size for one in (self.weights, *self.draws)):
            raise ValueError("a fit needs a weight for each of its features, in each of its draws")
        unknown = set(self.features) - {*EXECUTED, *LIKELIHOOD, *QUESTIONS}
        if unknown:
            raise ValueError(f"this version of snipmill knows no evidence called {sorted(unknown)[0]!r}")
        if not all(math.isfinite(weight) for one in (self.weights, *self.draws) for weight in one):
            raise ValueError("a weight is not finite")


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fits, and where they come from.

    Attributes:
        format: of the file.
        model: whose samples were judged.
        prompting: `completion` or `chat`.
        reviewer: the model that reviewed; None without a review.
        review: the kind of evidence that it was asked for.
        samples: how many were drawn for a task, at most.
        tasks, judged, right: how many tasks and samples there were, and how many of these were right.
        snipmill, made: the version and the day.
        fits: those with more evidence first.
        report: what was measured with it (`engine/calibration_report.py`).
    """

    format: int = FORMAT
    model: str
    prompting: str = ""
    reviewer: str | None = None
    review: str = "off"
    samples: int = 0
    tasks: int = 0
    judged: int = 0
    right: int = 0
    snipmill: str = ""
    made: str = ""
    fits: tuple[Fit, ...]
    report: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"its format is {self.format}, and this version of snipmill reads {FORMAT}")
        if not any(set(fit.features) <= set(EXECUTED) for fit in self.fits):
            raise ValueError("it has no fit for samples without a review")

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with snipmill, so that it was fitted on a stranger's samples."""
        return self.model == SHIPPED

    def fit_for(self, evidence: Collection[str]) -> Fit:
        """The first fit, which uses the most, of those that need nothing that is not known of a sample."""
        return next(fit for fit in self.fits if all(name in evidence for name in fit.features))

    def misfits(self, model: str, prompting: str, reviewer: str | None) -> list[str]:
        """What is different here from where it was fitted; a sentence for each.

        Args:
            model: that wrote the samples.
            prompting: how it was asked.
            reviewer: the model that reviewed them, if one did.
        """
        if self.is_shipped:
            return []
        found = []
        if model != self.model:
            found.append(f"it was fitted on samples of {self.model}, and these are of {model}")
        if prompting != self.prompting:
            found.append(f"{self.model} was asked by {self.prompting} there, and by {prompting} here")
        if reviewer is not None and reviewer != self.reviewer:
            found.append(f"its reviewer was {self.reviewer or 'nobody'}, and here it is {reviewer}")
        return found

    def summary(self) -> dict[str, Any]:
        """What a manifest says of it."""
        names = ("model", "prompting", "reviewer", "review", "samples", "tasks", "judged", "right", "made")
        digest = hashlib.sha256(encode_calibration(self)).hexdigest()
        return {**{name: getattr(self, name) for name in names}, "sha256": digest}

    def sources(self) -> str:
        """Where it comes from, in a clause."""
        if self.is_shipped:
            return "weights fitted on two small models, not on this one"
        return f"weights fitted on {self.judged:,} samples of {self.model} for {self.tasks:,} tasks with known answers"


def encode_calibration(calibration: Calibration) -> bytes:
    """The text of its file."""
    return msgspec.json.encode(calibration) + b"\n"


def decode_calibration(text: bytes) -> Calibration:
    """A calibration out of its file's text.

    Raises:
        ValueError: it is none; the message says why.
    """
    return msgspec.json.decode(text, type=Calibration)
