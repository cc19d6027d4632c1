"""Traces of thought are told from answers, wherever a server puts them and however its chunks fall."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from snipmill.llm.client import Client, Server
from snipmill.llm.reading import Reading
from snipmill.llm.request import Request
from snipmill.records import Completion, Usage
from snipmill.text.chat_sections import cut_chat, is_hopeless_chat
from snipmill.text.thinking import split_thinking
from tests.conftest import RESPONSE

CHAT = [{"role": "user", "content": "Double a number."}]
THOUGHT = "Okay, the user wants twice the number.\n\n[Tests] come last. ```python\nx = 1\n```\nDone."
PAIRS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
)
plain = st.text("abc \n`[]().,", max_size=60)


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
@given(thought=plain, answer=plain.filter(str.strip))
def test_a_trace_before_an_answer(opening: str, closing: str, thought: str, answer: str) -> None:
    split = split_thinking(f"{opening}{thought}{closing}{answer}")
    assert (split.thinking, split.answer, split.open) == (thought.strip(), answer, False)


@given(st.lists(plain, min_size=2, max_size=4), plain.filter(str.strip))
def test_several_traces_in_a_row(thoughts: list[str], answer: str) -> None:
    text = "\n".join(f"<think>{thought}</think>" for thought in thoughts)
    split = split_thinking(f"{text}\n\n{answer}")
    assert split.thinking == "\n\n".join(thought.strip() for thought in thoughts if thought.strip())
    assert split.answer.strip() == answer.strip()


@given(plain, plain.filter(str.strip))
def test_the_opening_may_be_part_of_the_prompt(thought: str, answer: str) -> None:
    split = split_thinking(f"{thought}\n</think>\n\n{answer}")
    assert (split.thinking, split.answer.strip(), split.open) == (thought.strip(), answer.strip(), False)


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_a_trace_that_never_ends_leaves_no_answer(opening: str, closing: str) -> None:
    split = split_thinking(f"  {opening}so far")
    assert (split.thinking, split.answer, split.open) == ("so far", "", True)


@pytest.mark.parametrize(
    "answer",
    [
        RESPONSE,
        'x = text.split("</think>")[1]',
        "It strips `<think>` and `</think>` from the text.",
        "[Reasoning]\n<think> is a tag.",
        'xml = """<root>\n  <thought>hi</thought>\n</root>"""\n',
    ],
)
def test_an_answer_that_speaks_of_markers_has_no_trace(answer: str) -> None:
    split = split_thinking(answer)
    assert (split.thinking, split.answer) == (None, answer)


def test_a_trace_may_name_another_family_s_marker() -> None:
    split = split_thinking("<think>I could use <reasoning>x</reasoning> here, but no.</think>\nThe answer.")
    assert split.answer.strip() == "The answer." and split.thinking is not None and split.thinking.endswith("no.")


@pytest.mark.parametrize(
    "text", ["It needs loops.</think>Write a function.", "It needs loops.[/THINK]Write a function."]
)
def test_an_answer_may_begin_right_behind_its_trace(text: str) -> None:
    split = split_thinking(text)
    assert (split.thinking, split.answer) == ("It needs loops.", "Write a function.")


def request(**changes: Any) -> Request:
    fields: dict[str, Any] = {"prompt": CHAT, "model": "m", "max_tokens": 500, "temperature": 0.7, "seed": 1}
    form = {"cut": cut_chat, "hopeless": is_hopeless_chat, "max_thinking": 400}
    return Request(**{**fields, **form, **changes})


WHOLE = (
    f"<think>{THOUGHT}</think>\n\n{RESPONSE}\n\nAnd so on.",
    f"{THOUGHT * 6}\n</think>\n\n{RESPONSE}\n",
    f"<think></think>\n{RESPONSE}\n",
    f"<think>\n\n</think>\n\nSure!\n\n{RESPONSE.replace('[Tests]', '**[Tests]**')}\n",
    f"{RESPONSE}\n",
)


@pytest.mark.parametrize("text", WHOLE, ids=range(len(WHOLE)))
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.booleans())
def test_chunks_may_fall_anywhere(text: str, sizes: list[int], in_a_field: bool) -> None:
    """The answer and its trace depend on the text alone; so do those whose trace came in a field."""
    thought, _, content = text.partition("</think>") if in_a_field and text.startswith("<think>") else ("", "", text)
    reading = Reading(request())
    if thought:
        reading.add("", thought.removeprefix("<think>"))
    position = number = 0
    while position < len(content) and reading.finish_reason is None:
        size = sizes[number % len(sizes)]
        reading.add(content[position : position + size])
        position, number = position + size, number + 1
    reading.finish("stop")
    found = reading.completion(Usage(completion_tokens=100))
    expected = split_thinking(text)
    assert found.stopped_by_itself
    assert found.text.strip() == expected.answer.strip().removesuffix("And so on.").strip()
    assert found.thinking == (expected.thinking or "")
    assert (found.usage.thinking_tokens > 0) == bool(found.thinking)


def test_a_base_model_s_text_is_not_searched_for_traces() -> None:
    reading = Reading(request(prompt="Double", max_thinking=0, cut=None, hopeless=None))
    reading.add("<think>x</think>y")
    reading.finish("stop")
    assert reading.completion(Usage()).text == "<think>x</think>y"


class Thinker:
    """A server on loopback that answers with what a test gives it, as events or whole."""

    def __init__(self, events: list[dict[str, Any]] | None = None, whole: Any = None) -> None:
        self.events, self.whole = events, whole
        self.bodies: list[dict[str, Any]] = []
        self.sent = 0

    async def answer(self, incoming: web.Request) -> web.StreamResponse:
        self.bodies.append(await incoming.json())
        if self.whole is not None:
            return web.json_response(self.whole)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(incoming)
        try:
            for event in self.events or ():
                await response.write(f"data: {json.dumps(event)}\n\n".encode())
                self.sent += 1
                await asyncio.sleep(0.001)
            await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            pass
        return response


def ask(thinker: Thinker, asked: Request) -> Completion:
    async def go() -> Completion:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", thinker.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with Client(Server(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")) as client:
                answer = await client.ask(asked)
                assert isinstance(answer, list), answer
                return answer[0]
        finally:
            await runner.cleanup()

    return asyncio.run(go())


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "thinking"])
def test_a_trace_in_a_field_of_its_own_is_kept_apart(name: str) -> None:
    events = [delta(role="assistant", content=None)]
    events += [delta(**{name: piece}) for piece in pieces(THOUGHT)]
    events += [delta(content=piece) for piece in pieces(RESPONSE + "\nAnd so on, without end.")]
    thinker = Thinker([*events, delta("stop")])
    answer = ask(thinker, request())
    assert (answer.text.rstrip(), answer.thinking) == (RESPONSE, THOUGHT)
    assert answer.stopped_by_itself
    assert thinker.bodies[0]["max_tokens"] == 900
    assert "stop" not in thinker.bodies[0]


def test_a_trace_under_two_names_is_taken_once() -> None:
    events = [delta(reasoning=piece, reasoning_content=piece) for piece in pieces(THOUGHT)]
    answer = ask(Thinker([*events, delta(content=RESPONSE + "\n"), delta("stop")]), request())
    assert answer.thinking == THOUGHT


def test_a_trace_and_text_in_one_chunk() -> None:
    answer = ask(Thinker([delta(reasoning="a"), delta(reasoning="b", content=RESPONSE), delta("stop")]), request())
    assert (answer.thinking, answer.text.rstrip()) == ("ab", RESPONSE)


def test_a_thought_over_its_budget_is_left() -> None:
    thinker = Thinker([delta(reasoning="hm ") for _ in range(2000)])
    answer = ask(thinker, request(max_thinking=50))
    assert (answer.finish_reason, answer.text) == ("thinking", "")
    assert answer.thinking.startswith("hm hm") and thinker.sent < 1000


def test_an_inline_thought_over_its_budget_is_left() -> None:
    thinker = Thinker([delta(content="<think>"), *(delta(content="hm ") for _ in range(2000))])
    answer = ask(thinker, request(max_thinking=50))
    assert (answer.finish_reason, answer.text) == ("thinking", "")
    assert thinker.sent < 1000


@pytest.mark.parametrize(
    ("message", "finish"),
    [
        ({"content": "", "reasoning_content": "hm"}, "length"),
        ({"content": None, "reasoning": "hm", "reasoning_content": "hm"}, "length"),
        ({"content": "<think>hm"}, "length"),
        ({"content": "", "reasoning": "hm"}, "stop"),
    ],
)
def test_a_thought_without_an_answer_has_a_name_of_its_own(message: dict[str, Any], finish: str) -> None:
    whole = {"choices": [{"message": message, "finish_reason": finish}], "usage": {"completion_tokens": 40}}
    answer = ask(Thinker(whole=whole), request())
    assert (answer.finish_reason, answer.text, answer.thinking) == ("thinking", "", "hm")
    assert not answer.stopped_by_itself


def test_parts_of_a_content_list_are_told_apart() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": RESPONSE},
    ]
    usage = {"completion_tokens": 90, "completion_tokens_details": {"reasoning_tokens": 30}}
    whole = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}], "usage": usage}
    answer = ask(Thinker(whole=whole), request())
    assert (answer.thinking, answer.text) == ("hm", RESPONSE)
    assert answer.usage.thinking_tokens == 30
