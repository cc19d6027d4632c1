"""Stages and their servers: the same servers are one fleet, and each stage has its model."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from aiohttp import web

from snipmill.config_model import ModelTable
from snipmill.errors import ModelNotFound
from snipmill.llm.connect import Connections, connect_stages
from tests.standin import StandIn


def connected(tables: dict[str, ModelTable]) -> Connections:
    async def go() -> Connections:
        async with connect_stages(tables) as connections:
            return connections

    return asyncio.run(go())


def test_stages_of_one_server_share_a_fleet() -> None:
    with StandIn() as server, StandIn("other") as other:
        table = ModelTable(base_url=server.url)
        found = connected({"a": table, "b": table, "c": ModelTable(base_url=other.url)})
    assert len(found.fleets) == 2 and found.by_stage["a"].fleet is found.by_stage["b"].fleet
    assert found.models == {"a": "stand-in", "b": "stand-in", "c": "other"}
    assert found.description.count(server.url) == 1 and found.description.count(other.url) == 1


def test_other_headers_are_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "x")
    with StandIn() as server:
        table = ModelTable(base_url=server.url)
        assert len(connected({"a": table, "b": msgspec.structs.replace(table, headers={"X": "TEAM"})}).fleets) == 2


def test_models_of_one_server_are_told_apart() -> None:
    async def models(_: web.Request) -> web.StreamResponse:
        return web.json_response({"data": [{"id": "one"}, {"id": "two"}]})

    async def go(first: str | None, second: str | None) -> dict[str, str]:
        app = web.Application()
        app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            tables = {"a": ModelTable(base_url=url, name=first), "b": ModelTable(base_url=url, name=second)}
            async with connect_stages(tables) as connections:
                assert len(connections.fleets) == 1
                return connections.models
        finally:
            await runner.cleanup()

    assert asyncio.run(go("one", "two")) == {"a": "one", "b": "two"}
    for first, second in ((None, "two"), ("two", None)):
        with pytest.raises(ModelNotFound, match="several models"):
            asyncio.run(go(first, second))
    with pytest.raises(ModelNotFound, match="does not serve 'three'"):
        asyncio.run(go("one", "three"))
