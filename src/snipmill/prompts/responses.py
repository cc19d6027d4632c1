"""I->R: from an instruction to a four-section response with its own tests."""

from __future__ import annotations

from collections.abc import Sequence

from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import Prompt
from snipmill.prompts.stage import ChatForm, Draws, GenerationStage
from snipmill.reasons import Reason
from snipmill.records import Completion, Instruction, Response, extend
from snipmill.text.chat_sections import cut_chat, from_chat, is_hopeless_chat
from snipmill.text.loops import ends_in_loop
from snipmill.text.sections import Malformed, cut_after_tests, is_hopeless, parse_sections


def _question(instruction: str) -> str:
    return f"### Instruction\n{instruction}\n\n### Response"


def build(record: Instruction, examples: Sequence[Example], system: str, _draws: Draws) -> Prompt:
    """The prompt that asks for a response. Examples without a response are not shown."""
    shown = tuple(
        (_question(example.instruction), example.response) for example in examples if example.response is not None
    )
    return Prompt(system, shown, _question(record.instruction))


def parse(
    record: Instruction, record_id: str, sample: int, completion: Completion, _draws: Draws
) -> Response | Malformed:
    """The response in a completion, cut after its tests; it must have the four sections."""
    cut = cut_after_tests(completion.text + "\n")
    response = cut.strip() if cut is not None else completion.text.strip()
    sections = parse_sections(response, record.language)
    if isinstance(sections, Malformed):
        if ends_in_loop(completion.text):
            return Malformed(Reason.REPETITIVE, "The response repeats itself without end.")
        return sections
    return extend(
        Response,
        record,
        id=record_id,
        response=response,
        sample=sample,
        parents={**record.parents, "instruction": record.id},
    )


STAGE: GenerationStage[Instruction, Response] = GenerationStage(
    name="responses",
    mode="I->R",
    build=build,
    parse=parse,
    cut=cut_after_tests,
    hopeless=lambda text: is_hopeless(text) or ends_in_loop(text),
    chat=ChatForm(from_chat, cut_chat, lambda text: is_hopeless_chat(text) or ends_in_loop(text)),
    kind_of_task=lambda record, _draws: (record.category, record.difficulty),
)
