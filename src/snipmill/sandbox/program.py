"""What the sandbox is asked to run, and under which limits."""

from __future__ import annotations

from typing import Literal

import msgspec

TIERS = ("namespaces", "uid", "landlock", "seatbelt", "none")  # from the strongest to none at all


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A Python program.

    `tests_line` is the line (from 1) where its tests part begins; None where the program is one text, of which the
    checks at module level and in test functions count.
    """

    source: str
    tests_line: int | None = None


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One question to an implementation that stands already.

    `setup` is run first; then `value`, an expression, is compared with `expected` by `==`, or, where there is no value,
    `check` must be true. With `program` the unit is a whole program, judged as strictly as a program alone.
    """

    setup: str = ""
    value: str | None = None
    expected: str | None = None
    check: str | None = None
    program: Program | None = None
    trace: bool = False


UnitStatus = Literal["passed", "failed", "error", "timeout"]


class UnitOutcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What came of a unit. `value` shows what was computed in a form that equal values share, or the exception's type.

    The last digits of floats are left out there; `exact` has them, where there are any and the unit expects a value.
    `lines` and `jumps` are those of a traced program: lines that ran, and pairs of lines that ran after each other.
    """

    place: int
    status: UnitStatus
    value: str = ""
    exact: str = ""
    lines: list[int] = []
    jumps: list[tuple[int, int]] = []


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """An implementation, and units that are tried on it one after the other in one process, each for `unit_timeout` s.

    Each unit has a copy of the implementation's names, so that none sees what another one defines. What the implementation
    itself keeps between calls is shared: a trial is evidence beside a program's own verdict, never in place of it.
    The last `extra` units are not worth much time: once several units have run out of theirs, or one of these has ended the
    process, the rest count as if they had run out of it. Nor is code on which the first units have all run out of time or ended
    their processes: then the rest count as if they had done so.
    """

    source: str
    units: tuple[Unit, ...]
    unit_timeout: float = 1.0
    extra: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one program may use.

    `timeout` is wall time in seconds; `memory` is address space, `output` what it may write to stdout and stderr, and
    `disk` what it may write to files, all in bytes; `tasks` counts its processes and threads.
    """

    timeout: float = 10.0
    memory: int = 1 << 30
    output: int = 1 << 20
    disk: int = 128 << 20
    tasks: int = 64
