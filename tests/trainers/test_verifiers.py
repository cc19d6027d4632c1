"""The taskset in verifiers' own loader and scoring. Needs `verifiers`."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class Model(BaseHTTPRequestHandler):
    """Solves tasks whose number is even, and no others."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, number = re.findall(r"(\w+_(\d+))\(", body["messages"][-1]["content"])[0]
        code = f"def {name}(x):\n    return x + {number if int(number) % 2 == 0 else 1000}"
        message = {"role": "assistant", "content": f"```python\n{code}\n```"}
        answer = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }
        raw = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args: object) -> None:
        pass


def test_a_model_is_asked_and_scored_without_a_container(tmp_path: Path, finished: RunDirectory) -> None:  # noqa: F811
    with pytest.raises(SystemExit):
        app(["export", str(finished.path), "-f", "tasks", "-o", str(tmp_path / "tasks")])
    taskset = {"id": "snipmill-taskset", "data": str(tmp_path / "tasks")}
    environment = vf.load_environment(
        vf.resolve_env_config({"taskset": taskset, "agent": {"runtime": {"type": "subprocess"}}})
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = vf.EvalClientConfig(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key_var="NO_KEY")
    context = vf.ModelContext(model="fake", client=client, sampling=vf.SamplingConfig())

    async def episodes() -> dict[str, float]:
        found = {}
        async with environment.serving():
            for task in environment.taskset:
                episode = await environment.run_episode(task, context)
                assert episode.ok, episode.errors
                found[task.data.checks[0]] = episode.traces[0].reward
        return found

    rewards = asyncio.run(episodes())
    server.shutdown()
    solved = {check: float(int(re.findall(r"_(\d+)\(", check)[0]) % 2 == 0) for check in rewards}
    assert rewards == solved and set(rewards.values()) == {0.0, 1.0}


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
