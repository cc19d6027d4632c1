"""Harbor task folders: a task, its environment, a grader that needs nothing but Python, and the reference solution.

Harbor runs them in a container; so do TRL, NeMo Gym and verifiers. The container is the isolation there, not our sandbox.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from importlib.resources import files

from snipmill.publish.formats.item import GradedTask
from snipmill.publish.formats.reward_tasks import RewardTask, reward_task
from snipmill.verify.statements import parse

NAME = "harbor"
ABOUT = "task folders with a grader of their own: Harbor, TRL, NeMo Gym, verifiers HarborTaskset"
_TIMEOUT = 120.0  # seconds for all checks of one answer
# Names of packages, where they are not those of their modules.
_PACKAGES = {
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "PIL": "pillow",
    "dateutil": "python-dateutil",
    "bs4": "beautifulsoup4",
}

TaskFiles = dict[str, tuple[str, bool]]  # path -> text, and whether it can be executed


def harbor_files(graded: GradedTask) -> TaskFiles:
    """The files of a task's folder."""
    task = reward_task(graded)
    needed = _packages(task)
    image = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    grader = (files("snipmill.publish.formats") / "harbor_grader.py.txt").read_text(encoding="utf-8")
    checks = {"checks": task.checks, "weights": task.weights}
    return {
        "task.toml": (_settings(task, graded, image if not needed else None), False),
        "instruction.md": (
            f"{task.prompt[0].content}\n\nWrite your code to `solution.py` in the working directory.\n",
            False,
        ),
        "environment/Dockerfile": (_dockerfile(image, needed), False),
        "tests/test.sh": (_TEST, True),
        "tests/grader.py": (grader, False),
        "tests/tests.py": (f"{task.tests.rstrip()}\n", False),
        "tests/checks.json": (json.dumps(checks, indent=1, ensure_ascii=False) + "\n", False),
        "solution/solve.sh": (_solve(task.reference), True),
    }


def _settings(task: RewardTask, graded: GradedTask, image: str | None) -> str:
    row = graded.task.row
    lines = [
        'schema_version = "1.4"',
        "",
        "[task]",
        f"name = {_quoted(f'snipmill/{task.id}')}",
        "",
        "[metadata]",
        f"difficulty = {_quoted(row.difficulty)}",
        f"category = {_quoted(row.category)}",
        'tags = ["python", "function"]',
        *(
            f"{key} = {_quoted(value)}"
            for key in ("source", "path", "license")
            if (value := getattr(task, key)) is not None
        ),
        *([f"confidence = {task.confidence}"] if task.confidence is not None else []),
        "",
        "[verifier]",
        f"timeout_sec = {_TIMEOUT}",
        "",
        "[environment]",
        'workdir = "/app"',
        *([f"docker_image = {_quoted(image)}"] if image is not None else []),
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _dockerfile(image: str, needed: list[str]) -> str:
    install = f"RUN pip install --no-cache-dir {' '.join(needed)}\n" if needed else ""
    return f"FROM {image}\n{install}WORKDIR /app\n"


def _packages(task: RewardTask) -> list[str]:
    """The packages, beside the standard library, that the reference and its tests import."""
    found: set[str] = set()
    for source in (task.reference, task.tests):
        tree = parse(source)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    outside = found - sys.stdlib_module_names
    return sorted(_PACKAGES.get(name, name) for name in outside if re.fullmatch(r"\w+", name))


_TEST = """#!/bin/bash
# Grades solution.py in the working directory, and writes the reward where Harbor reads it.
set -u
here="$(cd "$(dirname "$0")" && pwd)"
logs="${LOGS_DIR:-/logs/verifier}"
mkdir -p "$logs"
python3 "$here/grader.py" "${APP_DIR:-$PWD}/solution.py" "$here" "$logs/reward.json"
"""


def _solve(reference: str) -> str:
    end = "END_OF_SOLUTION"
    while end in reference:
        end += "_"
    return f"#!/bin/bash\ncat > solution.py <<'{end}'\n{reference.rstrip()}\n{end}\n"


def all_files(tasks: Iterator[GradedTask]) -> Iterator[tuple[str, TaskFiles]]:
    """The folders of tasks, by name."""
    for graded in tasks:
        yield graded.task.row.id, harbor_files(graded)
