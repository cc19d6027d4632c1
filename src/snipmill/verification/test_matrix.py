"""The checks of a row's tests, one by one, against programs that are not right: what each check notices, and what it is worth.

A check is one assertion with the statements that it needs. A wrong program is another sample's code, or a mutant of the row's own,
that fails at least one check. Functions over texts and outcomes; `stages/grade_tests.py` runs the trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snipmill.sandbox.program import Trial, Unit, UnitOutcome
from snipmill.verification.interface import align, interface, used_names
from snipmill.verification.mutants import mutants
from snipmill.verification.units import Assertion, assertions

MOST_PROGRAMS = 24  # other samples' implementations that are asked; mutants have a bound of their own
_UNIT_TIME = 2.0  # seconds for one check: a program that loops has failed it
_MOST_STEPS = 20_000  # of the search for a smallest set


@dataclass(frozen=True)
class Checks:
    """The checks of a row's tests.

    Attributes:
        code: the row's implementation.
        assertions: the checks, in their order.
    """

    code: str
    assertions: tuple[Assertion, ...]

    @property
    def texts(self) -> list[str]:
        """Each check as test code that stands alone."""
        return [one.text for one in self.assertions]


@dataclass(frozen=True)
class Suspect:
    """A program that may be wrong.

    Attributes:
        name: a sample's id, or `mutant: KIND, line N`.
        trial: the checks that fit its interface.
        asked: which checks these are.
    """

    name: str
    trial: Trial
    asked: tuple[int, ...]


def read_checks(code: str, tests: str) -> Checks:
    """The checks of tests that ask something of the code."""
    offers = interface(code)
    found = {one.key: one for one in assertions(tests, offers) if one.names & offers.keys()}
    return Checks(code, tuple(found.values()))


def own_trial(checks: Checks) -> Trial:
    """All checks on the row's own code, each as it is asked of others and as test code that stands alone."""
    units = tuple(unit for one in checks.assertions for unit in (one.unit, Unit(setup=one.text)))
    return Trial(source=checks.code, units=units, unit_timeout=_UNIT_TIME)


def keep_held(checks: Checks, outcomes: Sequence[UnitOutcome]) -> Checks:
    """The checks that hold for the row's own code. Others may build on one another, and are no checks by themselves."""
    held = [outcome.status == "passed" for outcome in outcomes]
    pairs = zip(checks.assertions, held[::2], held[1::2], strict=True)
    return Checks(checks.code, tuple(one for one, asked, alone in pairs if asked and alone))


def suspects(checks: Checks, samples: Sequence[tuple[str, str, str]]) -> list[Suspect]:
    """The programs to try.

    Args:
        checks: of the row.
        samples: id, code and tests of the instruction's other samples.
    """
    own = interface(checks.code)
    found = []
    for name, code, tests in samples[:MOST_PROGRAMS]:
        offers = interface(code)
        entries = used_names(offers, assertions(tests, offers))
        fitted = [align(one, own, offers, entries) for one in checks.assertions]
        asked = tuple(number for number, one in enumerate(fitted) if one is not None)
        units = tuple(one.unit for one in fitted if one is not None)
        found.append(Suspect(name, Trial(source=code, units=units, unit_timeout=_UNIT_TIME), asked))
    every, units = tuple(range(len(checks.assertions))), tuple(one.unit for one in checks.assertions)
    for mutant in mutants(checks.code):
        trial = Trial(source=mutant.source, units=units, unit_timeout=_UNIT_TIME)
        found.append(Suspect(f"mutant: {mutant.kind}, line {mutant.line}", trial, every))
    return found


def weigh(failed: Sequence[Sequence[int]], checks: int) -> list[float]:
    """A weight for each check; together they are 1.

    Each wrong program is worth the same, and what it is worth is shared by the checks that it fails: a check that alone notices
    something weighs much. An empty answer, which fails all checks, counts as one more wrong program. This is each check's Shapley
    value in the game whose value is the number of wrong programs that a set of checks notices.

    Args:
        failed: for each wrong program, the checks that it fails; programs that fail none do not count.
        checks: how many there are.
    """
    shares = [1.0 / checks] * checks
    programs = [one for one in failed if one]
    for one in programs:
        for check in one:
            shares[check] += 1.0 / len(one)
    return [share / (1 + len(programs)) for share in shares]


def smallest_set(failed: Sequence[Sequence[int]]) -> list[int]:
    """A smallest set of checks that notices every wrong program that all checks together notice.

    Found by branching on the program that the fewest checks notice; where that takes too long, the best set found by then.

    Args:
        failed: for each wrong program, the checks that it fails.
    """
    programs = sorted({frozenset(one) for one in failed if one}, key=lambda one: (len(one), sorted(one)))
    best = _greedy_set(programs)
    steps = 0

    def branch(chosen: tuple[int, ...], left: list[frozenset[int]]) -> None:
        nonlocal best, steps
        steps += 1
        if not left:
            best = min(best, sorted(chosen), key=len)
        elif len(chosen) + 1 < len(best) and steps < _MOST_STEPS:
            for check in sorted(left[0]):
                branch((*chosen, check), [one for one in left if check not in one])

    branch((), programs)
    return best


def _greedy_set(programs: Sequence[frozenset[int]]) -> list[int]:
    chosen: list[int] = []
    left = list(programs)
    while left:
        checks = sorted({check for one in left for check in one})
        most = max(checks, key=lambda check: sum(check in one for one in left))
        chosen.append(most)
        left = [one for one in left if most not in one]
    return sorted(chosen)
