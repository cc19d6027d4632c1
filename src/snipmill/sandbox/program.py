"""The inputs of the sandbox: what to run, and under which limits."""

from __future__ import annotations

from typing import Literal

import msgspec

# Counts the changes to what a verdict means; verdicts under other rules are not reused.
RULES = 3
TIERS = ("namespaces", "uid", "landlock", "seatbelt", "none")  # strongest first


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A Python program.

    `tests_line` is the line (from 1) where its tests part begins. None means that there is no separate tests part; then
    the checks at module level and in test functions count.

    `modules` are the dotted names by which the tests import the implementation. With such a name, the implementation is a module
    of its own, whose names the tests do not see unless they import them.

    With `dialogues`, pairs of standard input and expected standard output, the source is a script that runs once for each, and
    each is a check.
    """

    source: str
    tests_line: int | None = None
    modules: tuple[str, ...] = ()
    dialogues: tuple[tuple[str, str], ...] = ()


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One test of an implementation that is already loaded.

    `setup` runs first. Then the expression `value` is compared with `expected` by `==`; if there is no value, `check`
    must be true. With `program`, the unit is a whole program, judged as strictly as a program that runs alone.
    """

    setup: str = ""
    value: str | None = None
    expected: str | None = None
    check: str | None = None
    program: Program | None = None
    trace: bool = False


UnitStatus = Literal["passed", "failed", "error", "timeout", "ended"]


class UnitOutcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The outcome of a unit; `ended` means that it took its process along.

    `value` is the computed value in a form that equal values share, or the exception's type.

    `value` omits the last digits of floats. `exact` includes them, if there are any and the unit expects a value.
    `lines` and `jumps` belong to a traced program: the lines that ran, and the pairs of lines that ran one after the
    other.
    """

    place: int
    status: UnitStatus
    value: str = ""
    exact: str = ""
    lines: list[int] = []
    jumps: list[tuple[int, int]] = []


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """An implementation, and units that are tried on it one after the other in one process, each for `unit_timeout` s.

    Each unit gets a copy of the implementation's names, so that units do not see each other's definitions. State that
    the implementation keeps between calls is shared, so a trial adds to a program's own verdict but never replaces it.

    The last `extra` units are optional: once several units have timed out, or an extra unit has ended the process, the
    remaining extra units count as timeouts. If the first units have all timed out or ended their processes, the
    remaining units count as if they had done so too.
    """

    source: str
    units: tuple[Unit, ...]
    unit_timeout: float = 1.0
    extra: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Resource limits of one program.

    `timeout` is wall time in seconds. `memory` (address space), `output` (written to stdout and stderr) and `disk`
    (written to files) are in bytes. `tasks` is the number of its processes and threads. Of the output, only the beginning and the
    end are kept; `output` is what ends a program that never stops writing.
    """

    timeout: float = 10.0
    memory: int = 1 << 30
    output: int = 256 << 20
    disk: int = 128 << 20
    tasks: int = 256
