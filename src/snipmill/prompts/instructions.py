"""C->I: from concepts and drawn properties to a programming task."""

from __future__ import annotations

from collections.abc import Sequence

from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt
from snipmill.prompts.stage import Draws, GenerationStage
from snipmill.randomness import generator
from snipmill.reasons import Reason
from snipmill.records import Completion, Concepts, Instruction, extend
from snipmill.text.loops import ends_in_loop
from snipmill.text.remarks import is_thought
from snipmill.text.sections import TAGS, Malformed
from snipmill.text.task_text import read_task

MIN_LENGTH = 20
MAX_LENGTH = 8000


def draw_property(record: Concepts, draws: Draws) -> tuple[str, str]:
    """The (category, difficulty) drawn for the task of a concepts record."""
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
        (
            _question(example.written_category, example.language, example.concepts, example.difficulty),
            example.instruction,
        )
        for example in examples
    )
    category, difficulty = draw_property(record, draws)
    written = _as_written(category, examples)
    return Prompt(system, shown, _question(written, record.language, record.concepts, difficulty))


def _as_written(category: str, examples: Sequence[Example]) -> str:
    """A category in the words of the bank: `code generation (class implementation)`, if that is how it writes `function`."""
    for example in examples:
        if example.written_category != example.category:
            return example.written_category.replace(example.category, category)
    return category


def parse(
    record: Concepts, record_id: str, _sample: int, completion: Completion, draws: Draws
) -> Instruction | Malformed:
    """The instruction in a completion, unless it is too short, too long, no task, or already contains an answer."""
    if _repeats_itself(completion.text):
        return Malformed(Reason.REPETITIVE, "The instruction repeats itself without end.")
    instruction = read_task(completion.text)
    if is_thought(completion.text) or is_thought(instruction):
        shown = " ".join(instruction.split())[:60]
        return Malformed(Reason.NOT_A_TASK, f"{shown!r}... is no task.")
    if len(instruction) < MIN_LENGTH:
        return Malformed(Reason.INSTRUCTION_TOO_SHORT, f"The instruction has {len(instruction)} characters.")
    if len(instruction) > MAX_LENGTH:
        return Malformed(Reason.INSTRUCTION_TOO_LONG, f"The instruction has {len(instruction)} characters.")
    if any(f"[{tag}]" in instruction for tag in TAGS):
        return Malformed(Reason.INSTRUCTION_WITH_RESPONSE, "The instruction contains a section tag of a response.")
    category, difficulty = draw_property(record, draws)
    return extend(
        Instruction,
        record,
        id=record_id,
        instruction=instruction,
        category=category,
        difficulty=difficulty,
        parents={**record.parents, "concepts": record.id},
    )


def _repeats_itself(text: str) -> bool:
    """Whether a task has begun to repeat itself; a task may show a table with some equal rows."""
    return ends_in_loop(text, repeats=12)


STAGE: GenerationStage[Concepts, Instruction] = GenerationStage(
    name="instructions",
    mode="C->I",
    build=build,
    parse=parse,
    stop=(EXAMPLE_HEADING, "\n###"),
    kind_of_task=draw_property,
    hopeless=_repeats_itself,
)
