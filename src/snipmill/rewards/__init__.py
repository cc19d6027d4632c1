"""Rewards for reinforcement learning: completions are graded in snipmill's sandbox, rootless and without a container.

The functions take the columns that `snipmill export --format tasks` writes. All calls share one warm sandbox, which opens with the
first of them and closes with the process; `configure` says how, before that.

    from snipmill.rewards import reward  # TRL: GRPOTrainer(reward_funcs=reward, ...)

    reward(completions, tests=..., checks=..., weights=...)  # [1.0, 0.25, ...]

`reward` is the weighted share of the checks that hold, `reward_all` is 1 or 0. `areward` and `areward_all` are the same for an
event loop, and `compute_score` is what verl calls.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from snipmill.rewards.grade import Task, completion_text
from snipmill.rewards.shared_sandbox import configure, grade, grade_all

__all__ = ["areward", "areward_all", "compute_score", "configure", "reward", "reward_all"]

Completion = str | Sequence[dict[str, Any]]


def reward(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float]:
    """The weighted share of each task's checks that hold for a completion, from 0 to 1; 1 only if all its tests pass.

    Args:
        completions: texts, or the turns of the assistant.
        columns: `tests`, and `checks` and `weights` where there are some; other columns are ignored.

    Raises:
        SandboxError: programs cannot be isolated here.
    """
    return grade(_tasks(completions, columns), by_share=True)


def reward_all(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float]:
    """1 where all tests pass, else 0. Arguments and errors are those of `reward`."""
    return grade(_tasks(completions, columns), by_share=False)


async def areward(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float]:
    """`reward`, without holding up the event loop."""
    return await grade_all(_tasks(completions, columns), by_share=True)


async def areward_all(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float]:
    """`reward_all`, without holding up the event loop."""
    return await grade_all(_tasks(completions, columns), by_share=False)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **options: Any
) -> float:
    """`reward` in the form that verl calls, for rows of `snipmill export --format verl`.

    Args:
        data_source, extra_info, options: not used.
        solution_str: a completion.
        ground_truth: tests, checks and weights, as JSON.
    """
    del data_source, extra_info, options
    return grade([Task(solution_str, **json.loads(ground_truth))], by_share=True)[0]


def _tasks(completions: Sequence[Completion], columns: dict[str, Sequence[Any]]) -> list[Task]:
    count = len(completions)
    tests = columns.get("tests")
    if tests is None:
        raise TypeError("The column `tests` is missing; use a data set of `snipmill export --format tasks`.")
    checks, weights = columns.get("checks") or [()] * count, columns.get("weights") or [()] * count
    return [
        Task(completion_text(completion), *task)
        for completion, *task in zip(completions, tests, checks, weights, strict=True)
    ]
