"""Concepts are read in any usual form, and nothing else is taken for one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.text.concept_list import read_concepts

word = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=9)
concept = (
    st.lists(word, min_size=1, max_size=3)
    .map(" ".join)
    .filter(
        lambda text: (
            text.split()[0] not in {"concept", "concepts", "task", "tasks", "answer", "here", "sure", "the", "and"}
        )
    )
)
concepts = st.lists(concept, min_size=2, max_size=6, unique=True)
FORMS: dict[str, Callable[[list[str]], str]] = {
    "a line with commas": ", ".join,
    "a line with a full stop": lambda names: ", ".join(names) + ".",
    "bullets": lambda names: "\n".join(f"- {name}" for name in names),
    "stars and blank lines": lambda names: "\n\n".join(f"* {name}" for name in names),
    "numbers": lambda names: "\n".join(f"{n}. {name}" for n, name in enumerate(names, 1)),
    "numbers in brackets": lambda names: "\n".join(f"({n}) {name}" for n, name in enumerate(names, 1)),
    "numbers in a line": lambda names: ", ".join(f"{n}. {name}" for n, name in enumerate(names, 1)),
    "JSON": json.dumps,
    "JSON in an object": lambda names: json.dumps({"concepts": names}),
    "bold": lambda names: ", ".join(f"**{name}**" for name in names),
    "bold bullets with explanations": lambda names: "\n".join(f"- **{name}**: it is used here" for name in names),
    "bullets with dashes": lambda names: "\n".join(f"- {name} - used in the loop" for name in names),
    "code": lambda names: ", ".join(f"`{name}`" for name in names),
    "a fence": lambda names: "```\n" + ", ".join(names) + "\n```",
    "a fence with JSON": lambda names: "```json\n" + json.dumps(names, indent=1) + "\n```",
    "a fence that is never closed": lambda names: "```text\n" + ", ".join(names),
}
REMARKS = (
    "",
    "Sure! ",
    "Here are the programming concepts:\n\n",
    "Concepts: ",
    "### Concepts\n",
    "**Concepts:**\n",
    "Certainly! The following are the concepts that the snippet uses:\n",
)


@pytest.mark.parametrize("form", FORMS)
@given(
    names=concepts, remark=st.sampled_from(REMARKS), after=st.sampled_from(["", "\n\nLet me know if you need more!"])
)
def test_every_usual_form_is_the_same_list(form: str, names: list[str], remark: str, after: str) -> None:
    assert read_concepts(remark + FORMS[form](names) + after) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("use of `zip`, loops", ["use of zip", "loops"]),
        ("`__init__` method, __len__, classes", ["__init__ method", "__len__", "classes"]),
        ("**kwargs, *args", ["**kwargs", "*args"]),
        (
            ".NET, C++, C#, i/o, O(n log n), 3-way partition",
            [".NET", "C++", "C#", "i/o", "O(n log n)", "3-way partition"],
        ),
        ("Option<T>, pattern matching, Vec<u8>", ["Option<T>", "pattern matching", "Vec<u8>"]),
        ('indexing like d["key"], loops', ['indexing like d["key"]', "loops"]),
        ("empty list [], loops", ["empty list []", "loops"]),
        ("1. Recursion\n   - The function calls itself\n2. Lists\n   - Holds the items", ["Recursion", "Lists"]),
        ("tasks, queues", ["tasks", "queues"]),
        ("Key concepts: recursion, lists", ["recursion", "lists"]),
        ("The concepts are: recursion, lists", ["recursion", "lists"]),
        ("Concepts used: recursion, lists", ["recursion", "lists"]),
        ("```python\ndef f(a, b):\n    return a, b\n```\n\nConcepts: recursion, lists", ["recursion", "lists"]),
    ],
)
def test_odd_concepts_keep_their_form(text: str, names: list[str]) -> None:
    assert read_concepts(text) == names


@given(concepts)
def test_an_example_that_the_model_goes_on_with_is_not_read(names: list[str]) -> None:
    assert read_concepts(", ".join(names) + "\n\n## Example 5\n### Snippet\ndef f(x): return [x, 1]\n") == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "```",
        "<think>",
        "<think>\nI see a loop, a list",
        "Here are the programming concepts:",
        "I'm sorry, but I can't help with that.",
        "Okay, so I need to find the concepts of this snippet, which is about lists, I guess.",
        "This function walks over all of the items of the given list one after another and adds them up.",
        "1, 2, 3",
        "# a comment, and more",
        "```python\nx, y = 1, 2\n```",
    ],
)
def test_what_is_no_list_of_concepts_gives_none(text: str) -> None:
    assert read_concepts(text) == []


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    for name in read_concepts(text):
        assert name == name.strip() and 0 < len(name) <= 80
