"""What a person is shown of a crosswise examination: every sample against every assertion, as a small matrix.

Does not cover the evidence that follows from it (`agreement`).
"""

from __future__ import annotations

from snipmill.records import Examination
from snipmill.sandbox.program import UnitOutcome
from snipmill.verification.agreement import Agreement
from snipmill.verification.questions import QuestionIndex

HOLDS, FAILS, CANNOT_RUN, NOT_ASKED = "+", "-", "!", "."
_MOST_CHARACTERS = 300  # of an assertion


def describe(agreement: Agreement) -> Examination:
    """The matrix of an agreement. Inputs that were derived from assertions are left out."""
    questions = agreement.questions
    asserted = questions.questions[: questions.assertion_count]
    return Examination(
        samples=[sample.id for sample in questions.samples],
        assertions=[_shortened(one.assertion.text or one.assertion.key) for one in asserted],
        outcomes=[
            "".join(_sign(agreement.outcomes[of].get(QuestionIndex(place))) for place in range(len(asserted)))
            for of in questions.implementation_of
        ],
        authors=[list(one.samples) for one in asserted],
    )


def _sign(outcome: UnitOutcome | None) -> str:
    if outcome is None:
        return NOT_ASKED
    return {"passed": HOLDS, "failed": FAILS}.get(outcome.status, CANNOT_RUN)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
