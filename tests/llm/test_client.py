"""The client against a real HTTP server on loopback: faults have owners, streams end where they should."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from snipmill.errors import AuthenticationFailed, ModelNotFound, ServerError, ServerUnreachable
from snipmill.llm.client import Client, Server
from snipmill.llm.connect import choose_model
from snipmill.llm.fleet import Fleet
from snipmill.llm.request import Request
from snipmill.records import Completion, Refusal
from snipmill.text.sections import cut_after_tests, is_hopeless
from tests.standin import Fault, StandIn, answer_to

PROMPT = "## Example 1\n### Instruction\nAdd.\n\n### Response\n"


def request(prompt: Any = PROMPT, **changes: Any) -> Request:
    fields = {
        "prompt": prompt,
        "model": "stand-in",
        "max_tokens": 2000,
        "temperature": 0.7,
        "seed": 11,
        "stop": ("## Example",),
    }
    return Request(**{**fields, **changes})


def ask(url: str, *requests: Request, give_up: float = 1.0, **server: Any) -> list[Completion | Refusal]:
    """The first completion of each request, or its refusal."""

    async def go() -> list[Completion | Refusal]:
        async with Client(Server(url, **server)) as client:
            fleet = Fleet([client], give_up=give_up)
            answers = await asyncio.gather(*map(fleet.complete, requests))
            return [answer if isinstance(answer, Refusal) else answer[0] for answer in answers]

    return asyncio.run(go())


def test_a_completion_with_its_counts(standin: StandIn) -> None:
    (answer,) = ask(standin.url, request())
    assert isinstance(answer, Completion)
    assert answer.text == answer_to(standin.requests[0])
    assert (answer.finish_reason, answer.usage.prompt_tokens, answer.usage.cached_tokens) == ("stop", 7, 5)
    sent = standin.requests[0]
    assert (sent["max_tokens"], sent["temperature"], sent["seed"], sent["stop"]) == (2000, 0.7, 11, ["## Example"])


def test_chat_messages_go_to_the_chat_endpoint(standin: StandIn) -> None:
    messages = [{"role": "user", "content": "### Instruction\nAdd.\n\n### Response\n"}]
    whole, streamed = ask(standin.url, request(messages), request(messages, cut=lambda text: None))
    assert isinstance(whole, Completion) and isinstance(streamed, Completion)
    assert whole.text == streamed.text


def test_length_is_told(standin: StandIn) -> None:
    (answer,) = ask(standin.url, request(max_tokens=3))
    assert isinstance(answer, Completion)
    assert answer.finish_reason == "length" and not answer.stopped_by_itself


def test_a_stream_is_left_when_its_tests_are_closed(standin: StandIn) -> None:
    seed = next(seed for seed in range(100) if "[Tests]" in answer_to({"prompt": PROMPT, "seed": seed}))
    whole = answer_to({"prompt": PROMPT, "seed": seed})
    standin.pace = 0.003
    (answer,) = ask(standin.url, request(seed=seed, cut=cut_after_tests, hopeless=is_hopeless))
    assert isinstance(answer, Completion)
    assert answer.finish_reason == "cut" and answer.stopped_by_itself
    assert answer.text == whole.split("\nAnd then")[0].rstrip()
    assert 0 < answer.usage.completion_tokens < len(whole) / 4


def test_a_hopeless_stream_is_left_early() -> None:
    with StandIn() as server:
        (answer,) = ask(server.url, request(cut=lambda text: None, hopeless=lambda text: "[Implementation]" in text))
    assert isinstance(answer, Completion)
    assert answer.finish_reason == "hopeless" and not answer.stopped_by_itself
    assert "[Explanation]" not in answer.text


def fail_first(*faults: web.Response) -> Fault:
    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        return faults[attempt - 1] if attempt <= len(faults) else None

    return fault


@pytest.mark.parametrize(
    "fault",
    [
        web.json_response({"error": {"message": "busy"}}, status=500),
        web.json_response({"error": "overloaded"}, status=503),
        web.json_response({}, status=429, headers={"Retry-After": "0.1"}),
        web.Response(text="<html>bad gateway</html>", status=502),
        web.Response(body=b'{"choices": [{"text": "tru', content_type="application/json"),
        web.Response(body=b'{"id": 1}', content_type="application/json"),
        web.Response(body=b'{"choices": []}', content_type="application/json"),
        web.json_response({}, status=408),
    ],
    ids=lambda fault: f"{fault.status}-{(fault.body or b'')[:20]!r}",
)
def test_a_fault_of_the_moment_is_tried_again(fault: web.Response) -> None:
    with StandIn(fault=lambda body, attempt: _copy(fault) if attempt <= 2 else None) as server:
        (answer,) = ask(server.url, request())
        assert isinstance(answer, Completion)
        assert answer.text == answer_to(server.requests[0])
        assert len(server.requests) == 3


def _copy(response: web.Response) -> web.Response:
    return web.Response(body=response.body, status=response.status, headers=response.headers.copy())


def test_empty_answers_are_asked_again_with_another_seed_and_then_refused() -> None:
    empty = {"choices": [{"text": None, "finish_reason": "stop"}]}
    with StandIn(fault=lambda body, attempt: web.json_response(empty) if body["seed"] == 11 else None) as server:
        (answer,) = ask(server.url, request())
        assert isinstance(answer, Completion) and answer.text
        assert server.requests[0]["seed"] == 11 != server.requests[1]["seed"]
    with StandIn(fault=lambda body, attempt: web.json_response(empty)) as server:
        (refused,) = ask(server.url, request())
        assert isinstance(refused, Refusal) and refused.reason == "empty-completion"


def test_a_request_of_its_own_fault_is_refused_once_and_nobody_waits() -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        if "long" in body["prompt"]:
            return web.json_response({"error": {"message": "maximum context length exceeded"}}, status=400)
        return None

    with StandIn(fault=fault) as server:
        refused, fine = ask(server.url, request("long"), request())
        assert isinstance(refused, Refusal) and refused.reason == "prompt-too-long"
        assert isinstance(fine, Completion)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationFailed), (403, AuthenticationFailed), (404, ModelNotFound), (418, ServerError)],
)
def test_what_no_request_can_survive_stops_at_once(status: int, error: type[Exception]) -> None:
    with StandIn(fault=lambda body, attempt: web.json_response({"error": {"message": "no"}}, status=status)) as server:
        with pytest.raises(error, match="no"):
            ask(server.url, request())
        assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
        ask("http://127.0.0.1:9/v1", request(), give_up=0.5)


def test_a_dropped_connection_is_taken_up_again() -> None:
    class Drop(web.Response):
        async def prepare(self, request: web.BaseRequest) -> Any:
            assert request.transport is not None
            request.transport.abort()

    with StandIn(fault=lambda body, attempt: Drop() if attempt == 1 else None) as server:
        (answer,) = ask(server.url, request())
        assert isinstance(answer, Completion)


def test_lone_surrogates_do_not_break_a_request(standin: StandIn) -> None:
    (answer,) = ask(standin.url, request("x\ud800\n### Response\n"))
    assert isinstance(answer, Completion)
    assert standin.requests[0]["prompt"] == "x?\n### Response\n"


def test_the_model_is_the_one_that_is_served() -> None:
    assert choose_model(["a"], None, "u") == "a"
    assert choose_model(["a", "b"], "b", "u") == "b"
    for served, wanted in ((["a", "b"], None), ([], None), (["a"], "c")):
        with pytest.raises(ModelNotFound, match="--model"):
            choose_model(served, wanted, "u")
