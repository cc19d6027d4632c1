"""Runs our own vLLM server: a child process on loopback, which is restarted once if it dies and which ends when we do.

Errors include the end of its log. Does not cover which requests are made (`fleet`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import BinaryIO

import aiohttp

from snipmill.config_model import ModelTable
from snipmill.errors import ModelUnavailable, SnipmillError, UsageError
from snipmill.llm.client import Server

_HEALTHY_WITHIN = 3600.0  # seconds; large models are downloaded and compiled first
_LOOK_EVERY = 0.5
_END_OF_LOG = 1500
# The module, not the `vllm` command: the command is missing or broken in some builds.
_MODULE = "vllm.entrypoints.openai.api_server"


@dataclass(frozen=True)
class Managed:
    """A server that we started.

    Attributes:
        server: its address and settings.
        dead: completes with the error to report once the server is lost for good.
    """

    server: Server
    dead: asyncio.Future[SnipmillError]


def model_to_serve(table: ModelTable) -> str:
    """The model that a started server serves.

    Raises:
        UsageError: none is named.
    """
    if table.name is None:
        raise UsageError('[model] serve = "vllm" needs `name`: a model on the hub, or a model folder.')
    return table.name


@contextlib.asynccontextmanager
async def serve_vllm(table: ModelTable) -> AsyncIterator[Managed]:
    """Serve a model with vLLM for as long as the block runs.

    Raises:
        UsageError: no model is named.
        ModelUnavailable: vLLM is not installed or cannot serve; the message shows the end of its log.
    """
    name = model_to_serve(table)
    port, key = _free_port(), secrets.token_hex(16)
    python = table.serve_python or sys.executable
    ours = ("--host", "127.0.0.1", "--port", str(port), "--enable-prefix-caching", "--enable-prompt-tokens-details")
    command = [python, "-m", _MODULE, "--model", name, *ours, *table.serve_args]
    server = Server(f"http://127.0.0.1:{port}/v1", key, timeout=table.timeout, stream=table.stream)
    dead: asyncio.Future[SnipmillError] = asyncio.get_running_loop().create_future()
    with tempfile.TemporaryFile() as log:
        child = _Child(command, {**os.environ, "VLLM_API_KEY": key}, log, f"http://127.0.0.1:{port}/health")
        watch: asyncio.Task[None] | None = None
        try:
            child.start()
            await child.until_healthy()
            watch = asyncio.create_task(_watch(child, dead))
            yield Managed(server, dead)
        finally:
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            await asyncio.to_thread(child.stop)


async def _watch(child: _Child, dead: asyncio.Future[SnipmillError]) -> None:
    """Restart the server the first time it dies; report an error the second time."""
    for restart in (True, False):
        await asyncio.to_thread(child.wait)
        if restart:
            try:
                await asyncio.to_thread(child.stop)
                child.start()
                await child.until_healthy()
                continue
            except ModelUnavailable as error:
                dead.set_result(error)
                return
    dead.set_result(child.failure("died twice"))


class _Child:
    """The server process, in its own session: it and everything it starts end when we do, however we end."""

    def __init__(self, command: list[str], environment: dict[str, str], log: BinaryIO, health: str) -> None:
        self._command = command
        self._environment = environment
        self._log = log
        self._health = health
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process.

        Raises:
            ModelUnavailable: the Python does not exist or cannot be run.
        """
        if shutil.which(self._command[0]) is None:
            raise ModelUnavailable(
                f"vLLM cannot be started: there is no Python {self._command[0]}. Correct serve_python in [model]."
            )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "snipmill.llm.guarded_child", *self._command],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ModelUnavailable(
                f"vLLM cannot be started with {self._command[0]}: {error.strerror}. Check serve_python in [model]."
            ) from error

    @property
    def alive(self) -> bool:
        """Whether the process is still running."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Wait until the process ends."""
        if self._process is not None:
            self._process.wait()

    async def until_healthy(self) -> None:
        """Wait until the server is healthy.

        Raises:
            ModelUnavailable: the process ended first, or was not healthy within an hour.
        """
        wait = aiohttp.ClientTimeout(total=5.0)
        try:
            async with asyncio.timeout(_HEALTHY_WITHIN), aiohttp.ClientSession(timeout=wait) as session:
                while self.alive:
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                        async with session.get(self._health) as answer:
                            if answer.status == 200:
                                return
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            raise self.failure("did not become healthy within an hour") from None
        raise self.failure("ended before it could serve")

    def failure(self, what: str) -> ModelUnavailable:
        """Build the error, which says what happened and shows the end of the log."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _END_OF_LOG))
        tail = self._log.read().decode("utf-8", "replace").strip()
        if "No module named 'vllm'" in tail or "No module named vllm" in tail:
            return ModelUnavailable(
                f"vLLM is not installed for {self._command[0]}. Install it there, or name another Python with "
                "serve_python in [model]."
            )
        return ModelUnavailable(f"vLLM {what}. The end of its log:\n{tail}")

    def stop(self) -> None:
        """Stop the server and everything it has started."""
        if self._process is None:
            return
        for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
