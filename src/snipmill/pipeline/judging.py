"""From a judge's probability to a decision: kept apart from the asking, so that the bar can move without a model."""

from __future__ import annotations

from snipmill.prompts.judge import STAGE
from snipmill.records import Reject, Seed


def weigh(judged: Seed | Reject, threshold: float) -> Seed | Reject:
    """The seed where the judge's probability reaches the threshold, else a reject that tells it."""
    if isinstance(judged, Reject) or judged.judge is None or judged.judge >= threshold:
        return judged
    detail = f"The judge gives it {judged.judge:.2f}, below {threshold}."
    return Reject(id=judged.id, stage=STAGE.name, reason="judged-unfit", detail=detail)
