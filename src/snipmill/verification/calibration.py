"""A calibration: what evidence is worth for one model, fitted on samples whose truth is known.

It is made by `snipmill calibrate` from the user's own model (`engine/calibrate.py`); the one that ships was fitted on two small
models by `benchmarks/false_passes/fit.py`. Pure: reading files is `stages/calibration_file.py`, fitting is `fitting`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
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
SHIPPED = "two small models"  # the name of the built-in calibration's model
FORMAT = 1
_MOST = 1e6  # of a weight, beyond which it is damage


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
        if len(set(self.features)) < size:
            raise ValueError("a fit has an evidence twice")
        unknown = set(self.features) - {*EXECUTED, *LIKELIHOOD, *QUESTIONS}
        if unknown:
            raise ValueError(f"this version of snipmill knows no evidence called {sorted(unknown)[0]!r}")
        if not all(abs(weight) <= _MOST for one in (self.weights, *self.draws) for weight in one):
            raise ValueError(f"a weight is beyond {_MOST:,.0f}")


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
        asked: what else decided about the samples: settings by name.
        shipped: whether it comes with snipmill, so that it was fitted on a stranger's samples.
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
    asked: dict[str, Any] = {}
    shipped: bool = False
    snipmill: str = ""
    made: str = ""
    fits: tuple[Fit, ...]
    report: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"its format is {self.format}, and this version of snipmill reads {FORMAT}")
        if not any(set(fit.features) <= set(EXECUTED) for fit in self.fits):
            raise ValueError("it has no fit for samples without a review")

    def fit_for(self, evidence: Collection[str]) -> Fit:
        """The first fit, which uses the most, of those that need nothing that is not known of a sample."""
        return next(fit for fit in self.fits if all(name in evidence for name in fit.features))

    def misfits(self, model: str, prompting: str, reviewer: str | None, asked: Mapping[str, Any]) -> list[str]:
        """What is different here from where it was fitted; a clause for each.

        Args:
            model: that wrote the samples.
            prompting: how it was asked.
            reviewer: the model that reviewed them, if one did.
            asked: what else decided about the samples.
        """
        if self.shipped:
            return []
        found = []
        if model != self.model:
            found.append(f"it was fitted on samples of {self.model}, and these are of {model}")
        if prompting != self.prompting:
            found.append(f"{self.model} was asked by {self.prompting} there, and by {prompting} here")
        if reviewer is not None and reviewer != self.reviewer:
            found.append(f"its reviewer was {self.reviewer or 'nobody'}, and here it is {reviewer}")
        for name, value in asked.items():
            if name in self.asked and self.asked[name] != value:
                found.append(f"{name} was {self.asked[name]} there, and is {value} here")
        return found

    def summary(self) -> dict[str, Any]:
        """What a manifest says of it."""
        names = ("model", "prompting", "reviewer", "review", "samples", "tasks", "judged", "right", "made", "shipped")
        digest = hashlib.sha256(encode_calibration(self.without_report())).hexdigest()
        return {**{name: getattr(self, name) for name in names}, "sha256": digest}

    def without_report(self) -> Calibration:
        """What a run needs of it. The report names tasks, which may be private."""
        return msgspec.structs.replace(self, report={})

    def sources(self) -> str:
        """Where it comes from, in a clause."""
        if self.shipped:
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
