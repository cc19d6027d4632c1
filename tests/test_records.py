from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from snipmill.reasons import Reason
from snipmill.records import (
    Concepts,
    Execution,
    Instruction,
    Reject,
    Response,
    Row,
    Verdict,
    content_hash,
    encode_json,
    extend,
)

PARTS = st.lists(st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.none()), max_size=5)


@given(PARTS, PARTS)
def test_different_parts_have_different_hashes(one: list[object], other: list[object]) -> None:
    def typed(parts: list[object]) -> list[tuple[str, object]]:
        return [(type(part).__name__, part) for part in parts]

    same = content_hash(*one) == content_hash(*other)  # type: ignore[arg-type]
    assert same == (typed(one) == typed(other))


def test_a_reason_hashes_as_its_text() -> None:
    """A fresh reject holds a `Reason`, one from a journal a plain text: both must give the same key."""
    assert content_hash(Reason.FAILED) == content_hash("failed")
    reject = Reject(id="r", stage="execute", reason=Reason.FAILED)
    assert msgspec.json.decode(encode_json(reject), type=Reject) == reject


def test_records_grow_and_keep_all_their_columns_in_order() -> None:
    kinds = (Concepts, Instruction, Response)
    for earlier, later in zip(kinds, (*kinds[1:], Execution), strict=True):
        assert later.__struct_fields__[: len(earlier.__struct_fields__)] == earlier.__struct_fields__
    assert Row.__struct_fields__[:-1] == Execution.__struct_fields__
    concepts = Concepts(id="c", seed="s", concepts=["a"], columns={"stars": msgspec.Raw(b"5")}, parents={"seed": "s-1"})
    instruction = extend(Instruction, concepts, id="i", instruction="Do it.")
    response = extend(Response, instruction, id="r", response="Done.", sample=3)
    execution = extend(Execution, response, verdict=Verdict(status="passed"))
    assert (execution.concepts, execution.instruction, execution.sample) == (["a"], "Do it.", 3)
    assert execution.columns == concepts.columns and execution.parents == {"seed": "s-1"}
    assert isinstance(execution, Response) and not isinstance(execution, Row)
