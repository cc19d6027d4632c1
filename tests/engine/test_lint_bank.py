"""The linter of few-shot banks: ours has no fault, and each kind of fault is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Snipmill

ROOT = Path(__file__).parents[2]
OURS = ROOT / "src" / "snipmill" / "prompts" / "bank"


def test_the_built_in_examples_have_no_fault(snipmill: Snipmill) -> None:
    done = snipmill("prompts", "lint")
    assert done.returncode == 0, done.stderr
    assert "\n0 faults" in done.stderr


def test_the_bank_before_had_many(snipmill: Snipmill) -> None:
    done = snipmill("prompts", "lint", str(ROOT / "benchmarks" / "fewshot_banks" / "before"))
    assert done.returncode == 1
    for line in (
        "04-chunks: The snippet has no 'input validation'",
        "14-matrix: The snippet has no 'transposition'",
        "16-binary-search: The snippet has no 'binary search'",
        "20-event-bus: The snippet has no 'unsubscription'",
        "21-roman: The tests are weak",
        "not balanced by category",
    ):
        assert line in done.stderr


CHANGES = {
    "a response that fails": ("== [1]\n", "== [2]\n", "does not hold (failed)"),
    "tests that notice little": ("assert opening_days", "opening_days", "The tests are weak: they notice 11 of 22"),
    "a response without tests": ("[Tests]", "And then", "not well-formed"),
    "a concept that is not there": ("concepts: string parsing", "concepts: recursion", "has no 'recursion'"),
    "a single concept": ("concepts: string parsing, error messages, sorting, sets, ranges with inclusive ends", "concepts: sets", "1 concepts"),
    "a snippet that is no Python": ("def parse_numbers(text):", "def parse_numbers(text:", "no Python"),
    "a name that nobody was told": ("`opening_days(text)`", "a function", "does not name"),
    "an instruction of a benchmark": (
        "Write a Python function `opening_days(text)` that",
        "Write `opening_days(text)`. Check if in given list of numbers, are any two numbers closer to each other than given threshold. It",
        "HumanEval",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_fault_is_told(name: str, tmp_path: Path, snipmill: Snipmill) -> None:
    before, after, said = CHANGES[name]
    (tmp_path / "system.md").write_text((OURS / "system.md").read_text())
    text = (OURS / "06-range-list.md").read_text()
    assert before in text
    (tmp_path / "06-range-list.md").write_text(text.replace(before, after))
    done = snipmill("prompts", "lint", str(tmp_path))
    assert done.returncode == 1
    assert said in done.stderr


def test_a_copy_of_an_example_is_told(tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "system.md").write_text((OURS / "system.md").read_text())
    for name in ("one", "two"):
        (tmp_path / f"{name}.md").write_text((OURS / "06-range-list.md").read_text())
    done = snipmill("prompts", "lint", str(tmp_path))
    assert done.returncode == 1 and "nearly that of two" in done.stderr


def test_what_is_no_bank_is_one_sentence(tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "half.txt").write_text("### System: I->R\nSolve.\n")
    for place in ("nowhere", "empty", "half.txt"):
        done = snipmill("prompts", "lint", place)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) <= 2, done.stderr
