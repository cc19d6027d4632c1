"""Tasks for reinforcement learning: a prompt, tests that a right answer passed, and what each of their checks is worth."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator

import msgspec

from snipmill.publish.formats.item import Format, GradedTask, Message, Options, Traced, asked, traced
from snipmill.text.fences import render_fence
from snipmill.verification.interface import interface
from snipmill.verification.statements import names_in, parse
from snipmill.verification.test_matrix import smallest_set, weigh

_DATA_SOURCE = "snipmill"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class RewardTask(Traced, frozen=True, kw_only=True):
    """A task with its grader's data.

    `checks` are the assertions of `tests`, each as test code that stands alone; `weights` are what they are worth and sum to 1,
    `smallest` are the numbers (from 0) of a smallest set of checks that notices every wrong program that all of them notice.
    `wrong_programs` names these: other samples by id, and mutants of the reference. `failed` holds the checks that each fails.
    """

    prompt: list[Message]
    tests: str
    reference: str
    checks: list[str]
    weights: list[float]
    smallest: list[int]
    wrong_programs: list[str]
    failed: list[list[int]]


class _RewardModel(msgspec.Struct, frozen=True, kw_only=True):
    style: str
    ground_truth: str


class _ExtraInfo(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    id: str
    reference: str
    confidence: float | None
    source: str | None
    path: str | None
    license: str | None


class _Verl(msgspec.Struct, frozen=True, kw_only=True):
    data_source: str
    prompt: list[Message]
    ability: str
    reward_model: _RewardModel
    extra_info: _ExtraInfo


def reward_task(graded: GradedTask) -> RewardTask:
    """The task with what its checks are worth."""
    matrix = graded.matrix
    wrong = [(name, failed) for name, failed in zip(matrix.programs, matrix.failed, strict=True) if failed]
    failures = [failed for _, failed in wrong]
    return RewardTask(
        prompt=[asked(prompt_text(graded))],
        tests=graded.tests,
        reference=graded.code,
        checks=matrix.checks,
        weights=weigh(failures, len(matrix.checks)) if matrix.checks else [],
        smallest=smallest_set(failures),
        wrong_programs=[name for name, _ in wrong],
        failed=failures,
        **traced(graded.task.row),
    )


def prompt_text(graded: GradedTask) -> str:
    """The instruction, with the signature of whatever the tests use and the instruction does not name as code."""
    instruction = graded.task.verified.instruction
    unnamed = [line for name, line in _offered(graded.code, graded.tests) if not _names(instruction, name)]
    if not unnamed:
        return instruction
    return f"{instruction}\n\nUse these names, since tests will use them:\n\n{render_fence(chr(10).join(unnamed))}"


def _names(instruction: str, name: str) -> bool:
    """Whether a text names something as code: in backticks, or as a call. A word of its prose may be meant otherwise."""
    escaped = re.escape(name)
    return re.search(rf"`[^`\n]*\b{escaped}\b[^`\n]*`|\b{escaped}\(", instruction) is not None


def _offered(code: str, tests: str) -> Iterator[tuple[str, str]]:
    """What the tests use of the code, each name with how it is declared."""
    tree, tested = parse(code), parse(tests)
    if tree is None or tested is None:
        return
    used = names_in(tested.body) & interface(code).keys()
    for one in tree.body:
        if isinstance(one, (*_FUNCTIONS, ast.ClassDef)) and one.name in used:
            yield one.name, ast.unparse(_declared(one))
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            for target in one.targets if isinstance(one, ast.Assign) else [one.target]:
                if isinstance(target, ast.Name) and target.id in used:
                    yield target.id, f"{target.id} = ..."


def _declared(one: ast.stmt) -> ast.stmt:
    """A function or class without its bodies; of a class, what can be used from outside."""
    changed = copy.deepcopy(one)
    if isinstance(changed, _FUNCTIONS):
        changed.body = [ast.Expr(ast.Constant(...))]
    elif isinstance(changed, ast.ClassDef):
        kept = [part for part in changed.body if isinstance(part, ast.AnnAssign)]
        methods = [part for part in changed.body if isinstance(part, _FUNCTIONS) and _is_offered(part.name)]
        changed.body = [*kept, *map(_declared, methods)] or [ast.Expr(ast.Constant(...))]
    return changed


def _is_offered(name: str) -> bool:
    return name == "__init__" or not name.startswith("_")


def _tasks(graded: GradedTask, _options: Options) -> Iterator[RewardTask]:
    yield reward_task(graded)


def _verl(graded: GradedTask, _options: Options) -> Iterator[_Verl]:
    task = reward_task(graded)
    truth = {"tests": task.tests, "checks": task.checks, "weights": task.weights}
    yield _Verl(
        data_source=_DATA_SOURCE,
        prompt=task.prompt,
        ability="code",
        reward_model=_RewardModel(style="rule", ground_truth=json.dumps(truth, ensure_ascii=False)),
        extra_info=_ExtraInfo(
            index=graded.number,
            id=task.id,
            reference=task.reference,
            confidence=task.confidence,
            source=task.source,
            path=task.path,
            license=task.license,
        ),
    )


FORMATS = (
    Format(
        "tasks",
        "prompt, tests and weighted checks: TRL GRPOTrainer with snipmill.rewards, verifiers with snipmill's taskset",
        RewardTask,
        of_task=_tasks,
    ),
    Format("verl", "the columns of verl, with snipmill.rewards.compute_score as its reward", _Verl, of_task=_verl),
)
