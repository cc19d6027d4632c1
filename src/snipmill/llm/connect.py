"""From a configuration to a client that can be asked: a given server, or the embedded one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from snipmill.config import ModelTable
from snipmill.errors import ModelNotFound
from snipmill.llm.client import Client, Server
from snipmill.llm.embedded import serve
from snipmill.llm.weights import find_weights

MAX_SLOTS = 4


@dataclass(frozen=True)
class Connection:
    """A client, and how to use it.

    Attributes:
        client: what to ask.
        model: the model's name.
        concurrency: how many requests to keep in flight.
        description: in one phrase, which model this is and where.
        shares_prefixes: whether the server's slots share the cache of a common prefix. Where they do not, the stages with
            long prompts go one request at a time, so that each prefix is computed once and not in every slot.
    """

    client: Client
    model: str
    concurrency: int
    description: str
    shares_prefixes: bool = True


@contextlib.asynccontextmanager
async def connect(table: ModelTable) -> AsyncIterator[Connection]:
    """A connection for as long as the block runs; the embedded server lives no longer.

    Raises:
        ModelUnavailable, ServerUnreachable, AuthenticationFailed, ModelNotFound: there is no such server or model.
    """
    base_url = table.base_url or os.environ.get("OPENAI_BASE_URL") or None
    if base_url is not None:
        server = Server(base_url, os.environ.get("OPENAI_API_KEY") or None, timeout=table.timeout)
        async with Client(server) as client:
            model = choose_model(await client.models(), table.name, base_url)
            yield Connection(client, model, table.concurrency, f"{model} at {base_url}")
        return
    weights = await asyncio.to_thread(find_weights, table.name)
    slots = min(table.concurrency, MAX_SLOTS)
    async with serve(weights, slots=slots, context=table.context) as server, Client(server) as client:
        description = f"{weights.name} (embedded, from {weights.origin})"
        yield Connection(client, weights.name, slots, description, shares_prefixes=False)


def choose_model(served: list[str], wanted: str | None, base_url: str) -> str:
    """The model to ask for.

    Raises:
        ModelNotFound: the wanted one is not served, or none is wanted and there are several.
    """
    listed = ", ".join(served) or "none"
    if wanted is not None:
        if served and wanted not in served:
            raise ModelNotFound(
                f"The server at {base_url} does not serve {wanted!r}; it serves {listed}. Choose with --model."
            )
        return wanted
    if len(served) != 1:
        raise ModelNotFound(
            f"The server at {base_url} serves several models or none ({listed}). Choose one with --model."
        )
    return served[0]
