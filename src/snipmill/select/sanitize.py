"""One response that passed becomes one row in a style, or a reject."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.config import Style
from snipmill.records import Evidence, Execution, Reject, Response, Row, Verdict, derive
from snipmill.select.render import render_row
from snipmill.select.styles import rendering
from snipmill.select.wellformed import check_response
from snipmill.text.sections import Malformed

STAGE = "sanitize"


def sanitize(
    record: Execution | Response | Row, style: Style, seed: int, switches: dict[str, Any] | None = None
) -> Row | Reject:
    """The row of a record in a look. A row that has this look already stays as it is.

    Args:
        record: an executed response, a response, or a row in style `raw`.
        style: how the row shall look.
        seed: the run's seed, for the draws of `smart`.
        switches: parts of the look that differ from the style, by their names in `styles.Rendering`.
    """
    look, name = rendering(style, switches)
    if isinstance(record, Row) and record.style == name:
        return record
    sections = check_response(record.response, incomplete=look.refuse_incomplete, language=record.language)
    if isinstance(sections, Malformed):
        return Reject(id=record.id, stage=STAGE, reason=sections.reason, detail=sections.detail)
    instruction, response = render_row(record.id, record.instruction, sections, look, seed)
    if isinstance(record, Row):
        return msgspec.structs.replace(record, instruction=instruction, response=response, style=name)
    verdict = _evidence(record.verdict) if isinstance(record, Execution) else None
    return derive(Row, record, instruction=instruction, response=response, verdict=verdict, style=name)


def _evidence(verdict: Verdict) -> Evidence:
    return Evidence(status=verdict.status, tier=verdict.tier, checks_executed=verdict.checks_executed)
