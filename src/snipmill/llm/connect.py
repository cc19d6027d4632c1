"""Connects to the configured servers: given addresses, a vLLM server that we start, or the embedded server."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from snipmill.config import ModelTable
from snipmill.errors import ModelNotFound, ServerUnreachable, UsageError
from snipmill.llm.client import Client, Server
from snipmill.llm.concurrency import MAX_CONCURRENCY
from snipmill.llm.embedded import serve
from snipmill.llm.fleet import Fleet
from snipmill.llm.vllm import serve_vllm
from snipmill.llm.weights import find_weights

MAX_SLOTS = 4
_EMBEDDED_GIVE_UP = 60.0  # seconds; a child process that stops answering does not recover


@dataclass(frozen=True)
class Connection:
    """A fleet, and how to use it.

    Attributes:
        fleet: the servers that take the requests.
        model: the model's name.
        most: maximum number of requests in flight, however many the servers turn out to sustain.
        description: a short description of the model and where it runs.
        shares_prefixes: whether the server's slots share one prefix cache. If not, the stages with long prompts send
            one request at a time, so that each prefix is computed once and not in every slot.
    """

    fleet: Fleet
    model: str
    max_in_flight: int
    description: str
    shares_prefixes: bool = True


@contextlib.asynccontextmanager
async def connect(table: ModelTable) -> AsyncIterator[Connection]:
    """Provide a connection while the block runs; servers that we start are stopped at its end.

    Raises:
        ModelUnavailable, ServerUnreachable, AuthenticationFailed, ModelNotFound: there is no such server or model.
    """
    async with contextlib.AsyncExitStack() as stack:
        addresses = server_addresses(table)
        if table.serve == "vllm":
            managed = await stack.enter_async_context(serve_vllm(table))
            client = await stack.enter_async_context(Client(managed.server))
            model = choose_model(await client.models(), None, managed.server.base_url)
            description = f"{model} (vLLM, started here)"
            fleet = Fleet([client], concurrency=table.concurrency, give_up=table.give_up)
            managed.dead.add_done_callback(lambda dead: None if dead.cancelled() else fleet.fail(dead.result()))
            yield Connection(fleet, model, table.concurrency or MAX_CONCURRENCY, description)
        elif addresses:
            key = _key()
            servers = [Server(address, key, timeout=table.timeout, stream=table.stream) for address in addresses]
            clients = [await stack.enter_async_context(Client(server)) for server in servers]
            fleet, model = await _gather(clients, table)
            most = (table.concurrency or MAX_CONCURRENCY) * len(clients)
            yield Connection(fleet, model, most, f"{model} at {', '.join(addresses)}")
        else:
            weights = await asyncio.to_thread(find_weights, table.name)
            slots = min(table.concurrency or MAX_SLOTS, MAX_SLOTS)
            server = await stack.enter_async_context(serve(weights, slots=slots, context=table.context))
            client = await stack.enter_async_context(Client(server))
            description = f"{weights.name} (embedded, from {weights.origin})"
            fleet = Fleet([client], concurrency=slots, give_up=_EMBEDDED_GIVE_UP)
            yield Connection(fleet, weights.name, slots, description, shares_prefixes=False)


def _key() -> str | None:
    """The API key for the servers, or None.

    Raises:
        UsageError: the key is not printable ASCII.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()  # a mounted secret often ends with a newline
    if not key.isprintable() or not key.isascii():
        raise UsageError("OPENAI_API_KEY contains characters that are not printable ASCII. Set it to the key alone.")
    return key or None


def server_addresses(table: ModelTable) -> tuple[str, ...]:
    """The addresses of the given servers; empty if a server is to be started.

    Raises:
        UsageError: an address contains a user name or a password.
    """
    given = table.base_url if table.base_url is not None else os.environ.get("OPENAI_BASE_URL", "")
    addresses = tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given
    for address in addresses:
        if "@" in address.partition("://")[2].partition("/")[0]:
            raise UsageError(
                f"The address of the server at {address.rpartition('@')[2]} contains a user name or a password, which "
                "would be saved in the run. Remove it from the address, and set OPENAI_API_KEY instead."
            )
    return addresses


async def _gather(clients: list[Client], table: ModelTable) -> tuple[Fleet, str]:
    """Ask each server for its models. At least one must be reachable now; the others may become reachable later."""
    found: dict[str, list[str]] = {}
    missing: list[ServerUnreachable] = []
    for client in clients:
        try:
            found[client.url] = await client.models()
        except ServerUnreachable as error:
            missing.append(error)
    if not found:
        raise missing[0]
    chosen = {choose_model(served, table.name, address) for address, served in found.items()}
    if len(chosen) > 1:
        raise ModelNotFound(
            f"The servers serve different models ({', '.join(sorted(chosen))}). Choose one common to all with --model."
        )
    return Fleet(clients, concurrency=table.concurrency, give_up=table.give_up), chosen.pop()


def choose_model(served: list[str], wanted: str | None, base_url: str) -> str:
    """Choose the model to request.

    Raises:
        ModelNotFound: the wanted model is not served, or none is named and the server does not serve exactly one.
    """
    listed = ", ".join(served) or "none"
    if wanted is not None:
        if served and wanted not in served:
            raise ModelNotFound(
                f"The server at {base_url} does not serve {wanted!r}; it serves {listed}. Choose one with --model."
            )
        return wanted
    if len(served) != 1:
        raise ModelNotFound(
            f"The server at {base_url} serves several models or none ({listed}). Choose one with --model."
        )
    return served[0]
