"""Preferences: a verified answer over one whose code is wrong, made of samples that ran and failed.

A sample whose own program failed may still have right code under a wrong test. It is used only if its code also fails a check of
the verified answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from snipmill.publish.formats.item import Format, GradedTask, Message, Options, Traced, answered, asked, traced
from snipmill.publish.sampled import FailedSample
from snipmill.records import Response, Row, Verdict
from snipmill.selection.render import render_row
from snipmill.text.sections import Malformed, parse_sections

Fault = Literal["code", "tests", "unknown"]


class _Pair(Traced, frozen=True, kw_only=True):
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    rejected_for: str
    rejected_id: str


class _Labelled(Traced, frozen=True, kw_only=True):
    prompt: list[Message]
    completion: list[Message]
    label: bool
    why: str | None = None


def fault_of(graded: GradedTask, sample: FailedSample) -> Fault:
    """What was wrong with a sample that failed.

    It is the code where a check of the row's fails for it, the tests where all hold that could be asked.
    """
    fails = graded.matrix.fails(sample.response.id)
    return "unknown" if fails is None else "code" if fails else "tests"


def why_it_failed(verdict: Verdict | None, detail: str) -> str:
    """The failing check with its values, or what else the sandbox said."""
    return (verdict.failed_check if verdict is not None else None) or detail


def rendered_like_rows(response: Response, row: Row, options: Options) -> str | None:
    """A sample in the look of the data set's rows, with the draws of the row that it stands beside; None if it has no sections."""
    sections = parse_sections(response.response, response.language)
    if isinstance(sections, Malformed):
        return None
    return render_row(row.id, row.instruction, sections, options.look, options.seed)[1]


def _wrong(graded: GradedTask, options: Options) -> Iterator[tuple[FailedSample, str]]:
    for sample in graded.task.failed:
        if fault_of(graded, sample) == "code":
            text = rendered_like_rows(sample.response, graded.task.row, options)
            if text is not None:
                yield sample, text


def _pairs(graded: GradedTask, options: Options) -> Iterator[_Pair]:
    row = graded.task.row
    for sample, text in _wrong(graded, options):
        yield _Pair(
            prompt=[asked(row.instruction)],
            chosen=[answered(row.response, row.thinking, options)],
            rejected=[answered(text, sample.response.thinking, options)],
            rejected_for=why_it_failed(sample.reject.verdict, sample.reject.detail),
            rejected_id=sample.response.id,
            **traced(row),
        )


def _labelled(graded: GradedTask, options: Options) -> Iterator[_Labelled]:
    row = graded.task.row
    prompt = [asked(row.instruction)]
    yield _Labelled(
        prompt=prompt, completion=[answered(row.response, row.thinking, options)], label=True, **traced(row)
    )
    for sample, text in _wrong(graded, options):
        yield _Labelled(
            prompt=prompt,
            completion=[answered(text, sample.response.thinking, options)],
            label=False,
            why=why_it_failed(sample.reject.verdict, sample.reject.detail),
            **{**traced(row, sample.response.id), "confidence": None},
        )


FORMATS = (
    Format(
        "preference",
        "prompt, chosen, rejected, and why: TRL DPOTrainer and RewardTrainer, axolotl, LLaMA-Factory",
        _Pair,
        of_task=_pairs,
    ),
    Format("kto", "prompt, completion, label: TRL KTOTrainer, axolotl, LLaMA-Factory", _Labelled, of_task=_labelled),
)
