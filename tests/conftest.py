from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from snipmill.cli.app import app
from snipmill.cli.display import console
from tests.standin import StandIn

# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

Snipmill = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first, so that no worker waits for another at the end."""
    items.sort(key=lambda item: item.get_closest_marker("model") is None)


@pytest.fixture(autouse=True, scope="module")
def own_core(request: pytest.FixtureRequest, worker_id: str) -> Iterator[None]:
    """A core of its own for the engine of each worker: threads of two engines that share cores spin, and take many times as long."""
    pins = request.node.get_closest_marker("model") is not None and worker_id != "master"
    if not pins or not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[int(worker_id.removeprefix("gw")) % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture(scope="session")
def mined_stdlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seeds of the whole standard library as `snipmill seeds` writes them, with the rejects beside them."""
    out = tmp_path_factory.mktemp("stdlib") / "seeds.jsonl"
    subprocess.run(
        [sys.executable, "-m", "snipmill", "seeds", "stdlib", "-o", str(out)], check=True, capture_output=True
    )
    return out


@pytest.fixture
def snipmill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Snipmill:
    """The command, called in this process, in an empty folder, with a bare environment.

    A start of its own takes most of a second; `snipmill_process` is for what needs one.
    """
    monkeypatch.chdir(tmp_path)

    def call(*args: object, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with monkeypatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            for name in [name for name in os.environ if name.startswith("OPENAI_")]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            if stdin is not None:
                pipe = io.BufferedReader(io.BytesIO(stdin.encode()))
                patch.setattr(sys, "stdin", io.TextIOWrapper(pipe, encoding="utf-8"))
            patch.setattr(console, "width", 200)
            try:
                app(list(map(str, args)), prog_name="snipmill")
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        texts = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))
        return subprocess.CompletedProcess(list(map(str, args)), code, *texts)

    return call


@pytest.fixture
def snipmill_process(tmp_path: Path) -> Snipmill:
    """The command itself, in a process of its own, in an empty folder, with a bare environment."""

    def call(*args: object, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
        env.update({"COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}, **environment)
        done = subprocess.run(
            [sys.executable, "-m", "snipmill", *map(str, args)],
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=900,
            env=env,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


SEED = 'def double(x):\n    """Return twice x."""\n    return 2 * x\n'
RESPONSE = """[Reasoning]
Twice is a product.

[Implementation]
```python
def double(x):
    return 2 * x
```

[Explanation]
It multiplies.

[Tests]
```python
assert double(2) == 4
```"""
