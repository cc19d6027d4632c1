"""One response that passed becomes one row in a style, or a reject."""

from __future__ import annotations

import msgspec

from snipmill.config import Style
from snipmill.records import Evidence, Execution, Reject, Response, Row, Verdict
from snipmill.select.render import render_row
from snipmill.select.wellformed import check_response
from snipmill.text.sections import Malformed

STAGE = "sanitize"


def sanitize(record: Execution | Response | Row, style: Style, seed: int) -> Row | Reject:
    """The row of a record in a style. A row that has the style already stays as it is.

    Args:
        record: an executed response, a response, or a row in style `raw`.
        style: how the row shall look; `smart` also refuses incomplete code.
        seed: the run's seed, for the draws of `smart`.
    """
    if isinstance(record, Row) and record.style == style:
        return record
    sections = check_response(record.response, incomplete=style == "smart")
    if isinstance(sections, Malformed):
        return Reject(id=record.id, stage=STAGE, reason=sections.reason, detail=sections.detail)
    instruction, response = render_row(record.id, record.instruction, sections, style, seed)
    if isinstance(record, Row):
        return msgspec.structs.replace(record, instruction=instruction, response=response, style=style)
    return Row(
        id=record.id,
        seed=record.seed,
        concepts=record.concepts,
        instruction=instruction,
        response=response,
        verdict=_evidence(record.verdict) if isinstance(record, Execution) else None,
        style=style,
        sample=record.sample,
        category=record.category,
        difficulty=record.difficulty,
        language=record.language,
        provenance=record.provenance,
        parents=record.parents,
        usage=record.usage,
    )


def _evidence(verdict: Verdict) -> Evidence:
    return Evidence(status=verdict.status, tier=verdict.tier, checks_executed=verdict.checks_executed)
