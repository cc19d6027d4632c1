"""The stages of the pipeline, in the order of the data. Funnel, account, status, lineage, journals and files derive from this list.

A new generation stage is its pair of functions in `prompts/` and a line here. A stage of another kind is also a work in this room,
and a step in `engine/flow.py` and `engine/runners.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snipmill.prompts import assertions, concepts, instructions, judge, responses
from snipmill.prompts.stage import GenerationStage
from snipmill.records import Concepts, Execution, Instruction, Record, Response, Row, Seed, WrittenTests
from snipmill.seeds.document import STAGE as SEEDS
from snipmill.selection.choose import STAGE as SELECT
from snipmill.selection.sanitize import STAGE as SANITIZE
from snipmill.store.entries import CompletionEntry, Entry, MiningEntry, VerdictEntry, VerificationEntry

JUDGE, CONCEPTS, RESPONSES = judge.STAGE.name, concepts.STAGE.name, responses.STAGE.name
INSTRUCTIONS = instructions.STAGE.name
ASSERTIONS = assertions.STAGE.name
EXECUTE, VERIFY, REVIEW = "execute", "verify", "review"
DATASET = "dataset"


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage.

    Attributes:
        name: in files, rejects, the funnel and reports.
        makes: the kind of its records.
        reads: the stage whose records it reads; None for the first.
        entry: what its journal holds; None where nothing is paid for.
        generation: how the model is asked, for stages that ask one.
        id_in_children: the key under which `parents` of later records hold the id of this stage's record, if they do.
        file: name of the file that holds its records, without `.jsonl`.
        shown_fields: the columns that `snipmill show` prints.
    """

    name: str
    makes: type[Record]
    reads: str | None
    entry: type[Entry] | None = None
    generation: GenerationStage[Any, Any] | None = None
    id_in_children: str | None = None
    file: str = ""
    shown_fields: tuple[str, ...] = ()


def _asking(
    stage: GenerationStage[Any, Any],
    makes: type[Record],
    reads: str,
    shown_fields: tuple[str, ...],
    child_key: str | None = None,
) -> StageSpec:
    return StageSpec(stage.name, makes, reads, CompletionEntry, stage, child_key, stage.name, shown_fields)


STAGES: tuple[StageSpec, ...] = (
    StageSpec(SEEDS, Seed, None, MiningEntry, None, "seed", SEEDS, ("provenance", "seed")),
    _asking(judge.STAGE, Seed, SEEDS, ("judge",), "seed"),
    _asking(concepts.STAGE, Concepts, SEEDS, ("concepts", "usage"), "concepts"),
    _asking(instructions.STAGE, Instruction, "concepts", ("category", "difficulty", "instruction"), "instruction"),
    _asking(responses.STAGE, Response, "instructions", ("sample", "thinking", "response")),
    _asking(assertions.STAGE, WrittenTests, "instructions", ("tests",)),
    StageSpec(EXECUTE, Execution, "responses", VerdictEntry, file=EXECUTE, shown_fields=("verdict",)),
    StageSpec(VERIFY, Execution, EXECUTE, VerificationEntry, file=VERIFY, shown_fields=("verification",)),
    StageSpec(REVIEW, Execution, VERIFY, CompletionEntry, file=REVIEW, shown_fields=("verification",)),
    StageSpec(SANITIZE, Row, VERIFY, file=SANITIZE),
    StageSpec(SELECT, Row, SANITIZE, file=DATASET, shown_fields=("style", "instruction", "response")),
)
BY_NAME = {stage.name: stage for stage in STAGES}
GENERATING = tuple(stage.name for stage in STAGES if stage.generation is not None)
ASKING = tuple(stage.name for stage in STAGES if stage.entry is CompletionEntry)  # those, and the review


def request_priority(name: str) -> int:
    """The rank of a stage's requests at the server: later stages go first (0), so that what was begun is finished."""
    return len(ASKING) - 1 - ASKING.index(name) if name in ASKING else 0
