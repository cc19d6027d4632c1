"""What of a run deserves a look, in words. Each rule states its bar; a run without problems has an empty list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from snipmill.reporting.distributions import Spread
from snipmill.reporting.drops import Step
from snipmill.reporting.shown_text import visible
from snipmill.reporting.summary import Run
from snipmill.stages.spec import GENERATING, JUDGE

_UNREADABLE = 0.2  # of the completions of a stage
_FEW_PASS = 0.25  # of the responses
_ONE_SOURCE = 0.5  # of the rows
_ONE_CONCEPT = 0.2
_LOW_CONFIDENCE = 0.6
_MANY_WRONG = 0.1
_WEAK_TESTS = 0.7
_DUPLICATES = 0.2
_ADDRESS = re.compile(r"https?://[^\s,]+")
_ENOUGH = 20  # records, below which a share says little


def find_problems(run: Run, steps: list[Step], spread: Spread) -> list[str]:
    """A sentence for each thing that deserves a look: what was seen, and what may be done.

    Args:
        run: what its directory records.
        steps: the funnel.
        spread: of the rows.
    """
    by_stage = {step.stage: step for step in steps}
    return [
        *_of_the_run(run),
        *_of_the_stages(by_stage),
        *_of_the_rows(run, spread),
    ]


def _of_the_run(run: Run) -> Iterator[str]:
    if not run.is_done:
        yield "The run is not finished: figures and rows are those that its journals give so far."
    if run.manifest.get("stopped"):
        yield f"The run stopped early: {visible(str(run.manifest['stopped']))}"
    if run.manifest.get("sandbox_tier") not in (None, "namespaces"):
        yield (
            f"Programs ran in the sandbox tier {visible(str(run.manifest['sandbox_tier']))}, which isolates less than "
            "`namespaces`. `snipmill doctor` says why."
        )
    requests, retries, empty = (run.spent(name) or 0 for name in ("requests", "retries", "empty_answers"))
    if retries > max(_ENOUGH, requests / 20):
        yield f"Servers failed: {retries:,.0f} of {requests:,.0f} requests were sent again in the last session."
    if empty:
        yield f"A server gave {empty:,.0f} empty answers in the last session."
    for note in _texts(run.manifest.get("left_out")):
        yield visible(_ADDRESS.sub("a server", note))  # addresses are private


def _texts(found: Any) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _of_the_stages(steps: dict[str, Step]) -> Iterator[str]:
    for stage in GENERATING:
        step = steps.get(stage) if stage != JUDGE else None  # a judge is there to refuse
        if step is not None and step.came_in >= _ENOUGH and 1 - step.kept_share > _UNREADABLE:
            yield (
                f"{stage} lost {1 - step.kept_share:.0%} of {step.came_in:,} completions, mostly as {_most(step)}. "
                "A stronger model, or few-shot examples nearer to the task, lose less."
            )
    execute = steps.get("execute")
    if execute is not None and execute.came_in >= _ENOUGH and execute.kept_share < _FEW_PASS:
        yield (
            f"Only {execute.kept_share:.0%} of {execute.came_in:,} responses passed their own tests; the others were mostly "
            f"{_most(execute)}. Their examples are in the funnel below."
        )
    for stage in ("execute", "verify"):
        drops = {drop.reason: drop.count for drop in steps[stage].drops} if stage in steps else {}
        if drops.get("sandbox-error"):
            yield f"The sandbox failed for {drops['sandbox-error']:,} programs in {stage}. The next run tries them again."
        if drops.get("unsupported"):
            yield (
                f"{drops['unsupported']:,} programs need what is not installed here, or what the tier does not have. "
                "`execute.interpreter` names a Python with more packages."
            )
    select = steps.get("select")
    if select is not None and select.came_in >= _ENOUGH:
        twins = sum(drop.count for drop in select.drops if "duplicate" in drop.reason)
        if twins / select.came_in > _DUPLICATES:
            yield (
                f"{twins / select.came_in:.0%} of the rows that came to selection repeat others. More seeds give more "
                "variety than more samples."
            )


def _of_the_rows(run: Run, spread: Spread) -> Iterator[str]:
    rows = spread.rows
    if run.is_done and not rows:
        yield "The data set has no rows. The funnel below says where they were lost."
    confidence, mutation = spread.median("confidence"), spread.mean("mutation")
    if confidence is not None and confidence < _LOW_CONFIDENCE:
        yield (
            f"The median confidence is {confidence:.2f}. `snipmill select --min-confidence` sets a bar, and more samples give "
            "more evidence."
        )
    if run.wrong is not None and run.wrong.rows and run.wrong.share > _MANY_WRONG:
        yield (
            f"{run.wrong.share:.0%} of the rows are expected to be wrong. `snipmill select --max-wrong 0.05` keeps those of "
            "which at most 5% are."
        )
    if run.calibration.get("shipped"):
        yield (
            "Confidences rest on the weights of two small models. `snipmill calibrate` measures what they are worth for "
            "your model."
        )
    for misfit in _texts(run.calibration.get("misfits")):
        yield f"The calibration may not fit: {visible(misfit)}."
    if mutation is not None and mutation < _WEAK_TESTS:
        yield f"Tests notice only {mutation:.0%} of small faults on average. `select.min_mutation` sets a bar."
    if rows < _ENOUGH:
        return
    yield from _concentrated(spread)


def _concentrated(spread: Spread) -> Iterator[str]:
    """One source, concept or unknown licence that many rows have."""
    for name, most, words in (("source", _ONE_SOURCE, "grew from"), ("concept", _ONE_CONCEPT, "have the concept")):
        counts = spread.labels[name]
        if len(counts) > 1:
            value, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
            if count / spread.rows > most:
                yield f"{count / spread.rows:.0%} of the rows {words} {visible(value, 80)}."
    unknown = spread.labels["license"].get("unknown", 0)
    if unknown:
        yield f"{unknown:,} rows grew from code whose licence is unknown."


def _most(step: Step) -> str:
    return ", ".join(f"{drop.reason} ({drop.count:,})" for drop in step.drops[:2])
