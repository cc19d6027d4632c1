"""A generation stage of the user's: two functions and a name, carried out as snipmill's own are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from snipmill.api.outcomes import reason_and_detail
from snipmill.config import Config
from snipmill.config_model import StagesTable
from snipmill.errors import UsageError
from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import Prompt, plain_prompt
from snipmill.prompts.stage import Draws, GenerationStage
from snipmill.records import Completion, Concepts, Record, Response
from snipmill.stages.generate import GenerationSettings
from snipmill.stages.settings import resolve_generation
from snipmill.stages.spec import BY_NAME, RESPONSES
from snipmill.text.sections import Malformed

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)
_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class Stage(Generic[In, Out]):
    """A generation stage.

    Attributes:
        name: in rejects; small letters, digits and hyphens.
        build: a record -> the prompt: a text, which a chat model gets as one message, or a `Prompt` with solved examples.
        parse: the record and the text of a completion -> the new record, or a reason and a detail why there is none. It may be
            called more than once for a completion, and depends on nothing else. The id of what it returns is replaced by one
            that hashes all that it was made from; its `parents` get the record's id under the stage's name.
        stop: strings that end a completion. A chat ends by itself, and they are not sent.
    """

    name: str
    build: Callable[[In], str | Prompt]
    parse: Callable[[In, str], Out | tuple[str, str]]
    stop: tuple[str, ...] = ()


def generation_stage(stage: Stage[Any, Any]) -> GenerationStage[Any, Any]:
    """The stage as the pipeline carries it out.

    Raises:
        UsageError: its name is none, or that of a stage of snipmill.
    """
    if not _NAME.fullmatch(stage.name):
        raise UsageError(f"The stage name {stage.name!r} has other characters than small letters, digits and hyphens.")
    stop: object = stage.stop
    if isinstance(stop, str):
        raise UsageError(f"{stage.name}: stop is one text. Give a tuple of texts.")
    if stage.name in BY_NAME:
        raise UsageError(f"snipmill has a stage {stage.name!r} of its own. Give yours another name.")

    def build(record: Any, _examples: Sequence[Example], _system: str, _draws: Draws) -> Prompt:
        prompt = stage.build(record)
        if not isinstance(prompt, str | Prompt):
            raise UsageError(
                f"{stage.name}: build returned {prompt!r:.80} for {record.id}; it returns a text or a Prompt."
            )
        return plain_prompt(prompt) if isinstance(prompt, str) else prompt

    def parse(record: Any, key: str, sample: int, completion: Completion, _draws: Draws) -> Any:
        found = stage.parse(record, completion.text)
        if not isinstance(found, Record):
            reason, detail = reason_and_detail(found, f"{stage.name}: parse returned", record.id)
            return Malformed(reason, detail)  # type: ignore[arg-type]
        changes: dict[str, Any] = {"id": key}
        if isinstance(found, Concepts):
            changes["parents"] = {**found.parents, stage.name: record.id}
        if isinstance(found, Response):
            changes["sample"] = sample
        return msgspec.structs.replace(found, **changes)

    return GenerationStage(name=stage.name, mode="S->C", build=build, parse=parse, stop=tuple(stage.stop))


def settings_of(config: Config) -> GenerationSettings:
    """What decides the requests of a stage of the user's: `[model]` itself, and no examples of ours."""
    model = msgspec.structs.replace(config.model, stages=StagesTable())
    settings = resolve_generation(msgspec.structs.replace(config, model=model))[RESPONSES]
    return replace(settings, shots=0, match_examples=False)
