"""Connects to the configured servers: given addresses, a vLLM server that we start, or the embedded server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from snipmill.config_model import ModelTable
from snipmill.errors import AuthenticationFailed, ModelNotFound, ServerError, ServerUnreachable, UsageError
from snipmill.llm.client import Client, Server
from snipmill.llm.concurrency import MAX_CONCURRENCY
from snipmill.llm.embedded import serve
from snipmill.llm.fleet import Fleet
from snipmill.llm.vllm import serve_vllm
from snipmill.llm.weights import find_weights

MAX_SLOTS = 4
_USUAL_KEY = "OPENAI_API_KEY"
_EMBEDDED_GIVE_UP = 60.0  # seconds; a child process that stops answering does not recover


@dataclass(frozen=True)
class Connection:
    """A fleet, and how to use it.

    Attributes:
        fleet: the servers that take the requests.
        model: the model's name.
        max_in_flight: maximum number of requests in flight, however many the servers turn out to sustain.
        description: a short description of the model and where it runs.
        shares_prefixes: whether the server's slots share one prefix cache. If not, the stages with long prompts send
            one request at a time, so that each prefix is computed once and not in every slot.
        served: the models that each address serves, where it tells.
    """

    fleet: Fleet
    model: str
    max_in_flight: int
    description: str
    shares_prefixes: bool = True
    served: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Connections:
    """The connection of each stage; stages that use the same servers share a fleet."""

    by_stage: Mapping[str, Connection]

    @property
    def distinct(self) -> list[Connection]:
        """One connection for each fleet and model."""
        found = {(id(connection.fleet), connection.model): connection for connection in self.by_stage.values()}
        return list(found.values())

    @property
    def fleets(self) -> list[Fleet]:
        """Each fleet once."""
        return list({id(connection.fleet): connection.fleet for connection in self.by_stage.values()}.values())

    @property
    def models(self) -> dict[str, str]:
        """The model's name by stage."""
        return {stage: connection.model for stage, connection in self.by_stage.items()}

    @property
    def description(self) -> str:
        """Every model and where it runs."""
        return " and ".join(connection.description for connection in self.distinct)

    @property
    def max_in_flight(self) -> int:
        """Maximum number of requests in flight, at all servers together."""
        by_fleet = {id(connection.fleet): connection.max_in_flight for connection in self.by_stage.values()}
        return sum(by_fleet.values())

    @property
    def shares_prefixes(self) -> bool:
        """Whether all servers do."""
        return all(connection.shares_prefixes for connection in self.by_stage.values())


@contextlib.asynccontextmanager
async def connect_stages(tables: Mapping[str, ModelTable]) -> AsyncIterator[Connections]:
    """Provide a connection for each stage while the block runs.

    Args:
        tables: by stage, the model and its server.

    Raises:
        SnipmillError: as `connect`.
    """
    async with Endpoints() as endpoints:
        yield Connections({stage: await endpoints.connect(table) for stage, table in tables.items()})


