"""One response that passed becomes one row in a look, or a reject."""

from __future__ import annotations

import msgspec

from snipmill.records import Evidence, Execution, Reject, Response, Row, Verdict, extend
from snipmill.selection.render import render_row
from snipmill.selection.styles import RAW, Look
from snipmill.selection.wellformed import check_sections
from snipmill.text.sections import Malformed, Sections, parse_sections

STAGE = "sanitize"


def sanitize(response: Response, look: Look, seed: int, sections: Sections | None = None) -> Row | Reject:
    """The row of a response in a look. A row that has this look already stays as it is.

    Args:
        response: a response, executed or not, or a row in style `raw`.
        look: how the row shall look.
        seed: the run's seed, for the draws of `smart`.
        sections: the response's, where it is parsed already.
    """
    has_look = isinstance(response, Row) and response.style == look.name
    if has_look and look != RAW:  # only `raw` keeps all that is checked
        return response  # type: ignore[return-value]
    parsed = sections or parse_sections(response.response, response.language)
    executed = (
        isinstance(response, Execution | Row) and response.verdict is not None and response.verdict.status == "passed"
    )
    broken = (
        parsed
        if isinstance(parsed, Malformed)
        else check_sections(parsed, incomplete=look.refuse_incomplete, executed=executed)
    )
    if broken is not None:
        return Reject(id=response.id, stage=STAGE, reason=broken.reason, detail=broken.detail)
    assert isinstance(parsed, Sections)
    instruction, text = render_row(response.id, response.instruction, parsed, look, seed)
    if isinstance(response, Row):
        return msgspec.structs.replace(response, instruction=instruction, response=text, style=look.name)
    verdict = _evidence(response.verdict) if isinstance(response, Execution) else None
    return extend(Row, response, instruction=instruction, response=text, verdict=verdict, style=look.name)


def _evidence(verdict: Verdict) -> Evidence:
    return Evidence(**{name: getattr(verdict, name) for name in Evidence.__struct_fields__})
