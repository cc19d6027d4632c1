"""Completions of every kind, graded in the real sandbox by the functions that trainers call."""

from __future__ import annotations

import asyncio
import inspect
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from snipmill.rewards import areward, areward_all, compute_score, configure, reward, reward_all

TESTS = "assert add(1, 2) == 3\nassert add(2, 2) == 4\nassert add(0, 0) == 0"
CHECKS = TESTS.splitlines()
WEIGHTS = [0.5, 0.25, 0.25]


@pytest.fixture(autouse=True, scope="module")
def _soon_over() -> Iterator[None]:
    configure(workers=2, timeout=1.0)
    yield
    configure()


def fenced(code: str) -> str:
    return f"Sure.\n\n```python\n{code}\n```\nDone."


COMPLETIONS = {
    fenced("def add(a, b):\n    return a + b"): 1.0,
    "def add(a, b):\n    return a + b": 1.0,
    "<think>\n```python\ndef add(a, b): return 0\n```\n</think>\n" + fenced("def add(a, b):\n    return a + b"): 1.0,
    fenced("def add(a, b):\n    return a + b\n\nassert add(1, 1) == 3"): 0.0,  # code that refuses itself
    fenced("def add(a, b):\n    return a * b"): 0.5,
    fenced("def add(a, b):\n    return 3"): 0.5,
    fenced("def add(a, b):\n    return 0"): 0.25,
    fenced("def plus(a, b):\n    return a + b"): 0.0,
    fenced("def add(a, b):\n    return -1"): 0.0,
    fenced("def add(a, b:\n    return a + b"): 0.0,
    "I cannot do that.": 0.0,
    "": 0.0,
    fenced("def add(a, b):\n    while True: pass"): 0.0,
    fenced("def add(a, b):\n    while (a, b) == (0, 0): pass\n    return a + b"): 0.75,
    fenced("import sys\nsys.exit(0)"): 0.0,
    fenced("import os\nos._exit(0)"): 0.0,
    fenced("def add(a, b):\n    raise SystemExit(0)"): 0.0,
    fenced("class Yes:\n    def __eq__(self, other): return True\ndef add(a, b):\n    return Yes()"): 0.0,
    fenced("import nosuchmodule_x\ndef add(a, b):\n    return a + b"): 0.0,
    fenced("def add(a, b):\n    return -1\npytestmark = 0"): 0.0,
    fenced("import unittest\nunittest.TestCase.assertEqual = lambda *a: None\ndef add(a, b):\n    return -1"): 0.0,
    fenced("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\ndef add(a, b):\n    return -1"): 0.0,
    fenced("x = 'a' * (1 << 40)\ndef add(a, b):\n    return a + b"): 0.0,
    fenced("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)\ndef add(a, b):\n    return a + b"): 0.0,
}


def columns(count: int) -> dict[str, list[object]]:
    return {"tests": [TESTS] * count, "checks": [CHECKS] * count, "weights": [WEIGHTS] * count, "id": ["x"] * count}


@pytest.mark.parametrize("completion", COMPLETIONS)
def test_what_a_completion_is_worth(completion: str) -> None:
    assert reward([completion], **columns(1)) == [COMPLETIONS[completion]]
    assert reward_all([completion], **columns(1)) == [float(COMPLETIONS[completion] == 1.0)]
    truth = json.dumps({"tests": TESTS, "checks": CHECKS, "weights": WEIGHTS})
    assert compute_score("snipmill", completion, truth, {"index": 0}) == COMPLETIONS[completion]


def test_conversations_and_batches() -> None:
    texts = list(COMPLETIONS)[:8]
    turns = [[{"role": "assistant", "content": text}] for text in texts]
    expected = [COMPLETIONS[text] for text in texts]
    assert reward(turns, **columns(8)) == expected
    assert reward([], **columns(0)) == []
    assert reward(texts, tests=[TESTS] * 8, checks=[CHECKS] * 8) == pytest.approx(
        [1, 1, 1, 0, 2 / 3, 1 / 3, 1 / 3, 0], abs=1e-9
    )
    assert reward(texts, tests=[TESTS] * 8) == [1, 1, 1, 0, 0, 0, 0, 0]


def test_parts_of_content_and_rows_without_tests() -> None:
    right = fenced("def add(a, b):\n    return a + b")
    parts = [{"role": "assistant", "content": [{"type": "text", "text": right}]}]
    assert reward([parts, right], tests=[TESTS, None]) == [1.0, None]
    with pytest.raises(ValueError, match="'weights' has 1 values for 2"):
        reward([right, right], tests=[TESTS] * 2, weights=[WEIGHTS])


@pytest.mark.parametrize(
    ("tests", "code", "expected"),
    [
        ("assert all(even(n) for n in (2, 4))", "def all(x): return True\ndef even(n): return False", 0.0),
        ("assert sum([1, 2]) == 3", "def sum(values): return values[0] + values[1]", 1.0),
        (
            "import math\nassert math.isclose(half(1), 0.5)",
            "import math\nmath.isclose = lambda *a: True\ndef half(x): return 9",
            0.0,
        ),
        (
            "import pytest\ndef test_it():\n    assert one() == 1",
            "import pytest\npytestmark = pytest.mark.xfail\ndef one(): return 2",
            0.0,
        ),
        ("assert roots(4) == 2", "import decimal\ndecimal.getcontext().prec = 6\ndef roots(x): return 2", 1.0),
    ],
)
def test_code_that_games_its_tests(tests: str, code: str, expected: float) -> None:
    assert reward([fenced(code)], tests=[tests]) == [expected]


def test_all_checks_without_all_tests_are_less_than_everything() -> None:
    one = fenced("def one(): return 1")
    assert reward([one], tests=["assert one() == 1\nassert one() == 2"], checks=[["assert one() == 1"]]) == [0.5]


def test_a_fork_opens_a_sandbox_of_its_own() -> None:
    assert reward_all(list(COMPLETIONS)[:1], **columns(1)) == [1.0]
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        assert pool.apply(reward_all, (list(COMPLETIONS)[:1],), columns(1)) == [1.0]


def test_many_callers_share_one_sandbox() -> None:
    texts = list(COMPLETIONS)[:8]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: reward(texts, **columns(8)), range(16)))
    assert found == [[COMPLETIONS[text] for text in texts]] * 16


def test_on_an_event_loop() -> None:
    assert inspect.iscoroutinefunction(areward) and inspect.iscoroutinefunction(areward_all)
    texts = list(COMPLETIONS)[:8]

    async def several() -> list[list[float | None]]:
        return await asyncio.gather(*(areward(texts, **columns(8)) for _ in range(4)), areward_all(texts, **columns(8)))

    *shares, alls = asyncio.run(several())
    assert shares == [[COMPLETIONS[text] for text in texts]] * 4 and alls == [1, 1, 1, 0, 0, 0, 0, 0]


def test_a_missing_column_is_told() -> None:
    with pytest.raises(TypeError, match="`tests` is missing"):
        reward(["x"], prompt=["y"])
