"""Tries many units on one implementation in one process, each in a copy of its names and with a time limit.

Each outcome is reported as soon as it is known, so that a unit that ends the process loses only its own outcome. Does
not cover isolation, or what the outcomes mean.
"""

from __future__ import annotations

import signal
import sys
import types

from snipmill.sandbox.child.dialogues import run_dialogues
from snipmill.sandbox.child.exceptions import FILENAME, show
from snipmill.sandbox.child.harness import run_program, stand_as_main
from snipmill.sandbox.child.pytest_tests import Session
from snipmill.sandbox.child.replaced import unchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    _Outcome = tuple[str, str, str]  # status, value, and exact value if that differs

_REPEAT = 0.05  # seconds between further alarms, for code that swallows the first one
_DEPTH = 6
_LONGEST = 600  # characters, so that the values of all units of a trial fit into a report
_DIGITS = 12  # significant digits of floats; the last ones depend on the order of operations
_MOST_ITEMS = 2000
_MOST_BITS = 10_000  # of an integer that is written in decimal; Python refuses beyond some 14,000 bits
_PATIENCE = 3  # timeouts after which the remaining extra units count as timeouts too
_ADDRESS = r" at 0x[0-9a-fA-F]+"


class _TimeUp(BaseException):
    """The unit's time is up."""


def run_units(
    source: str,
    units: list[dict[str, Any]],
    seconds: float,
    extra: int,
    tell: Callable[[str], None],
    session: Session,
) -> dict[str, Any]:
    """Try all units.

    Args:
        source: the implementation; if it cannot be run, every unit is an error.
        units: the units, as dictionaries with the fields of `sandbox.program.Unit`.
        seconds: wall time for each unit.
        extra: number of units at the end that are not tried once several units have timed out.
        tell: called with [place, status, value, exact, lines, jumps] of each unit, as JSON.
        session: the session of pytest that may run the tests of whole programs.
    """
    import json

    module = stand_as_main(source)
    status, problem, _ = _limited(seconds, lambda: _stand(source, module.__dict__))
    late = 0
    for place, unit in enumerate(units):
        if status != "passed":
            tell(json.dumps([place, "timeout" if status == "timeout" else "error", problem]))
            continue
        if late >= _PATIENCE and place >= len(units) - extra:
            tell(json.dumps([place, "timeout", ""]))
            continue
        sys.modules["__main__"] = module
        recorder = _Recorder(unit["program"]["tests_line"]) if unit["trace"] else None
        if unit["program"] is not None:
            outcome = _limited(seconds, lambda unit=unit, r=recorder: _program(unit["program"], r, session))  # type: ignore[misc]
        else:
            names = dict(module.__dict__)
            outcome = _limited(seconds, lambda unit=unit, names=names: _ask(unit, names))  # type: ignore[misc]
        late += outcome[0] == "timeout"
        seen = [sorted(recorder.lines), sorted(recorder.jumps)] if recorder is not None else []
        tell(json.dumps([place, *outcome, *seen]))
    return {"status": "passed", "detail": ""}


def _ring(_number: int, _frame: Any) -> None:
    raise _TimeUp


def _limited(seconds: float, action: Callable[[], _Outcome]) -> _Outcome:
    """Run an action with a time limit; any exception becomes an outcome."""
    try:
        signal.signal(signal.SIGALRM, _ring)  # each time: a unit before may have changed it
        signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT)
        try:
            return action()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.settrace(None)
    except _TimeUp:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return "timeout", "", ""
    except AssertionError:
        return "failed", "", ""
    except BaseException as error:  # anything that model-written code can raise
        return "error", type(error).__name__, ""


def _stand(source: str, names: dict[str, Any]) -> _Outcome:
    exec(compile(source, FILENAME, "exec"), names)
    return "passed", "", ""


