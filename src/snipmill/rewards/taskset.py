"""A taskset of verifiers (v1) whose rewards run in snipmill's local sandbox: no account, no container, no root.

    vf-eval snipmill-taskset --env.taskset.data DIR --env.agent.runtime.type subprocess

A model is asked once for each task, in the process of verifiers itself. `data` is a folder that `snipmill export --format tasks`
wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import verifiers.v1 as vf
from openai import AsyncOpenAI

from snipmill.errors import UsageError
from snipmill.rewards import areward, areward_all
from snipmill.tables.table import Table
from snipmill.tables.values import BrokenOff, Unreadable, decode_row

__all__ = ["OneAnswer", "SnipmillTaskset"]


class CodeData(vf.TaskData):
    """A task with its tests. `checks` are single checks, and `weights` what they are worth."""

    tests: str
    checks: list[str] = []  # noqa: RUF012 (pydantic copies it)
    weights: list[float] = []  # noqa: RUF012


class CodeTask(vf.Task[CodeData]):
    """Rewards the weighted share of the checks that hold; whether all tests pass is a metric."""

    @vf.reward
    async def share(self, trace: vf.Trace) -> float:
        """From 0 to 1."""
        return (await areward([trace.last_reply], **self._columns()))[0] or 0.0

    @vf.metric
    async def all_pass(self, trace: vf.Trace) -> float:
        """1 or 0."""
        return (await areward_all([trace.last_reply], **self._columns()))[0] or 0.0

    def _columns(self) -> dict[str, Any]:
        return {"tests": [self.data.tests], "checks": [self.data.checks], "weights": [self.data.weights]}


class SnipmillConfig(vf.TasksetConfig):
    """Which tasks: a folder of an export, or any table with its columns, and the split."""

    data: str = ""
    split: Literal["train", "test"] = "train"


class SnipmillTaskset(vf.Taskset[CodeTask, SnipmillConfig]):
    """The tasks of an export."""

    def load(self) -> Iterator[CodeTask]:
        """One after the other, in their order."""
        for place, row in _rows(f"{self.config.data}/data/{self.config.split}-*"):
            yield CodeTask(
                CodeData(
                    id=row.get("id", str(place)),
                    prompt=row["prompt"][-1]["content"],
                    tests=row["tests"],
                    checks=row["checks"],
                    weights=row["weights"],
                ),
                self.config.task,
            )


class OneAnswer(vf.Harness[vf.HarnessConfig]):
    """Asks the model once, in this process: there is nothing to execute but the answer, which the reward does in our sandbox."""

    EXECUTES_CODE = False
    NEEDS_CONTAINER = False
    APPENDS_SYSTEM_PROMPT = True

    async def launch(
        self, ctx: Any, trace: Any, runtime: Any, endpoint: str, secret: str, mcp_urls: Any, data: Any, **more: Any
    ) -> Any:
        """Ask the server that verifiers puts between us and the model, which records the answer."""
        del trace, runtime, mcp_urls, more
        system, prompt = self.resolve_text_prompt(data)
        messages: Any = [{"role": "user", "content": prompt}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        async with AsyncOpenAI(base_url=endpoint, api_key=secret) as client:
            answer = await client.chat.completions.create(model=ctx.model, messages=messages)
        return vf.ProgramResult(exit_code=0, stdout=answer.choices[0].message.content or "", stderr="")


def _rows(pattern: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for place, value in Table(pattern).rows():
        row = decode_row(value)
        if isinstance(row, BrokenOff | Unreadable):
            raise UsageError(f"{pattern}, row {place}: {row.problem} Export the tasks again.")
        yield place, row
