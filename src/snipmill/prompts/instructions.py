"""C->I: from concepts and drawn properties to a programming task."""

from __future__ import annotations

from collections.abc import Sequence

from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt
from snipmill.prompts.stage import Draws, Stage
from snipmill.randomness import generator
from snipmill.records import Completion, Concepts, Instruction, derive, derive_parents
from snipmill.text.sections import TAGS, Malformed

MIN_LENGTH = 20
MAX_LENGTH = 8000


def draw_property(record: Concepts, draws: Draws) -> tuple[str, str]:
    """The (category, difficulty) of the task that grows from a concepts record."""
    random = generator(draws.seed, "property", record.id)
    return random.choice(draws.categories), random.choice(draws.difficulties)


def _question(category: str, language: str, concepts: Sequence[str], difficulty: str) -> str:
    return (
        f"### Property\ncategory: {category}\nlanguage: {language}\nconcepts: {', '.join(concepts)}\n"
        f"difficulty: {difficulty}\n\n### Instruction"
    )


def build(record: Concepts, examples: Sequence[Example], system: str, draws: Draws) -> Prompt:
    """The prompt that asks for a task with the record's concepts."""
    shown = tuple(
        (_question(example.category, example.language, example.concepts, example.difficulty), example.instruction)
        for example in examples
    )
    category, difficulty = draw_property(record, draws)
    return Prompt(system, shown, _question(category, record.language, record.concepts, difficulty))


def parse(
    record: Concepts, record_id: str, _sample: int, completion: Completion, draws: Draws
) -> Instruction | Malformed:
    """The instruction in a completion: all of it, unless it is too short, too long, or already answers itself."""
    instruction = completion.text.strip()
    if len(instruction) < MIN_LENGTH:
        return Malformed("instruction-too-short", f"The instruction has {len(instruction)} characters.")
    if len(instruction) > MAX_LENGTH:
        return Malformed("instruction-too-long", f"The instruction has {len(instruction)} characters.")
    if any(f"[{tag}]" in instruction for tag in TAGS):
        return Malformed("instruction-with-response", "The instruction goes on into a response.")
    category, difficulty = draw_property(record, draws)
    return derive(
        Instruction,
        record,
        id=record_id,
        instruction=instruction,
        category=category,
        difficulty=difficulty,
        parents=derive_parents(record.parents, "concepts", record.id),
    )


STAGE: Stage[Concepts, Instruction] = Stage(
    name="instructions",
    mode="C->I",
    build=build,
    parse=parse,
    stop=(EXAMPLE_HEADING, "\n###"),
    kind_of_task=draw_property,
)
