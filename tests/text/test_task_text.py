"""A task is read out of what models say around it, and is otherwise left as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.text.remarks import is_thought
from snipmill.text.task_text import read_task

TASKS = (
    "Write a Python function `area(w, h)` that returns the area of a rectangle.",
    "Given a list of prices, return:\n\n- the sum\n- the largest one\n\nRaise `ValueError` for an empty list.",
    "Here is a list of numbers. Write a function `f(x)` that sorts it.",
    "Design a class `Queue`.\n\n## Methods\n\n```python\nqueue.put(1)\n```\n\nIt must be fast.",
    "Write `f(x)`.\n\n## Example\n>>> f(1)\n2\n\n## Constraints\nx is positive.",
    "Write `f(x)`.\n\n## Example Usage\nf(1)\n\n### Response Format\nA list.\n\n#### Concepts to use\nLoops.",
    "Given a list of records, write `rank(records)`. Here is how the tasks are sorted: by priority, then by name.",
    "From a log file, write `parse(path)` for each line. This is the format of a question: id, text, answer.",
    "Here is a task scheduler with these rules: one at a time.",
    "Write `f(x)`.\n\nIf you need helper functions, define them inside the class.",
    "Write `f(x)`.\n\nIf you have ties, return the name that comes first.",
    "Write `f(x)`.\n\nFeel free to use math, but not numpy. Raise ValueError for zero.",
    "Let's create a class `Queue` with two methods.",
    "Let us consider a graph of n nodes. Write `bfs(graph)`.",
    "I need to write a function that parses dates.",
    "We need to design a cache. Write a class `Cache`.",
    "Problem\n\nTwo trains meet. Write `when(a, b)`.",
    "Create a program.\n\n### Requirements\n1. It reads lines.\n2. It prints them.",
)
BEFORE = (
    "",
    "Sure! ",
    "Certainly! Here is a programming task:\n\n",
    "### Instruction\n",
    "**Instruction:** ",
    "**Task:**\n",
    "Here's a task that uses these concepts:\n\n### Task\n\n",
    "Based on the concepts, here is an exercise:\n",
    "[Instruction]\n",
)
AFTER = (
    "",
    "\n\nLet me know if you would like another task!",
    "\n\n## Example 4\n### Property\ncategory: function",
    "\n\n### Response\n[Reasoning]\nFirst",
    "\n\n---\n\n### Property\ncategory: class",
    "\n\n---",
)


@pytest.mark.parametrize("task", TASKS)
@given(before=st.sampled_from(BEFORE), after=st.sampled_from(AFTER), wrap=st.booleans())
def test_the_task_is_what_is_left(task: str, before: str, after: str, wrap: bool) -> None:
    body = f"````markdown\n{task}\n````" if wrap and not after else task
    assert read_task(before + body + after) == task


@given(st.text(max_size=300))
def test_reading_twice_changes_nothing(text: str) -> None:
    assert read_task(read_task(text)) == read_task(text)


@pytest.mark.parametrize(
    "text",
    [
        "Okay, so I need to write a task that uses loops.",
        "The user wants a task about sorting.",
        "Let me think about what such a task could be.",
        "We need to produce an instruction that uses all concepts.",
        "I'm sorry, but I cannot do that.",
        "As an AI, I have no tasks.",
        "<think>\nLoops and lists.",
    ],
)
def test_thoughts_and_refusals_are_told_apart(text: str) -> None:
    assert is_thought(text)
    assert not any(map(is_thought, TASKS))
