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


def reward(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float | None]:
    """The weighted share of each task's checks that hold for a completion, from 0 to 1; 1 only if all its tests pass.

    Args:
        completions: texts, or the turns of the assistant.
        columns: `tests`, and `checks` and `weights` where there are some; other columns are ignored. Where `tests` is None, as in
            a mixture of data sets, the reward is None.

    Raises:
        SandboxError: programs cannot be isolated here.
    """
    return grade(_tasks(completions, columns), by_share=True)


def reward_all(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float | None]:
    """1 where all tests pass, else 0. Arguments and errors are those of `reward`."""
    return grade(_tasks(completions, columns), by_share=False)


async def areward(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float | None]:
    """`reward`, without holding up the event loop."""
    return await grade_all(_tasks(completions, columns), by_share=True)


async def areward_all(completions: Sequence[Completion], **columns: Sequence[Any]) -> list[float | None]:
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
    return grade([Task(solution_str, **json.loads(ground_truth))], by_share=True)[0] or 0.0


def _tasks(completions: Sequence[Completion], columns: dict[str, Sequence[Any]]) -> list[Task | None]:
    count = len(completions)
    if columns.get("tests") is None:
        raise TypeError("The column `tests` is missing; use a data set of `snipmill export --format tasks`.")
    used = {name: columns.get(name) or [None] * count for name in ("tests", "checks", "weights")}
    for name, values in used.items():
        if len(values) != count:
            raise ValueError(f"The column {name!r} has {len(values)} values for {count} completions.")
    rows = zip(completions, *used.values(), strict=True)
    return [
        None if tests is None else Task(completion_text(completion), tests, checks or (), weights or ())
        for completion, tests, checks, weights in rows
    ]
