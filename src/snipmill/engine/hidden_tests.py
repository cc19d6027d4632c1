"""Whether a sample's code passes tests that its model has not seen."""

from __future__ import annotations

from collections.abc import Sequence

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Trial, Unit
from snipmill.text.sections import Sections
from snipmill.verify.interface import interface, used_names
from snipmill.verify.programs import join_program
from snipmill.verify.units import assertions

_TIME = 3.0  # seconds for one test


async def passes(sections: Sections, entry_point: str, tests: Sequence[str], sandbox: Sandbox) -> bool:
    """Whether an implementation passes hidden tests, whatever it calls what they test.

    Args:
        sections: of the response.
        entry_point: the name that the tests call.
        tests: pieces of Python, each with assertions.
        sandbox: where they run.

    Raises:
        SlotLost: the sandbox failed, which says nothing about the code.
    """
    entry = entry_of(sections, entry_point)
    if entry is None:
        return False
    bound = f"{entry_point} = {entry}\n" if entry != entry_point else ""
    # As strict as any program: an object that equals everything passes nothing.
    units = tuple(Unit(program=join_program(sections.code, f"{bound}{test}")) for test in tests)
    outcomes = await sandbox.try_units(Trial(source="", units=units, unit_timeout=_TIME))
    return all(outcome.status == "passed" for outcome in outcomes)


def entry_of(sections: Sections, entry_point: str) -> str | None:
    """What of an implementation hidden tests are about.

    That is what has their name, else the one definition that the sample's own tests use, else the last function; None without any.
    """
    offers = interface(sections.code)
    if entry_point in offers:
        return entry_point
    defined = [name for name, signature in offers.items() if signature is not None]
    used = used_names(offers, assertions(sections.tests, offers)) & set(defined)
    if len(used) == 1:
        return next(iter(used))
    return defined[-1] if defined else None
