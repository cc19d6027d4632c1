"""Log probabilities of a given text, from servers that tell them in different ways, and from those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web

from snipmill.llm.client import Client, Server
from snipmill.llm.fleet import Fleet
from snipmill.llm.request import Request
from snipmill.llm.scoring import NOT_TOLD, WAYS, read_scores
from snipmill.records import Completion, Refusal
from tests.standin import StandIn, pieces, token_logprob

PROMPT = "### Code\n```python\ndef f(x):\n    return x\n```\n\n### Task\n"
TEXT = "Write a function that returns its argument. Its parameter is `x`."


def request(text: str = TEXT) -> Request:
    return Request(PROMPT, "stand-in", 1, 0.0, 0, scored=text, kind="likelihood")


def ask(server: StandIn, *texts: str, know: bool = False) -> tuple[list[list[Completion] | Refusal], Sequence[str]]:
    """The answers to texts, one after the other, and the notes at the end."""

    async def go() -> tuple[list[list[Completion] | Refusal], Sequence[str]]:
        async with Client(Server(server.url)) as client:
            if know:
                await client.models()
            fleet = Fleet([client])
            return [await fleet.complete(request(text)) for text in texts], fleet.notes

    return asyncio.run(go())


def expected(text: str) -> list[float]:
    """What the stand-in says of the tokens of a text after the prompt."""
    found, before = [], PROMPT
    for token in pieces(text):
        found.append(token_logprob(token, before))
        before += token
    return found


@pytest.mark.parametrize("tells", ["vllm", "sglang", "llamacpp"])
@pytest.mark.parametrize("know", [False, True])
def test_each_kind_of_server_tells_the_same_of_the_same_text(standin: StandIn, tells: str, know: bool) -> None:
    standin.tells = standin.owner = tells
    answers, notes = ask(standin, TEXT, "x", know=know)
    for answer, text in zip(answers, (TEXT, "x"), strict=True):
        assert isinstance(answer, list)
        assert answer[0].scores == pytest.approx(expected(text)) and answer[0].text == text
        assert answer[0].usage.prompt_tokens > 0
    assert not notes


def test_a_server_that_says_what_it_is_is_asked_in_its_own_way_only(standin: StandIn) -> None:
    standin.tells = standin.owner = "sglang"
    ask(standin, TEXT, know=True)
    assert [("text" in body) for body in standin.requests] == [True]


def test_the_way_that_worked_is_the_only_one_that_is_tried_again(standin: StandIn) -> None:
    standin.tells = "llamacpp"
    ask(standin, TEXT, "x", "y")
    assert sum("echo" in body for body in standin.requests) == 1  # llama.cpp echoes only what it generated
    assert sum("grammar" in body for body in standin.requests) == 3


def test_a_server_that_tells_nothing_is_asked_no_more_and_the_user_is_told_once(standin: StandIn) -> None:
    standin.tells = "nobody"
    answers, notes = ask(standin, *(f"{TEXT} {number}" for number in range(8)))
    assert all(isinstance(answer, list) and answer[0].finish_reason == NOT_TOLD for answer in answers)
    assert not any(answer[0].scores for answer in answers if isinstance(answer, list))
    assert len(notes) == 1 and notes[0].endswith(".") and standin.url in notes[0]
    before = len(standin.requests)
    assert before <= 3 * len(WAYS)


def test_one_odd_answer_does_not_make_a_server_silent(standin: StandIn) -> None:
    def odd(body: dict[str, Any], _attempt: int) -> web.Response | None:
        if "odd" in str(body.get("prompt")):
            return web.json_response({"choices": [{"text": "x", "logprobs": None}]})
        return None

    standin.fault = odd
    answers, notes = ask(standin, TEXT, "odd", "odd 1", "odd 2", "odd 3", "x")
    told = [isinstance(answer, list) and bool(answer[0].scores) for answer in answers]
    assert told == [True, False, False, False, False, True] and not notes


def test_faults_on_the_way_are_tried_again_and_long_prompts_are_refused(standin: StandIn) -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        prompt = str(body.get("prompt"))
        if "busy" in prompt and attempt < 3:
            return web.json_response({"error": {"message": "busy"}}, status=503)
        if "long" in prompt:
            return web.json_response({"error": {"message": "maximum context length is 10 tokens"}}, status=400)
        return None

    standin.fault = fault
    (busy, long, after), notes = ask(standin, "busy", "long", TEXT)
    assert isinstance(busy, list) and busy[0].scores
    assert isinstance(long, Refusal) and long.reason == "prompt-too-long"
    assert isinstance(after, list) and after[0].scores and not notes


@pytest.mark.parametrize(
    "broken",
    [
        web.json_response({"error": {"message": "echo is not implemented"}}, status=500),
        web.Response(text="<html>nothing here</html>", content_type="text/html"),
        web.json_response({"error": {"message": "forbidden"}}, status=403),
    ],
    ids=["error", "page", "forbidden"],
)
def test_a_server_that_fails_when_it_is_tried_is_not_asked_so(broken: web.Response) -> None:
    def fault(body: dict[str, Any], _attempt: int) -> web.Response | None:
        if not body.get("echo"):
            return None
        return web.Response(body=broken.body, status=broken.status, content_type=broken.content_type)

    with StandIn(fault=fault) as server:
        server.tells = "nobody"
        answers, notes = ask(server, *(f"{TEXT} {number}" for number in range(5)))
        assert all(isinstance(answer, list) and answer[0].finish_reason == NOT_TOLD for answer in answers)
        assert len(notes) == 1
    with StandIn(fault=fault) as server:
        server.tells = "llamacpp"
        answers, notes = ask(server, TEXT)
        assert isinstance(answers[0], list) and answers[0][0].scores and not notes


def test_of_several_servers_those_that_can_tell_are_asked(standin: StandIn) -> None:
    async def go(urls: Sequence[str]) -> list[list[Completion] | Refusal]:
        async with Client(Server(urls[0])) as one, Client(Server(urls[1])) as other:
            fleet = Fleet([one, other], concurrency=2)
            return await asyncio.gather(*(fleet.complete(request(f"{TEXT} {number}")) for number in range(40)))

    with StandIn() as unable:
        unable.tells = "nobody"
        for urls in ([standin.url, unable.url], [unable.url, standin.url]):
            answers = asyncio.run(go(urls))
            assert all(isinstance(answer, list) and answer[0].scores for answer in answers)


def test_text_that_is_cut_into_unreadable_tokens_is_told_by_the_rest() -> None:
    asked = Request("a\n", "m", 1, 0.0, 0, scored="Sort \U0001f34e by \u00e9 size")
    tokens = ["a", "\n", "Sort", " ", "\ufffd", "\ufffd", " by", " \ufffd", "\ufffd", " size", "!"]
    values: list[Any] = [None, *(-float(number) for number in range(1, len(tokens)))]
    found = read_scores("echo", echoed(tokens, values), asked)
    assert found is not None and found.scores == values[2:-1]
    garbage = read_scores("echo", echoed(["a"] + ["\ufffd"] * 40 + ["!"], [None] + [-1.0] * 41), asked)
    assert garbage is not None and not garbage.scores and garbage.usage.prompt_tokens == 3


def echoed(tokens: list[str], values: list[Any], generated: int = 1) -> dict[str, Any]:
    logprobs = {"tokens": tokens, "token_logprobs": values}
    return {"choices": [{"logprobs": logprobs}], "usage": {"prompt_tokens": 3, "completion_tokens": generated}}


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        (
            echoed(["<s>", "a", " b", " c", "!"], [None, -1, -2, -3, -9]),
            [-2.0, -3.0],
        ),  # a token of the server's own first
        (echoed(["a b", " c", "!"], [None, -3, -9]), []),  # the text's beginning is not told
        (echoed(["x", "a b", " c", "!"], [None, -1, -3, -9]), [-1.0, -3.0]),  # a token reaches into the text
        (echoed(["a", " b", " d", "!"], [None, -2, -3, -9]), []),  # another text
        (echoed(["!"], [-9]), None),  # only what was generated
        (echoed([], []), None),
        (echoed(["a", " b", " c", "!"], [None, "x", None, -9]), None),
        (echoed(["a", " b", " c", "!"], [None, float("nan"), -1, -9]), []),
        (echoed(["a", " b", " c", "!"], [None, float("-inf"), -1, -9]), []),
        (echoed(["a", " b", " c", "!"], [None, 5.0, -1, -9]), []),
        ({"choices": []}, None),
        ({"choices": [{"logprobs": {"tokens": 3, "token_logprobs": None}}]}, None),
        ([], None),
        (None, None),
        ("text", None),
    ],
)
def test_only_what_is_surely_the_text_is_believed(answer: Any, scores: list[float] | None) -> None:
    asked = Request("a", "m", 1, 0.0, 0, scored=" b c")
    found = read_scores("echo", answer, asked)
    assert (found.scores if found is not None else None) == scores


def test_a_grammar_s_answer_must_be_the_tokens_that_were_forced() -> None:
    asked = Request("a", "m", 1, 0.0, 0, scored=" b c")
    content = [{"id": 5, "logprob": -1.0}, {"id": 6, "logprob": -2.0}]
    answer = {"choices": [{"logprobs": {"content": content}}]}
    found = read_scores("grammar", answer, asked, [5, 6])
    assert found is not None and found.scores == [-1.0, -2.0]
    assert read_scores("grammar", answer, asked, [5, 7]) is None
    assert read_scores("grammar", answer, asked, [5]) is None