def _ask(unit: dict[str, Any], names: dict[str, Any]) -> _Outcome:
    if unit["setup"]:
        exec(compile(unit["setup"], "unit.py", "exec"), names)
    if unit["value"] is None:
        if unit["check"] is None:
            return "passed", "", ""
        return ("passed" if eval(unit["check"], names) else "failed"), "", ""
    value = eval(unit["value"], names)
    shown = canonical(value, _DIGITS)
    if unit["expected"] is None:
        return "passed", shown, ""
    exact = canonical(value)  # before the comparison, which might change it
    status = "passed" if value == eval(unit["expected"], names) else "failed"
    return status, shown, exact if exact != shown else ""


def _program(program: dict[str, Any], recorder: _Recorder | None, session: Session) -> _Outcome:
    if recorder is not None:
        sys.settrace(recorder.enter)
    doctest = sys.modules.get("doctest")
    if doctest is not None:
        doctest.master = None  # type: ignore[attr-defined]  # it accumulates the counts of earlier programs
    with unchanged(("builtins", ""), ("unittest", "TestCase"), ("unittest", "TestResult")):
        report = run_dialogues(program) if program["dialogues"] else run_program(program, session)
    return ("passed" if report["status"] == "passed" else "failed"), report["status"], ""


def canonical(value: object, digits: int = 17) -> str:
    """Return a text that is the same for equal values of plain types: sets and dicts sorted, whole floats as integers.

    A long text is replaced by its hash. A text that contains a memory address is replaced by an empty one, since such
    values cannot be compared.

    Args:
        value: any object.
        digits: significant digits of floats; 17 makes them exact. Rounding is relative, so the residue of a difference
            of nearly equal numbers, such as 1e-17 for 0, keeps its own digits.
    """
    import re

    text = _canonical(value, digits, _DEPTH)
    if re.search(_ADDRESS, text):
        return ""
    if len(text) <= _LONGEST:
        return text
    import hashlib

    return f"#{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def _canonical(value: object, digits: int, depth: int) -> str:
    if isinstance(value, float):
        value = float(float.__format__(value, f".{digits}g"))
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, bool):
        return repr(int(value))
    if type(value) is int:
        return repr(value) if value.bit_length() < _MOST_BITS else hex(value)
    if type(value) in (str, bytes):
        return repr(value)
    if depth > 0:
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            inner = ", ".join(_canonical(item, digits, depth - 1) for item in value[:_MOST_ITEMS])
            inner += f" ... {len(value)}" if len(value) > _MOST_ITEMS else ""
            return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
        if type(value) in (set, frozenset):
            if not value:
                return "set()"
            return "{" + ", ".join(sorted(_canonical(item, digits, depth - 1) for item in value)) + "}"  # type: ignore[attr-defined]
        if type(value) is dict:
            items = (
                f"{_canonical(key, digits, depth - 1)}: {_canonical(item, digits, depth - 1)}"
                for key, item in value.items()
            )
            return "{" + ", ".join(sorted(items)) + "}"
    return show(value)


class _Recorder:
    """Records which lines of a program's implementation ran, and which pairs of lines ran one after the other."""

    def __init__(self, tests_line: int | None) -> None:
        self.lines: set[int] = set()
        self.jumps: set[tuple[int, int]] = set()
        self._tests_line = tests_line if tests_line is not None else 1 << 30
        self._last: dict[int, int] = {}

    def enter(self, frame: types.FrameType, _event: str, _argument: Any) -> Any:
        """Trace function that follows only frames of the implementation."""
        if frame.f_code.co_filename != FILENAME or frame.f_code.co_firstlineno >= self._tests_line:
            return None
        self._last[id(frame)] = 0
        return self._step

    def _step(self, frame: types.FrameType, event: str, _argument: Any) -> Any:
        key = id(frame)
        if event == "line" and frame.f_lineno < self._tests_line:
            self.lines.add(frame.f_lineno)
            self.jumps.add((self._last.get(key, 0), frame.f_lineno))
            self._last[key] = frame.f_lineno
        elif event == "return":
            self.jumps.add((self._last.pop(key, 0), 0))
        return self._step
