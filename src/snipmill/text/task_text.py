"""Reads a programming task out of a completion: without remarks, labels, a wrapping fence, or the next example."""

from __future__ import annotations

import re

from snipmill.text.fences import find_fences
from snipmill.text.remarks import TASK_LABELS, without_closing, without_label

_NEXT = re.compile(
    r"^[ \t]*(?:## Example[ \t]+\d+|#{2,4} (?:Property|Snippet|Concepts|Response|Solution))[ \t]*:?[ \t]*$",
    re.MULTILINE,
)
_WRAPPERS = ("", "markdown", "md", "text", "txt", "plaintext")
_END = 200  # characters at the end of a task, among which rules are looked for
_RULES = re.compile(r"(?:\n[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*)+$")


def read_task(text: str) -> str:
    """The task alone; empty where there is none."""
    task = without_label(_unwrapped(text.strip()), TASK_LABELS)
    following = _NEXT.search(task)
    if following is not None:
        task = task[: following.start()]
    task = without_closing(_unwrapped(task.strip())).rstrip()
    return (task[:-_END] + _RULES.sub("", task[-_END:])).strip()


def _unwrapped(text: str) -> str:
    """The content of a fenced block that is the whole text."""
    fences = find_fences(text)
    if len(fences) == 1 and not text[: fences[0].start].strip() and not text[fences[0].end :].strip():
        fence = fences[0]
        return fence.code.strip() if fence.info.lower() in _WRAPPERS else text
    return text
