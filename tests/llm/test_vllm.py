"""The managed vLLM: a real child process that speaks its protocol stands where the real one would.

The real one is tested by hand, with benchmarks/real_vllm.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from snipmill.config_model import ModelTable
from snipmill.errors import ModelUnavailable, UsageError
from snipmill.llm.connect import Connection, connect
from snipmill.llm.request import Request

SERVER = """
    import argparse, os, signal, sys
    from pathlib import Path
    from aiohttp import web

    parser = argparse.ArgumentParser()
    for name in ("--model", "--host", "--max-model-len"):
        parser.add_argument(name)
    parser.add_argument("--port", type=int)
    parser.add_argument("--enable-prefix-caching", action="store_true")
    parser.add_argument("--enable-prompt-tokens-details", action="store_true")
    args = parser.parse_args()
    starts = Path(args.model)
    starts.open("a").write(f"{os.getpid()}\\n")
    print("loading weights", flush=True)
    if args.max_model_len == "0":
        sys.exit("ValueError: max_model_len must be positive")
    key = os.environ["VLLM_API_KEY"]

    async def health(request):
        return web.Response()

    async def models(request):
        assert request.headers["Authorization"] == f"Bearer {key}"
        return web.json_response({"data": [{"id": args.model, "owned_by": "vllm"}]})

    async def complete(request):
        assert request.headers["Authorization"] == f"Bearer {key}"
        body = await request.json()
        usage = {"prompt_tokens": 5, "completion_tokens": 3}
        if not body.get("stream"):
            return web.json_response({"choices": [{"text": "a b c", "finish_reason": "stop"}], "usage": usage})
        assert body["stream_options"]["continuous_usage_stats"] and body["stream_interval"] == 8
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(
            b'data: {"choices": [{"index": 0, "text": "one two]"}], "usage": {"prompt_tokens": 5, "completion_tokens": 8}}\\n\\n'
        )
        try:
            while True:
                await response.write(
                    b'data: {"choices": [{"index": 0, "text": " and on"}], "usage": {"prompt_tokens": 5, "completion_tokens": 16}}\\n\\n'
                )
                await __import__("asyncio").sleep(0.01)
        except ConnectionResetError:
            pass
        return response

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/completions", complete)
    web.run_app(app, host=args.host, port=args.port, print=None)
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelTable:
    module = tmp_path / "packages" / "vllm" / "entrypoints" / "openai" / "api_server.py"
    module.parent.mkdir(parents=True)
    module.write_text(textwrap.dedent(SERVER))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    return ModelTable(serve="vllm", name=str(tmp_path / "starts"), give_up=5.0)


def processes(table: ModelTable) -> list[int]:
    return [int(line) for line in Path(str(table.name)).read_text().split()]


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def within(table: ModelTable, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with connect(table) as connection:
            return await work(connection)

    return asyncio.run(asyncio.wait_for(go(), 60))


def request(connection: Connection, **changes: Any) -> Request:
    fields = {"prompt": "x", "model": connection.model, "max_tokens": 100, "temperature": 0.7, "seed": 1}
    return Request(**{**fields, **changes})


async def ask(connection: Connection) -> Any:
    return await connection.fleet.complete(request(connection))


def test_it_is_started_asked_and_ended(table: ModelTable) -> None:
    (answer,) = within(table, ask)
    assert answer.text == "a b c"
    (process,) = processes(table)
    assert not running(process)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_it_ends_with_us_however_we_end(table: ModelTable, tmp_path: Path, how: int) -> None:
    (tmp_path / "seeds").write_text('{"seed": "def f(x):\\n    return x\\n"}\n')
    config = f'[run]\ndir = "run"\n[seeds]\nsources = ["seeds"]\n[model]\nserve = "vllm"\nname = "{table.name}"\n'
    (tmp_path / "c.toml").write_text(config + "[generate]\naccept = 0\n")
    # Answers come without end, so that the run is still at work when it is ended.
    us = subprocess.Popen([sys.executable, "-m", "snipmill", "run", "c.toml"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    waited_for(lambda: Path(str(table.name)).exists() and processes(table) != [])
    us.send_signal(how)
    us.wait(30)
    waited_for(lambda: not running(processes(table)[0]))


def waited_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_streams_ask_for_what_vllm_can_do_and_count_what_was_paid(table: ModelTable) -> None:
    async def work(connection: Connection) -> Any:
        cut = request(connection, cut=lambda text: "one two" if "]" in text else None)
        return await connection.fleet.complete(cut)

    (answer,) = within(table, work)
    assert (answer.text, answer.finish_reason) == ("one two", "cut")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 8)


def test_it_is_started_again_once_and_then_the_run_stops(table: ModelTable) -> None:
    async def work(connection: Connection) -> Any:
        os.kill(processes(table)[0], signal.SIGKILL)
        (answer,) = await ask(connection)
        assert answer.text == "a b c"
        await asyncio.sleep(1)  # until it is known to be healthy again
        os.kill(processes(table)[1], signal.SIGKILL)
        return await ask(connection)

    with pytest.raises(ModelUnavailable, match=r"(?s)died twice.*loading weights"):
        within(table, work)
    assert len(processes(table)) == 2 and not any(map(running, processes(table)))


def test_a_server_that_cannot_start_shows_the_end_of_its_log(table: ModelTable) -> None:
    broken = ModelTable(serve="vllm", name=table.name, serve_args=("--max-model-len", "0"))
    with pytest.raises(ModelUnavailable, match="max_model_len must be positive"):
        within(broken, ask)


def test_what_is_missing_is_said(tmp_path: Path, table: ModelTable, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="name"):
        within(ModelTable(serve="vllm"), ask)
    with pytest.raises(ModelUnavailable, match="cannot be started"):
        within(ModelTable(serve="vllm", name="m", serve_python=str(tmp_path / "python")), ask)
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(ModelUnavailable, match="not installed"):
        within(ModelTable(serve="vllm", name="m", serve_python=sys.executable), ask)
