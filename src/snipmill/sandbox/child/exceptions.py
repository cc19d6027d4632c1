"""Questions about the exceptions of programs, and about the lines that they came through."""

from __future__ import annotations

import sys

from snipmill.sandbox.child.own_builtins import BUILTINS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types

__builtins__ = BUILTINS  # programs may replace builtins

FILENAME = "program.py"
_VALUE_LIMIT = 300


def show(value: object) -> str:
    """A short `repr` that never fails, whatever the value's own methods do."""
    try:
        text = repr(value)
    except BaseException as error:  # the program's own __repr__ may raise anything
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _VALUE_LIMIT else text[: _VALUE_LIMIT - 3] + "..."


def message_of(error: BaseException) -> str:
    """An exception's text, which its own methods cannot prevent."""
    try:
        return str(error)[:500]
    except BaseException:  # the program's own __str__ may raise anything
        return "<no message>"


def is_failure(error: BaseException | None) -> bool:
    """Whether an exception says that a check failed: an AssertionError, or what `pytest.fail` raises; or a group with one."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_failure, error.exceptions))
    return isinstance(error, AssertionError) or type(error).__name__ == "Failed"


def lines_of(error: BaseException) -> list[int]:
    """The program's own lines in an exception's traceback, from the outermost to the innermost."""
    found = []
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == FILENAME:
            found.append(step.tb_lineno)
        step = step.tb_next
    if isinstance(error, BaseExceptionGroup):
        found += [line for one in error.exceptions for line in lines_of(one)]
    return found


def line_of(error: BaseException) -> int | None:
    """The program's innermost line in an exception's traceback."""
    lines = lines_of(error)
    return lines[-1] if lines else None


def behind(error: BaseException) -> list[BaseException]:
    """The exceptions that led to an exception, the nearest first."""
    found: list[BaseException] = []
    step = error.__cause__ or error.__context__
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def running_lines() -> set[int]:
    """The program's lines that other threads are executing."""
    found = set()
    for frame in sys._current_frames().values():
        step: types.FrameType | None = frame
        while step is not None:
            if step.f_code.co_filename == FILENAME:
                found.add(step.f_lineno)
            step = step.f_back
    return found
