"""Repair turns: a task, a sample that failed, what the sandbox said, and a sample that passes. They cost no token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from snipmill.publish.formats.item import Format, GradedTask, Message, Options, Traced, answered, asked, traced
from snipmill.publish.formats.preferences import fault_of, rendered_like_rows, why_it_failed
from snipmill.records import Reject, Row
from snipmill.selection.styles import resolve_look
from snipmill.text.fences import render_fence

_MOST_OUTPUT = 600  # characters of what the program wrote


class _Repair(Traced, frozen=True, kw_only=True):
    messages: list[Message]
    fault: str
    failed_id: str


def _repairs(graded: GradedTask, options: Options) -> Iterator[_Repair]:
    row = graded.task.row
    with_tests = replace(options, look=resolve_look("plain"))  # what failed must be there to be read
    fixed = rendered_like_rows(graded.task.verified, row, with_tests)
    for sample in graded.task.failed if fixed is not None else ():
        broken = rendered_like_rows(sample.response, row, with_tests)
        if broken is None or fixed is None:
            continue
        yield _Repair(
            messages=[
                asked(_task_of(row, graded)),
                answered(broken, sample.response.thinking, options),
                asked(sandbox_message(sample.reject)),
                answered(fixed, graded.task.verified.thinking, options),
            ],
            fault=fault_of(graded, sample),
            failed_id=sample.response.id,
            **traced(row),
        )


def _task_of(row: Row, graded: GradedTask) -> str:
    """The instruction as the model was given it, without assertions that the style may have added for the row's own code."""
    verified = graded.task.verified
    return f"{(verified if verified is not row else row).instruction}\n\nTest your code."


def sandbox_message(reject: Reject) -> str:
    """What a user says who ran the code."""
    verdict = reject.verdict
    said = why_it_failed(verdict, reject.detail)
    raised = verdict.exception if verdict is not None else None
    how = (
        f"It raised {raised}:" if raised and raised != "AssertionError" else _HOW.get(reject.reason, "It did not pass:")
    )
    parts = [f"I ran your code with your tests. {how}", render_fence(said, "")]
    if verdict is not None and verdict.output_tail.strip():
        parts += ["It printed:", render_fence(verdict.output_tail.strip()[-_MOST_OUTPUT:], "")]
    parts.append("Find what is wrong, and give the whole answer again.")
    return "\n\n".join(parts)


_HOW = {
    "failed": "A check failed:",
    "timeout": "It did not end in time:",
    "memory": "It needed too much memory:",
    "output-limit": "It wrote too much:",
    "vacuous": "The tests did not check anything:",
    "syntax-error": "It is not valid Python:",
}

FORMATS = (
    Format(
        "repair",
        "conversations with a failed attempt, what the sandbox said, and the repair: as `messages`",
        _Repair,
        of_task=_repairs,
    ),
)
