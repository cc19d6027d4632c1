"""What servers say under HTTP 200 is not believed, and what they refuse by name is left out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from snipmill.config_model import ModelTable
from snipmill.errors import ModelNotFound, ServerError
from snipmill.llm.client import Client, Server
from snipmill.llm.connect import connect
from snipmill.llm.fleet import Fleet
from snipmill.llm.request import Request
from snipmill.records import Completion, Refusal
from snipmill.text.sections import cut_after_tests, is_hopeless
from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines
from tests.standin import Fault, StandIn, answer_to

PROMPT = "## Example 1\n### Instruction\nAdd.\n\n### Response\n"
CHAT = [
    {"role": "system", "content": "You add."},
    {"role": "user", "content": "### Instruction\nAdd.\n\n### Response\n"},
]


def request(prompt: Any = PROMPT, **changes: Any) -> Request:
    fields = {"prompt": prompt, "model": "stand-in", "max_tokens": 2000, "temperature": 0.7, "seed": 11}
    return Request(**{**fields, "stop": ("## Example",), **changes})


def ask(server: StandIn, *requests: Request, **settings: Any) -> tuple[list[Completion | Refusal], list[str]]:
    """The first completion of each request, or its refusal; and what was left out."""

    async def go() -> tuple[list[Completion | Refusal], list[str]]:
        async with Client(Server(server.url, **settings)) as client:
            fleet = Fleet([client], give_up=2.0)
            answers = [await fleet.complete(one) for one in requests]
            return [answer if isinstance(answer, Refusal) else answer[0] for answer in answers], fleet.notes

    return asyncio.run(go())


def whole(text: str, finish: Any = "stop", **more: Any) -> web.Response:
    return web.json_response({"choices": [{"index": 0, "text": text, "finish_reason": finish}], **more})


def events(*values: Any, done: bool = True) -> web.Response:
    lines = [f"data: {json.dumps(value)}\n\n" for value in values] + (["data: [DONE]\n\n"] if done else [])
    return web.Response(text="".join(lines), content_type="text/event-stream")


def chunk(text: str, finish: Any = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish}]}


def first(times: int, make: Callable[[], web.Response]) -> Fault:
    """The first answers are what a test makes; after them the server is well."""
    seen: list[int] = []

    def fault(body: dict[str, Any], attempt: int) -> Any:
        seen.append(attempt)
        return make() if len(seen) <= times else None

    return fault


BROKEN: dict[str, Callable[[], web.Response]] = {
    "aborted": lambda: whole("[Reasoning]\nx", "abort"),
    "an error as the reason": lambda: whole("[Reasoning]\nx", "error"),
    "a shutdown": lambda: whole("[Reasoning]\nx", "shutdown"),
    "aborted in a stream": lambda: events(chunk("[Reasoning]\n"), chunk("x", "abort")),
    "an error event": lambda: events(chunk("[Reasoning]\n"), {"error": {"message": "engine died", "code": 500}}),
    "an error body": lambda: web.json_response({"error": {"message": "overloaded", "type": "server_error"}}),
    "an old error body": lambda: web.json_response({"object": "error", "message": "worker lost", "code": 503}),
    "an error that is a sentence": lambda: web.json_response({"error": "worker lost"}),
    "a nameless error event": lambda: events(chunk("[Reasoning]\n"), {"message": "engine died", "code": 500}),
    "a typed error event": lambda: events(chunk("[Reasoning]\n"), {"type": "error", "message": "engine died"}),
    "an error about permissions of a disk": lambda: web.json_response({"error": {"message": "no permission for /tmp"}}),
    "an odd status": lambda: web.json_response({"error": {"message": "gone", "code": 499}}),
    "null choices": lambda: web.json_response({"choices": None}),
    "a null choice": lambda: web.json_response({"choices": [None]}),
    "no reason and a text that was cut": lambda: whole("[Reasoning]\nx", ""),
    "a stream without a reason that was cut": lambda: events(chunk("[Reasoning]\n"), chunk("x")),
    "a stream that just ends": lambda: events(chunk("[Reasoning]\nx"), done=False),
    "a page": lambda: web.Response(text="<html>sign in</html>", content_type="text/html"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_was_broken_off_is_asked_again(name: str) -> None:
    with StandIn(fault=first(2, BROKEN[name])) as server:
        (answer,), _ = ask(server, request(cut=cut_after_tests, hopeless=is_hopeless))
        assert isinstance(answer, Completion), answer
        assert answer.finish_reason in ("stop", "cut", "hopeless")
        assert answer_to(server.requests[0]).startswith(answer.text)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "more",
    [
        {"error": ""},
        {"error": {}},
        {"error": False},
        {"usage": []},
        {"usage": {"completion_tokens": "12", "prompt_tokens": 3.0, "prompt_tokens_details": 3}},
        {"timings": {"prompt_n": None}},
        {"object": 3, "type": None, "code": "x"},
    ],
    ids=str,
)
def test_fields_that_nobody_needs_may_be_odd(more: dict[str, Any]) -> None:
    with StandIn(fault=lambda body, attempt: whole("a, b", **more)) as server:
        (answer,), _ = ask(server, request())
        assert isinstance(answer, Completion) and answer.text == "a, b"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "word",
    ["end_turn", "FinishReason.STOP", "end_of_text", "STOP", "eos", "eos_token", "stop_sequence", "completed", "Stop"],
)
def test_words_for_a_finished_text_are_known(word: str) -> None:
    with StandIn(fault=lambda body, attempt: whole("a, b", word)) as server:
        (answer,), _ = ask(server, request())
    assert isinstance(answer, Completion) and (answer.text, answer.finish_reason) == ("a, b", "stop")


@pytest.mark.parametrize("word", ["MAX_TOKENS", "max_tokens", "length", "model_length"])
def test_words_for_a_text_that_was_too_long_are_known(word: str) -> None:
    with StandIn(fault=lambda body, attempt: whole("a, b", word)) as server:
        (answer,), _ = ask(server, request())
    assert isinstance(answer, Completion) and answer.finish_reason == "length"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_whole_response_without_a_reason_is_taken_and_paid_once(streamed: bool) -> None:
    def made(body: dict[str, Any], attempt: int) -> web.Response:
        return events(chunk(RESPONSE + "\n")) if streamed else whole(RESPONSE, None)

    with StandIn(fault=made) as server:
        (answer,), _ = ask(server, request(cut=cut_after_tests), stream=streamed)
        assert isinstance(answer, Completion) and answer.stopped_by_itself
        assert answer.text.strip() == RESPONSE
        assert len(server.requests) == 1


def test_a_list_without_a_reason_is_taken() -> None:
    with StandIn(fault=lambda body, attempt: whole("a, b", None)) as server:
        (answer,), _ = ask(server, request())
    assert isinstance(answer, Completion) and answer.stopped_by_itself and answer.text == "a, b"


def test_the_other_form_than_was_asked_for_is_read() -> None:
    form = {"cut": cut_after_tests}
    with StandIn(fault=lambda body, attempt: whole(RESPONSE + "\nAnd") if body["stream"] else None) as server:
        (answer,), _ = ask(server, request(**form))
        assert isinstance(answer, Completion) and answer.text == RESPONSE
    with StandIn(
        fault=lambda body, attempt: None if body["stream"] else events(chunk("a, "), chunk("b", "stop"))
    ) as server:
        (answer,), _ = ask(server, request())
        assert isinstance(answer, Completion) and answer.text == "a, b"


@pytest.mark.parametrize(
    "text", ["a, b\n## Example 3\n### Snippet", "a, b<|im_end|>", "a, b</s>\n", "a, b<|endoftext|><|im_end|>"]
)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_stop_strings_and_special_tokens_are_cut_off_by_us(text: str, finish: str) -> None:
    with StandIn(fault=lambda body, attempt: whole(text, finish)) as server:
        (answer,), _ = ask(server, request())
    assert isinstance(answer, Completion) and answer.text.strip() == "a, b"
    assert answer.stopped_by_itself == (finish == "stop" or "Example" in text)


def test_a_stream_is_left_at_a_stop_string_that_the_server_ignores() -> None:
    texts = ["[Reasoning]\n", "x\n", "## Exam", "ple 2\n", *["more\n"] * 50]
    with StandIn(fault=lambda body, attempt: events(*map(chunk, texts), chunk("", "length"))) as server:
        (answer,), _ = ask(server, request(cut=cut_after_tests))
    assert isinstance(answer, Completion) and answer.text == "[Reasoning]\nx\n"


def refusing(*names: str, message: str = "Unrecognized request argument supplied: {}") -> Fault:
    """A server that refuses the first of these parameters that it finds."""

    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        found = next((name for name in names if body.get(name) is not None), None)
        return None if found is None else web.json_response({"error": {"message": message.format(found)}}, status=400)

    return fault


def test_optional_parameters_that_are_refused_by_name_are_left_out_once() -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        refused = refusing("seed", "stream_options")(body, attempt)
        return refused or (whole("a, b") if "seed" not in body else None)

    with StandIn(fault=fault) as server:
        answers, notes = ask(server, request(cut=lambda text: None), request(seed=12))
        assert all(isinstance(answer, Completion) for answer in answers)
        assert len(server.requests) == 4  # two refusals, then each request once
        assert len(notes) == 2 and "`seed`" in notes[0] and server.url in notes[0]


def test_a_prompt_that_is_too_long_teaches_nothing() -> None:
    message = (
        "'max_tokens' or 'max_completion_tokens' is too large: 1536. This model's maximum context length is 4096 tokens and "
        "your request has 3000 input tokens; seed, stop and stream do not matter."
    )

    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        return web.json_response({"error": {"message": message}}, status=400) if body["seed"] == 1 else None

    with StandIn(fault=fault) as server:
        answers, notes = ask(server, request(seed=1), request(), request(seed=12))
        assert isinstance(answers[0], Refusal) and answers[0].reason == "prompt-too-long" and not notes
        assert all(body["max_tokens"] == 2000 for body in server.requests)


def test_a_refusal_that_repeats_the_request_teaches_nothing() -> None:
    detail = [{"type": "value_error", "loc": ["body", "prompt"], "msg": "odd", "input": {"seed": 1, "stop": ["x"]}}]

    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        return web.json_response({"detail": detail}, status=422) if body["seed"] == 1 else None

    with StandIn(fault=fault) as server:
        answers, notes = ask(server, request(seed=1), request())
        assert isinstance(answers[0], Refusal) and answers[0].detail == "HTTP 422: body.prompt: odd" and not notes
        assert len(server.requests) == 2


def test_refusals_that_are_faster_than_answers_do_not_stop_a_run() -> None:
    async def slow(_: Any) -> None:
        await asyncio.sleep(0.3)

    def fault(body: dict[str, Any], attempt: int) -> Any:
        if body["seed"] < 8:
            return web.json_response({"error": {"message": "flagged by the filter"}}, status=400)
        return slow(body)

    async def go(url: str) -> list[Any]:
        async with Client(Server(url)) as client:
            fleet = Fleet([client])
            return await asyncio.gather(*(fleet.complete(request(seed=seed)) for seed in range(30)))

    with StandIn(fault=fault) as server:
        answers = asyncio.run(go(server.url))
    assert sum(isinstance(answer, Refusal) for answer in answers) == 8


def test_a_server_that_cannot_stream_is_asked_for_the_whole() -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        if body["stream"]:
            return web.json_response({"error": "streaming is not supported"}, status=400)
        return whole(RESPONSE)

    with StandIn(fault=fault) as server:
        (answer,), notes = ask(server, request(cut=cut_after_tests))
        assert isinstance(answer, Completion) and answer.text == RESPONSE
        assert len(notes) == 1 and "streams" in notes[0]


def test_a_server_without_system_messages_gets_the_sentence_in_the_first_question() -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        if body["messages"][0]["role"] == "system":
            return web.json_response({"error": {"message": "System role not supported"}}, status=400)
        return None

    with StandIn(fault=fault) as server:
        (answer,), notes = ask(server, request(CHAT))
        assert isinstance(answer, Completion) and "system messages" in notes[0]
        (message,) = server.requests[-1]["messages"]
        assert message["role"] == "user" and message["content"].startswith("You add.\n\n### Instruction")


def test_the_newer_name_of_max_tokens_is_learned() -> None:
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with StandIn() as server:
        server.fault = lambda body, attempt: (
            refusing("max_tokens", message=message)(body, attempt) or whole(str(body["max_completion_tokens"]))
        )
        (answer,), _ = ask(server, request(CHAT))
    assert isinstance(answer, Completion) and answer.text == "2000"


def test_a_context_without_room_for_a_thought_is_asked_without_it() -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        message = "This model's maximum context length is 4096 tokens."
        return web.json_response({"error": {"message": message}}, status=400) if body["max_tokens"] > 2000 else None

    with StandIn(fault=fault) as server:
        (answer,), notes = ask(server, request(CHAT, max_thinking=4000))
        assert isinstance(answer, Completion) and not notes
        assert [body["max_tokens"] for body in server.requests] == [6000, 2000]


@pytest.mark.parametrize(
    "models",
    [
        ["stand-in"],
        [{"id": "stand-in"}, None],
        {"data": [{"id": None}, {"id": "stand-in"}]},
        {"models": [{"name": "stand-in"}]},
    ],
)
def test_lists_of_models_have_many_shapes(models: Any) -> None:
    assert asyncio.run(_connected_model(web.json_response(models), None)) == "stand-in"


@pytest.mark.parametrize(
    "answer", [(404, "not found"), (200, "null"), (200, "<html>"), (200, '{"data": null}'), (500, "")]
)
def test_a_list_of_models_does_not_matter_where_the_model_is_named(answer: tuple[int, str]) -> None:
    status, text = answer
    assert asyncio.run(_connected_model(web.Response(status=status, text=text), "any")) == "any"
    with pytest.raises((ServerError, ModelNotFound)):
        asyncio.run(_connected_model(web.Response(status=status, text=text), None))


async def _connected_model(answer: web.Response, wanted: str | None) -> str:
    async def models(_: web.Request) -> web.Response:
        return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        table = ModelTable(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1", name=wanted)
        async with connect(table) as connection:
            return connection.model
    finally:
        await runner.cleanup()


def run_file(folder: Path, url: str, more: str = "", count: int = 8) -> None:
    seeds = [{"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(count)]
    write_lines(folder / "seeds.jsonl", *seeds)
    (folder / "c.toml").write_text(
        f'[run]\ndir = "run"\n[seeds]\nsources = ["seeds.jsonl"]\n[generate]\nsamples = 2\naccept = 0\n[model]\nbase_url = "{url}"\n{more}'
    )


@pytest.mark.parametrize(("count", "asked"), [(300, 100), (2, 2)])
@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("max_tokens is too large: 1536. This model supports at most 512 completion tokens", "model.max_tokens"),
        ("temperature must be 1 for this model", "model.sampling.temperature"),
    ],
)
def test_the_same_refusal_for_everyone_stops_the_run(
    tmp_path: Path, snipmill: Snipmill, message: str, key: str, count: int, asked: int
) -> None:
    refusal = {"error": {"message": message}}
    with StandIn(fault=lambda body, attempt: web.json_response(refusal, status=400)) as server:
        run_file(tmp_path, server.url, count=count)
        done = snipmill("run", "c.toml")
        assert done.returncode == 3, done.stderr
        assert message in " ".join(done.stderr.split()) and key in done.stderr
        assert len(server.requests) <= asked
        server.fault = None
        assert snipmill("run", "c.toml").returncode == 0  # everything goes on, once the server takes it


def test_a_few_that_are_refused_again_do_not_fail_a_finished_run(tmp_path: Path, snipmill: Snipmill) -> None:
    def fault(body: dict[str, Any], attempt: int) -> web.Response | None:
        if "f0(x)" in str(body["prompt"]).rpartition("### Snippet")[2]:
            return web.json_response({"error": {"message": "maximum context length is 10"}}, status=400)
        return None

    with StandIn(fault=fault) as server:
        run_file(tmp_path, server.url)
        for _ in range(2):
            done = snipmill("run", "c.toml")
            assert done.returncode == 0, done.stderr
        rejects = read_lines(tmp_path / "run" / "concepts.jsonl.rejects.jsonl")
        assert [reject["reason"] for reject in rejects] == ["prompt-too-long"]


def test_what_is_left_out_is_told_and_recorded(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn(fault=refusing("stop")) as server:
        run_file(tmp_path, server.url)
        done = snipmill("run", "c.toml")
        assert done.returncode == 0, done.stderr
        assert "`stop`" in done.stderr
        manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
        assert len(manifest["left_out"]) == 1 and "`stop`" in manifest["left_out"][0]
        assert read_lines(tmp_path / "run" / "dataset.jsonl")


def test_a_journal_with_faults_of_an_earlier_version_is_asked_again(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        run_file(tmp_path, server.url, count=3)
        assert snipmill("run", "c.toml").returncode == 0
        expected = (tmp_path / "run" / "dataset.jsonl").read_bytes()
        journal = tmp_path / "run" / "journal" / "concepts.jsonl"
        entries = [json.loads(line) for line in journal.read_text().splitlines()]
        entries[0]["completion"] |= {"finish_reason": "abort", "text": "addi"}
        entries[0]["outcome"] = "not-finished"
        journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        asked = len(server.requests)
        assert snipmill("run", "c.toml").returncode == 0
        assert len(server.requests) == asked + 1
        assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == expected
