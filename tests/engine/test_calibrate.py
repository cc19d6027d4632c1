"""Calibration on tasks with hidden tests: the truth, the report, going on where it was stopped, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snipmill.engine.calibration_report import Answered, Sampled, make_report, remarks
from snipmill.engine.calibration_tasks import ORIGINAL, REWRITTEN, own_tasks, shipped_tasks
from snipmill.engine.hidden_tests import entry_of, passes
from snipmill.errors import UsageError
from snipmill.records import Verification
from snipmill.sandbox.driver import Sandbox
from snipmill.stages.calibration_file import load_calibration
from snipmill.text.sections import Sections
from snipmill.verification.calibration import EXECUTED
from snipmill.verification.fitting import Judged
from tests.conftest import Snipmill, read_lines, write_lines
from tests.standin import StandIn


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as standin:
        standin.dress_base = wrong_and_sure
        yield standin


def wrong_and_sure(answer: str) -> str:
    """Some answers subtract the other way round, with tests that agree with that."""
    draw = int(hashlib.sha256(answer.encode()).hexdigest(), 16) % 3
    if draw or "return x + " not in answer:
        return answer
    head, _, number = answer.partition("return x + ")
    n = number.split("\n")[0]
    changed = f"{head}return {n} - x{number[len(n) :]}"
    return changed.replace(f"== {int(n) + 1}", f"== {int(n) - 1}")


def configure(folder: Path, url: str, count: int = 24, more: str = "") -> None:
    rows = [
        {
            "id": f"own-{n}",
            "instruction": f"Write a function that adds the number {n} to its argument.",
            "entry_point": "add",
            "tests": [f"assert add(5) == {n + 5}", f"assert add(-1) == {n - 1}"],
        }
        for n in range(count)
    ]
    write_lines(folder / "tasks.jsonl", *rows)
    (folder / "c.toml").write_text(
        f'[model]\nbase_url = "{url}"\n[generate]\nsamples = 4\nwave = 4\naccept = 0\n[verify]\nrerun = false\n'
        f'[review]\nevidence = "both"\n{more}'
    )


def calibrate(snipmill: Snipmill, *more: object) -> Any:
    return snipmill("calibrate", "c.toml", "--source", "tasks.jsonl", "--out", "cal.json", *more)


def test_a_calibration_is_made_shown_continued_and_used(snipmill: Snipmill, server: StandIn, tmp_path: Path) -> None:
    configure(tmp_path, server.url)
    done = calibrate(snipmill)
    assert done.returncode == 0, done.stderr
    assert "Area under the ROC curve" in done.stderr and 'calibration = "cal.json"' in done.stderr
    made = load_calibration(str(tmp_path / "cal.json"))
    report = made.report
    assert (made.model, made.reviewer, made.review, made.tasks) == ("stand-in", "stand-in", "both", 24)
    assert 0 < made.right < made.judged and len(made.fits) == 4 and len(made.fits[0].draws) == 200
    assert report["rows_at_bar"][0]["rows"] == report["rows_at_bar"][0]["right"] + report["rows_at_bar"][0]["wrong"]
    assert report["own_tests"]["rows"] <= 24 and report["tasks_to_halve_interval"] == 72
    assert report["cost"]["completion_tokens"] > 0
    # The truth is what the hidden tests say: answers that add, whatever they are called.
    responses = read_lines(tmp_path / "cal.json.answers" / "journal" / "responses.jsonl")
    right = sum(
        "return x + " in (entry["completion"]["text"] or "") for entry in responses if entry["outcome"] == "kept"
    )
    assert report["right_samples"] == right

    asked = len(server.requests)
    again = calibrate(snipmill)
    assert again.returncode == 0 and len(server.requests) == asked, "everything was in the journals"
    first, second = made, load_calibration(str(tmp_path / "cal.json"))
    assert first.fits == second.fits and first.report.keys() == second.report.keys()

    used = snipmill(
        "run",
        "c.toml",
        "--set",
        "verify.calibration=cal.json",
        "--set",
        "seeds.sources=stdlib:bisect,heapq",
        "--limit",
        4,
    )
    assert used.returncode == 0, used.stderr
    assert "samples of stand-in" in used.stderr
    manifest = json.loads((tmp_path / "snipmill-run" / "manifest.json").read_text())
    assert manifest["calibration"]["tasks"] == 24 and not manifest["left_out"]
    (tmp_path / "cal.json").unlink()  # the run has a copy
    assert "samples of stand-in" in snipmill("status", "snipmill-run").stderr


def test_another_model_than_the_calibrated_one_is_told(snipmill: Snipmill, server: StandIn, tmp_path: Path) -> None:
    configure(tmp_path, server.url)
    assert calibrate(snipmill).returncode == 0
    with StandIn(model="another") as other:
        done = snipmill(
            "run", "c.toml", "--base-url", other.url, "--set", "verify.calibration=cal.json",
            "--set", "seeds.sources=stdlib:bisect", "--limit", 1,
        )  # fmt: skip
    assert done.returncode == 0
    assert "it was fitted on samples of stand-in, and these are of another" in done.stderr


def test_the_budget_ends_a_calibration_and_the_same_command_goes_on(
    snipmill: Snipmill, server: StandIn, tmp_path: Path
) -> None:
    configure(tmp_path, server.url)
    stopped = calibrate(snipmill, "--set", "run.max_tokens_total=3000")
    assert stopped.returncode == 6 and "run the same command again" in stopped.stderr
    assert not (tmp_path / "cal.json").exists()
    before = len(server.requests)
    assert calibrate(snipmill).returncode == 0
    with StandIn() as fresh:
        fresh.dress_base = wrong_and_sure
        other = tmp_path / "other"
        other.mkdir()
        configure(other, fresh.url)
        assert snipmill(
            "calibrate", other / "c.toml", "--source", other / "tasks.jsonl", "--out", other / "cal.json"
        ).returncode == 0  # fmt: skip
        assert len(server.requests) == len(fresh.requests) and before < len(fresh.requests)
    one, two = (load_calibration(str(folder / "cal.json")) for folder in (tmp_path, other))
    assert one.fits == two.fits


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['{"instruction": "x", "entry_point": "f", "tests": "assert f"}', "nonsense"], "nonsense"),
        (["[]", "3", '{"instruction": 3}', '{"instruction": "x", "entry_point": "a b", "tests": []}'], "no tasks"),
        (['{"instruction": "x", "entry_point": "f"}'], "`tests`"),
        (['{"instruction": "", "entry_point": "f", "tests": ["a"]}'], "`instruction`"),
        (['{"instruction": "\\ud800", "entry_point": "f", "tests": ["a"]}'], "surrogate"),
        (['{"instruction": "x", "entry_point": "class", "tests": ["a"]}'], "`entry_point`"),
    ],
)
def test_rows_that_are_no_tasks_are_named(tmp_path: Path, lines: list[str], told: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(lines) + "\n")
    if told == "nonsense":
        tasks, faults = own_tasks(str(path), 10, 0)
        assert len(tasks) == 1 and len(faults) == 1 and f"{path}:2" in faults[0]
        return
    with pytest.raises(UsageError, match=told):
        own_tasks(str(path), 10, 0)


def test_answers_that_are_all_right_teach_nothing(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    configure(tmp_path, standin.url, 6)
    done = calibrate(snipmill)
    assert done.returncode == 2 and "Nothing can be learned" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--source", "none.jsonl"), "none.jsonl"),
        (("--out", "."), "folder"),
        (("--out", "there/"), "folder"),
        (("--out", "c.toml"), "no calibration"),
        (("--tasks", "0"), "10"),
        (("--forms", "odd"), "odd"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    configure(tmp_path, standin.url)
    done = snipmill("calibrate", "c.toml", *arguments)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_shipped_tasks_are_drawn_alike_and_come_in_both_forms() -> None:
    tasks = shipped_tasks(40, (ORIGINAL, REWRITTEN), 1)
    assert tasks == shipped_tasks(40, (ORIGINAL, REWRITTEN), 1) != shipped_tasks(40, (ORIGINAL, REWRITTEN), 2)
    assert len(tasks) == 80 and len({task.task for task in tasks}) == 40
    assert [task.form for task in tasks] == [ORIGINAL, REWRITTEN] * 40
    assert len({task.record.id for task in tasks}) == 80
    assert {task.source for task in shipped_tasks(10_000, (ORIGINAL,), 1)} == {"HumanEval", "MBPP"}
    for task in tasks:
        assert len(task.tests) >= 3 or task.form == ORIGINAL
        for test in task.tests:
            compile(test, task.task, "exec")


def sections(code: str, tests: str) -> Sections:
    return Sections("", f"```python\n{code}\n```", "", f"```python\n{tests}\n```", tests, "Python")


@pytest.mark.parametrize(
    ("code", "own", "truth"),
    [
        ("def add(x): return x + 1", "", True),
        ("def plus(x): return x + 1", "assert plus(1) == 2", True),
        ("def helper(x): return x\ndef plus(x): return helper(x) + 1", "assert plus(1) == 2", True),
        ("def plus(x): return helper(x) + 1\ndef helper(x): return x", "assert plus(1) == 2", True),
        ("def plus(x): return x - 1", "assert plus(1) == 0", False),
        ("add = None\ndef plus(x): return x + 1", "", True),
        ("def plus(x): return x + 1\ndef main(): print(plus(1))\nmain()", "", True),
        ("class add:\n    def __eq__(self, other): return True", "", False),
        ("x = 1", "", False),
        ("def add(x):\n    while True: pass", "", False),
        ("import os\ndef add(x): os._exit(0)", "", False),
        ("class Any:\n    def __eq__(self, other): return True\ndef add(x): return Any()", "", False),
    ],
)
def test_hidden_tests_tell_right_from_wrong(code: str, own: str, truth: bool) -> None:
    async def go() -> bool | None:
        async with Sandbox() as sandbox:
            return await passes(sections(code, own), "add", ["assert add(1) == 2", "assert add(4) == 5"], sandbox)

    assert asyncio.run(go()) is truth


def test_the_entry_is_what_has_the_name_or_what_the_tests_use_or_the_last() -> None:
    two = "def a(x): return x\ndef b(x): return x"
    assert entry_of(sections(two, "assert a(1)"), "a") == "a"
    assert entry_of(sections(two, "assert a(1)"), "z") == "a"
    assert entry_of(sections(two, "assert a(b(1))\nassert a(2)"), "z") == "a"
    assert entry_of(sections(two, ""), "z") == "b"
    assert entry_of(sections(f"{two}\ndef main(): pass", "assert x"), "z") == "b"
    assert entry_of(sections("add = 5\ndef plus(x): return x", ""), "add") == "plus"
    assert entry_of(sections("", ""), "z") is None


def answered(task: str, form: str, *samples: tuple[bool, bool, float]) -> Answered:
    made = tuple(
        Sampled(passed, right, Verification(samples=4, passed=2, alike=share, likeness=share, values=3))
        for passed, right, share in samples
    )
    return Answered(task, "MBPP", form, len(samples), made)


def test_the_report_counts_right_and_wrong_and_compares_the_forms() -> None:
    tasks = []
    for number in range(30):
        tasks.append(answered(f"t{number}", ORIGINAL, (True, True, 0.9), (True, number % 3 == 0, 0.2)))
        tasks.append(answered(f"t{number}", REWRITTEN, (True, number % 2 == 0, 0.5), (False, False, 0.1)))
    judged = [
        Judged(one.task, sample.found, sample.is_right) for one in tasks for sample in one.samples if sample.found
    ]
    report = make_report(tasks, judged, [EXECUTED], {}, 0)
    assert (report["tasks"], report["instructions"], report["samples"]) == (30, 60, 120)
    assert report["right_samples"] == 30 + 10 + 15
    whole = report["rows_at_bar"][0]
    assert (whole["rows"], whole["right"] + whole["wrong"]) == (60, 60)
    # Of each task as it is, a right row and one that is right in a third; of each rewritten one, half.
    assert report["own_tests"]["right"] == pytest.approx(30 * (1 + 1 / 3) / 2 + 15, abs=0.1)
    assert report["forms"]["original"]["right_share"] == pytest.approx(40 / 60, abs=1e-3)
    assert report["forms"]["rewritten"]["right_share"] == 0.25
    low, high = report["forms"]["difference"]["interval"]
    assert 0.2 < low < 40 / 60 - 0.25 < high
    assert any("has seen the tasks" in sentence for sentence in remarks(report))
    assert report["roc_curve"][0] == [0.0, 0.0] and report["roc_curve"][-1] == [1.0, 1.0]
    shares = [row["rows"] for row in report["rows_at_bar"]]
    assert shares == sorted(shares, reverse=True)
