"""S->C: from a seed to the programming concepts that it exercises."""

from __future__ import annotations

from collections.abc import Sequence

from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt
from snipmill.prompts.stage import Draws, GenerationStage
from snipmill.reasons import Reason
from snipmill.records import Completion, Concepts, Seed
from snipmill.text.concept_list import read_concepts
from snipmill.text.sections import Malformed

MAX_CONCEPTS = 12


def _question(snippet: str) -> str:
    return f"### Snippet\n{snippet}\n\n### Concepts"


def build(seed: Seed, examples: Sequence[Example], system: str, _draws: Draws) -> Prompt:
    """The prompt that asks for a seed's concepts as a comma-separated line."""
    shown = tuple((_question(example.snippet), ", ".join(example.concepts)) for example in examples)
    return Prompt(system, shown, _question(seed.seed))


def parse(seed: Seed, record_id: str, _sample: int, completion: Completion, _draws: Draws) -> Concepts | Malformed:
    """The concepts in a completion, in whatever usual form they are listed."""
    concepts = read_concepts(completion.text)[:MAX_CONCEPTS]
    if not concepts:
        if not any(map(str.isalnum, completion.text)):
            return Malformed(Reason.NO_CONCEPTS, "The completion names no concepts.")
        shown = " ".join(completion.text.split())[:60]
        return Malformed(Reason.NOT_A_CONCEPT_LIST, f"{shown!r}... is no list of short concepts.")
    return Concepts(
        id=record_id,
        columns=seed.columns,
        seed=seed.seed,
        language=seed.language,
        provenance=seed.provenance,
        concepts=concepts,
        parents={"seed": seed.id},
    )


STAGE: GenerationStage[Seed, Concepts] = GenerationStage(
    name="concepts", mode="S->C", build=build, parse=parse, stop=(EXAMPLE_HEADING, "\n###", "\n\n")
)
