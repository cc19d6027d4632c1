"""The taskset in verifiers' own loader and scoring. Needs `verifiers`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

vf = pytest.importorskip("verifiers.v1")

from snipmill.cli.app import app  # noqa: E402
from snipmill.rewards import configure  # noqa: E402
from snipmill.store.run_directory import RunDirectory  # noqa: E402
from tests.publish.conftest import finished  # noqa: E402, F401


def answered(task: Any, completion: str) -> Any:
    return vf.Trace(
        task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
        agent=vf.AgentInfo(config=vf.AgentConfig(runtime=vf.SubprocessConfig())),
        nodes=[
            vf.MessageNode(message=vf.UserMessage(content=task.data.prompt_text)),
            vf.MessageNode(parent=0, sampled=True, message=vf.AssistantMessage(content=completion)),
        ],
    )


def test_the_taskset_scores_in_our_sandbox(tmp_path: Path, finished: RunDirectory) -> None:  # noqa: F811
    with pytest.raises(SystemExit):
        app(["export", str(finished.path), "-f", "tasks", "-o", str(tmp_path / "tasks")])
    configure(workers=2, timeout=1.0)
    kind = vf.taskset_config_type("snipmill-taskset")
    tasks = list(vf.load_taskset(kind(id="snipmill-taskset", data=str(tmp_path / "tasks"))))
    assert len(tasks) == len(finished.dataset.read_text().splitlines())
    task = tasks[0]
    name = task.data.checks[0].removeprefix("assert ").partition("(")[0]
    number = int(name.rpartition("_")[2])
    hostile = "import os\nos._exit(0)"
    expected = {
        f"def {name}(x):\n    return x + {number}": (1.0, 1.0),
        f"def {name}(x):\n    return {number}": (0.5, 0.0),
        f"def {name}(x):\n    return None": (0.0, 0.0),
        f"def {name}(x):\n    while True: pass": (0.0, 0.0),
        hostile: (0.0, 0.0),
    }

    async def scored() -> list[tuple[float, float]]:
        found = []
        for code in expected:
            trace = answered(task, f"```python\n{code}\n```")
            await task.score(trace)
            found.append((trace.reward, trace.metrics["all_pass"]))
        return found

    assert asyncio.run(scored()) == list(expected.values())
