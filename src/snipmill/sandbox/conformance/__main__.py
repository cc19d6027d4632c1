"""`python -m snipmill.sandbox.conformance [TIER]`: hold a tier, or the strongest one here, against the corpora."""

from __future__ import annotations

import asyncio
import sys

from snipmill.errors import SandboxError
from snipmill.sandbox.conformance.conform import KNOWN_REFUSALS, conform, honest_programs
from snipmill.sandbox.conformance.corpus import corpus
from snipmill.sandbox.conformance.hostile import HOSTILE
from snipmill.sandbox.driver import choose_tier


def main() -> None:
    """Print what is wrong; the exit code is 1 where anything is."""
    try:
        tier = asyncio.run(choose_tier(sys.argv[1] if len(sys.argv) > 1 else "auto"))
        wrong = asyncio.run(conform(tier))
    except SandboxError as error:
        raise SystemExit(str(error)) from None
    for name, reason in KNOWN_REFUSALS.get(tier, {}).items():
        print(f"{name}: refused, as documented: {reason}")
    for name, what in wrong.items():
        print(f"{name}: {what}")
    programs = f"{len(HOSTILE)} hostile, {len(corpus('weak'))} weak and {len(honest_programs())} honest programs"
    print(f"tier {tier}: {programs}, {len(wrong)} findings")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
