"""A few-shot prompt, and its two renderings: one completion text for base models, or chat messages.

Does not cover which examples are shown (`fewshot`) or what a completion means (the stages).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from snipmill.records import content_hash

EXAMPLE_HEADING = "## Example"


@dataclass(frozen=True)
class Prompt:
    """A system sentence, solved examples as (question, answer) pairs, and the open question.

    A `plain` prompt is its question and nothing else.
    """

    system: str
    examples: tuple[tuple[str, str], ...]
    question: str
    plain: bool = False

    @cached_property
    def hash(self) -> str:
        """Content hash of everything that is shown to the model."""
        flat = [part for pair in self.examples for part in pair]
        kind = ("plain",) if self.plain else ()
        return content_hash(self.system, len(self.examples), *flat, self.question, *kind)


def plain_prompt(text: str) -> Prompt:
    """A text that is sent as it is."""
    return Prompt("", (), text, plain=True)


def render_completion(prompt: Prompt) -> str:
    """One text that a base model continues: numbered example blocks, the last one open."""
    if prompt.plain:
        return prompt.question
    blocks = [
        f"{EXAMPLE_HEADING} {number}\n{question}\n{answer}"
        for number, (question, answer) in enumerate(prompt.examples, start=1)
    ]
    blocks.append(f"{EXAMPLE_HEADING} {len(prompt.examples) + 1}\n{prompt.question}\n")
    return "\n\n".join([prompt.system, *blocks])


def render_chat(prompt: Prompt) -> list[dict[str, str]]:
    """The same as messages: the system sentence, and each example as a question and its answer."""
    messages = [] if prompt.plain else [{"role": "system", "content": prompt.system}]
    for question, answer in prompt.examples:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    messages.append({"role": "user", "content": prompt.question})
    return messages
