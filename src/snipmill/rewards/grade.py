"""Grades a completion by a task's tests: all of them first, as strictly as a row's, and then check by check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from snipmill.errors import SandboxError
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Trial, Unit
from snipmill.sandbox.slot import SlotLost
from snipmill.verification.any_program import find_implementation, names_used
from snipmill.verification.foreign_tests import ForeignTests
from snipmill.verification.programs import join_program
from snipmill.verification.tampering import tampers

_CHECK_TIME = 1.0  # seconds for one check
_ENDED_ITSELF = ("failed", "timeout")  # verdicts under which single checks may still hold


@dataclass(frozen=True)
class Task:
    """A completion and what it is graded by.

    Attributes:
        completion: what the model wrote.
        tests: the code of all tests.
        checks: single checks, each as test code that stands alone.
        weights: what each is worth; equal shares where there are none.
    """

    completion: str
    tests: str
    checks: Sequence[str] = ()
    weights: Sequence[float] = ()


def completion_text(completion: str | Sequence[dict[str, Any]]) -> str:
    """The text of a completion that may be a conversation: that of the assistant's last turn."""
    if isinstance(completion, str):
        return completion
    said = [turn.get("content") for turn in completion if turn.get("role", "assistant") == "assistant"]
    last = said[-1] if said else None
    if isinstance(last, list):  # parts, as servers and multimodal data sets have them
        return "".join(str(part.get("text") or "") for part in last if isinstance(part, dict))
    return str(last or "")


@lru_cache(maxsize=4096)
def _names_in(tests: str) -> frozenset[str]:
    return names_used(ForeignTests(tests))


async def grade_one(task: Task, sandbox: Sandbox, by_share: bool) -> float:
    """The reward of a completion.

    All its tests must pass in a process of their own for a reward of 1. Where they do not, the checks that hold count, and together
    they are worth less than 1 even if all hold: then something is wrong that no single check shows.

    Args:
        task: the completion, and what it is graded by.
        sandbox: where it runs.
        by_share: whether single checks count.

    Raises:
        SandboxError: the sandbox failed, which says nothing about the code.
    """
    code = find_implementation(task.completion, _names_in(task.tests))
    if code is None or tampers(code, task.tests):
        return 0.0
    verdict = await sandbox.run_once(join_program(code, task.tests))
    if verdict.status == "passed":
        return 1.0
    if verdict.status == "sandbox-error":
        raise SandboxError(f"A completion could not be graded: {verdict.detail}")
    if not by_share or verdict.status not in _ENDED_ITSELF or not task.checks:
        return 0.0
    units = tuple(Unit(program=join_program(code, check)) for check in task.checks)
    trial = Trial(source="", units=units, unit_timeout=_CHECK_TIME, extra=len(units) - 1)
    try:
        outcomes = await sandbox.try_units(trial)
    except SlotLost as lost:
        raise SandboxError(f"A completion could not be graded: {lost}") from lost
    weights = task.weights or [1 / len(units)] * len(units)
    share = sum(weight for weight, outcome in zip(weights, outcomes, strict=True) if outcome.status == "passed")
    return float(min(share, len(units) / (len(units) + 1)))
