"""Harbor task folders: a task, its environment, a grader that needs nothing but Python, and the reference solution.

Harbor runs them in a container; so do TRL, NeMo Gym and verifiers. The container is the isolation there, not our sandbox.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Collection
from importlib.metadata import packages_distributions
from importlib.resources import files

from snipmill.publish.formats.item import GradedTask
from snipmill.publish.formats.reward_tasks import RewardTask, reward_task
from snipmill.reasons import Reason
from snipmill.records import content_hash
from snipmill.text.sections import Malformed
from snipmill.verification.interface import interface
from snipmill.verification.statements import parse

NAME = "harbor"
ABOUT = "task folders with a grader of their own: Harbor, TRL, NeMo Gym, verifiers HarborTaskset"
_TIMEOUT = 120.0  # seconds for all checks of one answer

TaskFiles = dict[str, tuple[str, bool]]  # path -> text, and whether it can be executed
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def folder_name(record_id: str, taken: Collection[str]) -> str:
    """The name of a task's folder: its id where that can be one, and another one than those that are taken."""
    name = record_id if _PLAIN.fullmatch(record_id) else f"task-{content_hash(record_id)}"
    number = 1
    while (unique := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return unique


def harbor_files(graded: GradedTask, name: str, python: str) -> TaskFiles | Malformed:
    """The files of a task's folder, or why there can be none.

    Args:
        graded: the task.
        name: of its folder.
        python: the version under which it was verified.
    """
    task = reward_task(graded)
    if not task.checks:
        return Malformed(Reason.NO_TESTS, "None of its tests stands alone, so no grader without snipmill can run them.")
    needed = _packages(task)
    image = f"python:{'.'.join(python.split('.')[:2])}-slim"
    grader = (files("snipmill.publish.formats") / "harbor_grader.py.txt").read_text(encoding="utf-8")
    checks = {"checks": task.checks, "weights": task.weights, "names": sorted(interface(task.reference))}
    instruction = f"{task.prompt[0].content}\n\nWrite your code to `solution.py` in the working directory.\n"
    return {
        "task.toml": (_settings(task, graded, name, image if not needed else None), False),
        "instruction.md": (instruction, False),
        "environment/Dockerfile": (_dockerfile(image, needed), False),
        "tests/test.sh": (_TEST, True),
        "tests/grader.py": (grader, False),
        "tests/checks.json": (json.dumps(checks, indent=1, ensure_ascii=False) + "\n", False),
        "solution/solve.sh": (_solve(task.reference), True),
    }


def _settings(task: RewardTask, graded: GradedTask, name: str, image: str | None) -> str:
    row = graded.task.row
    lines = [
        'schema_version = "1.4"',
        "",
        "[task]",
        f"name = {_quoted(f'snipmill/{name}')}",
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
    """The packages that the reference and its checks import, under the names by which they are installed here.

    A module that no package here offers was not there when the program passed either, so that it is not needed.
    """
    found: set[str] = set()
    for source in (task.reference, *task.checks):
        tree = parse(source)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    offered = packages_distributions()
    return sorted({offered[name][0] for name in found - sys.stdlib_module_names if name in offered})


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
