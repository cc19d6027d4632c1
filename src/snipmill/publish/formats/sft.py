"""Supervised fine-tuning: an instruction and its answer, in the columns that trainers read."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from snipmill.publish.formats.item import (
    Format,
    Message,
    Options,
    Traced,
    answer_text,
    answered,
    asked,
    thought_field,
    traced,
)
from snipmill.records import Row


class _Messages(Traced, frozen=True, kw_only=True):
    messages: list[Message]


class _PromptCompletion(Traced, frozen=True, kw_only=True):
    prompt: list[Message]
    completion: list[Message]


class _TextPromptCompletion(Traced, frozen=True, kw_only=True):
    prompt: str
    completion: str
    thinking: str | None = None


class _Alpaca(Traced, frozen=True, kw_only=True):
    instruction: str
    input: str = ""
    output: str
    thinking: str | None = None


class _Turn(msgspec.Struct, frozen=True, kw_only=True):
    from_: str = msgspec.field(name="from")
    value: str


class _ShareGpt(Traced, frozen=True, kw_only=True):
    conversations: list[_Turn]
    thinking: str | None = None


class _Original(Traced, frozen=True, kw_only=True):
    instruction: str
    response: str
    seed: str
    thinking: str | None = None


def _messages(row: Row, options: Options) -> Iterator[_Messages]:
    turns = [asked(row.instruction), answered(row.response, row.thinking, options)]
    yield _Messages(messages=turns, **traced(row))


def _prompt_completion(row: Row, options: Options) -> Iterator[_PromptCompletion]:
    answer = answered(row.response, row.thinking, options)
    yield _PromptCompletion(prompt=[asked(row.instruction)], completion=[answer], **traced(row))


def _text(row: Row, options: Options) -> Iterator[_TextPromptCompletion]:
    yield _TextPromptCompletion(
        prompt=row.instruction, completion=_answer(row, options), thinking=_field(row, options), **traced(row)
    )


def _alpaca(row: Row, options: Options) -> Iterator[_Alpaca]:
    yield _Alpaca(
        instruction=row.instruction, output=_answer(row, options), thinking=_field(row, options), **traced(row)
    )


def _sharegpt(row: Row, options: Options) -> Iterator[_ShareGpt]:
    turns = [_Turn(from_="human", value=row.instruction), _Turn(from_="gpt", value=_answer(row, options))]
    yield _ShareGpt(conversations=turns, thinking=_field(row, options), **traced(row))


def _original(row: Row, options: Options) -> Iterator[_Original]:
    yield _Original(
        instruction=row.instruction,
        response=_answer(row, options),
        seed=row.seed,
        thinking=_field(row, options),
        **traced(row),
    )


def _answer(row: Row, options: Options) -> str:
    return answer_text(row.response, row.thinking, options)


def _field(row: Row, options: Options) -> str | None:
    return thought_field(row.response, row.thinking, options)


FORMATS = (
    Format(
        "messages",
        "conversations: TRL SFTTrainer, axolotl chat_template, LLaMA-Factory (openai), Unsloth",
        _Messages,
        _messages,
    ),
    Format(
        "prompt-completion",
        "conversations in two parts, loss on the answer alone: TRL SFTTrainer",
        _PromptCompletion,
        _prompt_completion,
    ),
    Format(
        "text-prompt-completion",
        "two plain texts, without a chat template: TRL SFTTrainer",
        _TextPromptCompletion,
        _text,
    ),
    Format("alpaca", "instruction, input, output: LLaMA-Factory, axolotl, Unsloth", _Alpaca, _alpaca),
    Format("sharegpt", "conversations of human and gpt: LLaMA-Factory, axolotl, Unsloth", _ShareGpt, _sharegpt),
    Format("instruction-response", "the columns of StarCoder2-Instruct and its trainer", _Original, _original),
)