class Endpoints:
    """Open connections, of which those to the same servers share a fleet; use as an asynchronous context manager."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._by_endpoint: dict[object, Connection] = {}
        self._opening = asyncio.Lock()

    async def connect(self, table: ModelTable) -> Connection:
        """The connection of a table, opened where there is none to its servers yet.

        Raises:
            SnipmillError: as `connect`.
        """
        endpoint = _endpoint(table)
        async with self._opening:
            if endpoint not in self._by_endpoint:
                self._by_endpoint[endpoint] = await self._stack.enter_async_context(connect(table))
        return _with_model(self._by_endpoint[endpoint], table)

    async def __aenter__(self) -> Endpoints:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)


def _endpoint(table: ModelTable) -> object:
    """The servers of a table, and what they are sent; a server that we start is another one for each model."""
    addresses = server_addresses(table)
    started = None if addresses and table.serve is None else (table.serve, table.name, table.context)
    headers = tuple(sorted(table.headers.items()))
    return addresses, started, table.key_variable, headers


def _with_model(connection: Connection, table: ModelTable) -> Connection:
    """The connection for another model of the same servers."""
    if not connection.served:  # a server that we started
        return connection
    name = _common_model(connection.served, table.name)
    return replace(connection, model=name, description=connection.description.replace(connection.model, name, 1))


@contextlib.asynccontextmanager
async def connect(table: ModelTable) -> AsyncIterator[Connection]:
    """Provide a connection while the block runs; servers that we start are stopped at its end.

    Raises:
        ModelUnavailable, ServerUnreachable, AuthenticationFailed, ModelNotFound: there is no such server or model.
        UsageError: a variable that should hold a key or a header is not set.
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
            server = Server(
                "",
                read_key(table),
                key_variable=table.key_variable,
                timeout=table.timeout,
                stream=table.stream,
                headers=read_headers(table.headers),
            )
            servers = [replace(server, base_url=address) for address in addresses]
            clients = [await stack.enter_async_context(Client(server)) for server in servers]
            served = await _ask_for_models(clients, table.name)
            model = _common_model(served, table.name)
            fleet = Fleet(clients, concurrency=table.concurrency, give_up=table.give_up)
            most = (table.concurrency or MAX_CONCURRENCY) * len(clients)
            yield Connection(fleet, model, most, f"{model} at {', '.join(addresses)}", served=served)
        else:
            weights = await asyncio.to_thread(find_weights, table.name)
            slots = min(table.concurrency or MAX_SLOTS, MAX_SLOTS)
            server = await stack.enter_async_context(serve(weights, slots=slots, context=table.context))
            client = await stack.enter_async_context(Client(server))
            description = f"{weights.name} (embedded, from {weights.origin})"
            fleet = Fleet([client], concurrency=slots, give_up=_EMBEDDED_GIVE_UP)
            yield Connection(fleet, weights.name, slots, description, shares_prefixes=False)


def read_key(table: ModelTable) -> str | None:
    """The key for the servers, from the environment, or None.

    Raises:
        UsageError: the key is not printable ASCII, or a variable of one's own is not set.
    """
    name = table.key_variable
    if not name:
        return None
    _check_variable(name, "key_variable")
    key = os.environ.get(name, "").strip()  # a mounted secret often ends with a newline
    if not key.isprintable() or not key.isascii():
        raise UsageError(f"{name} contains characters that are not printable ASCII. Set it to the key alone.")
    if not key and name != _USUAL_KEY:
        raise UsageError(f"The environment has no {name}, which key_variable names. Set it to the server's key.")
    return key or None


def read_headers(names: Mapping[str, str]) -> dict[str, str]:
    """The headers with their values from the environment.

    Args:
        names: of the variables, by header.

    Raises:
        UsageError: a variable is not set, or its value cannot be sent.
    """
    headers: dict[str, str] = {}
    for header, name in names.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header):
            raise UsageError(f"{header!r} is no name of a header. Correct it in the table `headers`.")
        _check_variable(name, f"the value of {header}")
        value = os.environ.get(name, "").strip()
        if not value:
            raise UsageError(
                f"The environment has no {name}, which should hold the value of the header {header}. Set it. (In the table "
                "`headers`, a value is the name of an environment variable, so that no secret is written down.)"
            )
        if not value.isprintable() or not value.isascii():
            raise UsageError(f"{name} contains characters that are not printable ASCII, and cannot be a header.")
        headers[header] = value
    return headers


def _check_variable(name: str, what: str) -> None:
    """Refuse what is no name without repeating it: it may be the secret itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UsageError(
            f"{what} in the configuration is no name of an environment variable. Put the secret into a variable, and its name here."
        )


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


async def _ask_for_models(clients: list[Client], wanted: str | None) -> dict[str, list[str]]:
    """Ask each server for its models. At least one must be reachable now; the others may become reachable later.

    Where a model is named, a server need not have a list of its models.
    """
    found: dict[str, list[str]] = {}
    missing: list[ServerUnreachable] = []
    for client in clients:
        try:
            found[client.url] = await client.models()
        except ServerUnreachable as error:
            missing.append(error)
        except AuthenticationFailed:
            raise
        except ServerError:
            if wanted is None:
                raise
            found[client.url] = []
    if not found:
        raise missing[0]
    return found


def _common_model(served: Mapping[str, Sequence[str]], wanted: str | None) -> str:
    chosen = {choose_model(names, wanted, address) for address, names in served.items()}
    if len(chosen) > 1:
        raise ModelNotFound(
            f"The servers serve different models ({', '.join(sorted(chosen))}). Choose one common to all with --model."
        )
    return chosen.pop()


def choose_model(served: Sequence[str], wanted: str | None, base_url: str) -> str:
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
