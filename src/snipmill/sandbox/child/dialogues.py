"""Runs a script once for each standard input, and compares what it writes with what is expected.

White space at the ends of lines and of the output does not count, as in APPS and LiveCodeBench. Numbers with a fraction may
differ by their last digits, as in APPS.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys

from snipmill.sandbox.child.exceptions import FILENAME
from snipmill.sandbox.child.failures import Failure, judge_exception
from snipmill.sandbox.child.harness import compile_source, end_threads, stand_as_main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHOWN = 200  # characters of an output in a report
_RELATIVE, _ABSOLUTE = 1e-5, 1e-8  # as numpy.allclose, which APPS uses


def run_dialogues(program: dict[str, Any]) -> dict[str, Any]:
    """Run a script for each of its dialogues, up to the first that goes wrong, and return the report.

    Args:
        program: a dictionary with the fields of `sandbox.program.Program`.
    """
    source, dialogues = program["source"], program["dialogues"]
    executed = 0
    report: dict[str, Any] = {"status": "passed", "detail": ""}
    try:
        code = compile_source(source)
        for given, expected in dialogues:
            written = _run(source, code, given)
            executed += 1
            if not same_output(written, expected):
                shown = [text if len(text) <= _SHOWN else text[:_SHOWN] + "..." for text in (given, expected, written)]
                detail = "input {!r}\nexpected {!r}, written {!r}".format(*shown)
                raise Failure("failed", f"the output for input {executed} differs", failed_check=detail)
    except Failure as failure:
        report = failure.report
    failed = int(report["status"] == "failed")
    return report | {
        "checks_executed": executed,
        "checks_failed": failed,
        "checks_written": len(dialogues),
        "checks_reached": executed,
        "tests_run": executed,
    }


def _run(source: str, code: Any, given: str) -> str:
    """What the script writes for an input.

    Raises:
        Failure: it ended with an exception or an exit code.
    """
    kept = [os.dup(number) for number in (0, 1)]
    streams, here = (sys.stdin, sys.stdout, sys.__stdin__, sys.__stdout__), os.getcwd()
    incoming, outgoing = _file(given), _file("")
    os.dup2(incoming, 0)
    os.dup2(outgoing, 1)
    written = _stream(1, "w")
    sys.stdin = sys.__stdin__ = _stream(0, "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = written  # type: ignore[misc]
    try:
        try:
            exec(code, stand_as_main(source).__dict__)
        except SystemExit as error:
            if error.code not in (None, 0):
                raise Failure("failed", f"the script ended with exit code {error.code!r}") from None
        except BaseException as error:  # anything a program can raise is its own failure
            judge_exception("the script", error, may_exit=True)
        end_threads()
        for stream in (written, sys.stdout):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # the script may have closed or replaced it
                stream.flush()
        size = os.fstat(outgoing).st_size
        return os.pread(outgoing, min(size, 1 << 24), 0).decode("utf-8", "replace")
    finally:
        sys.stdin, sys.stdout, sys.__stdin__, sys.__stdout__ = streams  # type: ignore[misc]
        os.chdir(here)
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
        for descriptor in (*kept, incoming, outgoing):
            os.close(descriptor)


def _stream(number: int, mode: str) -> Any:
    """A text stream as Python makes it for a descriptor."""
    return open(number, mode, encoding="utf-8", newline="\n" if mode == "w" else None, closefd=False)


def _file(text: str) -> int:
    """The descriptor of an unnamed file with a text, at its beginning."""
    name = f".{FILENAME}.text"
    # Not a temporary file: the limits are on this folder.
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(name)
    raw = text.encode("utf-8", "surrogatepass")
    while raw:
        raw = raw[os.write(descriptor, raw) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def same_output(written: str, expected: str) -> bool:
    """Whether two outputs are the same: equal lines without white space at their ends, or tokens that are equal numbers."""
    one, other = _lines(written), _lines(expected)
    if one == other:
        return True
    return len(one) == len(other) and all(map(_same_line, one, other))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def _same_line(one: str, other: str) -> bool:
    tokens, wanted = one.split(), other.split()
    return len(tokens) == len(wanted) and all(map(_same_token, tokens, wanted))


def _same_token(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        left, right = float(one), float(other)
    except ValueError:
        return False
    if not (math.isfinite(left) and math.isfinite(right)):
        return left == right
    # Integers are equal or not, however they are written: 2 and 2.0.
    tolerance = _ABSOLUTE + _RELATIVE * abs(right) if right != int(right) else 0.0
    return abs(left - right) <= tolerance
