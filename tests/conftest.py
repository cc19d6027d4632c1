from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.standin import StandIn

Snipmill = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def snipmill(tmp_path: Path) -> Snipmill:
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
