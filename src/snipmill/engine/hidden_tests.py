"""Whether a sample's code passes tests that its model has not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from snipmill.sandbox.driver import Sandbox
from snipmill.text.sections import Malformed, Sections
from snipmill.verification.any_program import build_any_program
from snipmill.verification.data_sets import foreign_tests
from snipmill.verification.interface import interface
from snipmill.verification.units import assertions

_NO_ENTRIES = ("main", "test")  # what the names of definitions begin with that nobody asked for


async def passes(sections: Sections, entry_point: str, tests: Sequence[str], sandbox: Sandbox) -> bool | None:
    """Whether an implementation passes hidden tests, whatever it calls what they test.

    They are executed as strictly as any program: an object that equals everything passes nothing.

    Args:
        sections: of the response.
        entry_point: the name that the tests call.
        tests: in any layout that `snipmill audit` knows.
        sandbox: where they run.

    Returns:
        None where the sandbox could not tell.
    """
    entry = entry_of(sections, entry_point)
    if entry is None:
        return False
    code = sections.code if entry == entry_point else f"{sections.code}\n\n{entry_point} = {entry}\n"
    built = build_any_program(code, foreign_tests("\n".join(tests), entry_point))
    if isinstance(built, Malformed):
        return False
    verdict = await sandbox.run(built.program)
    return None if verdict.status == "sandbox-error" else verdict.status == "passed"


def entry_of(sections: Sections, entry_point: str) -> str | None:
    """What of an implementation hidden tests are about.

    That is what is defined under their name, else what the sample's own assertions use most, else the last definition that is no
    `main` and no test; None without any.
    """
    offers = interface(sections.code)
    defined = [name for name, signature in offers.items() if signature is not None]
    if entry_point in defined:
        return entry_point
    able = [name for name in defined if not name.lower().startswith(_NO_ENTRIES)] or defined
    used = Counter(name for one in assertions(sections.tests, offers) for name in one.names if name in able)
    return max(reversed(able), key=lambda name: used[name]) if able else None
