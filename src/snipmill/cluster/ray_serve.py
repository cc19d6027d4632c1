"""Serves a model with Ray Serve LLM: replicas of vLLM on the cluster's GPUs, behind one address that is the same on every node.

Each node has a proxy on loopback, so that no model is open to the network, and workers speak to it over HTTP as to any server.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import ray

from snipmill.config_model import ModelTable
from snipmill.engine.progress import Progress
from snipmill.errors import ModelUnavailable, UsageError
from snipmill.llm.vllm import model_to_serve

APP = "snipmill"
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size")


@contextlib.contextmanager
def serve_model(table: ModelTable, progress: Progress) -> Iterator[str]:
    """Serve a model for as long as the block runs; yields the address at which each node reaches it.

    Raises:
        UsageError: no model is named, Ray Serve LLM is not installed, or the cluster has too few GPUs.
        ModelUnavailable: the model cannot be served.
    """
    name = model_to_serve(table)
    try:
        from ray import serve
        from ray.serve.llm import LLMConfig, build_openai_app
    except ImportError as error:
        raise UsageError(
            'model.serve = "ray" needs Ray Serve LLM and vLLM on all nodes. Install them with: pip install "ray[llm]"'
        ) from error
    arguments = engine_arguments(table.serve_args)
    replicas = table.replicas or _replicas(arguments)
    config = LLMConfig(
        model_loading_config={"model_id": name, "model_source": name},
        deployment_config={"num_replicas": replicas},
        engine_kwargs={"enable_prefix_caching": True, "enable_prompt_tokens_details": True, **arguments},
    )
    running = serve.status().applications
    if running:
        raise UsageError(
            f"Ray Serve runs on this cluster already ({', '.join(sorted(running))}), and snipmill would end it. Give "
            "model.base_url the address of a server, or use another cluster."
        )
    port = _free_port()
    progress.phase = f"starting {replicas} {'replica' if replicas == 1 else 'replicas'} of {name}"
    try:
        serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": port})
        serve.run(build_openai_app({"llm_configs": [config]}), name=APP, route_prefix="/")
    except Exception as error:  # whatever a deployment fails by
        serve.shutdown()
        raise ModelUnavailable(
            f"Ray Serve cannot serve {name}: {str(error).strip().splitlines()[-1]} The logs of its replicas are in "
            "Ray's session folder, under logs/serve."
        ) from error
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with contextlib.suppress(Exception):
            serve.shutdown()


def engine_arguments(given: tuple[str, ...]) -> dict[str, Any]:
    """`serve_args` as vLLM's engine takes them: `--tensor-parallel-size 2` is `tensor_parallel_size=2`.

    Raises:
        UsageError: something stands between the arguments that belongs to none.
    """
    found: dict[str, Any] = {}
    parts = [part for argument in given for part in argument.split("=", 1)]
    name: str | None = None
    for part in parts:
        if part.startswith("--"):
            name = part.removeprefix("--").replace("-", "_")
            negated = name.removeprefix("no_")
            found[negated] = negated == name
            name = negated
        elif name is None:
            raise UsageError(
                f"model.serve_args: {part!r} belongs to no argument. Give pairs such as --max-model-len 8192."
            )
        else:
            found[name] = _value(part)
            name = None
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def _replicas(arguments: dict[str, Any]) -> int:
    """As many replicas as the cluster has GPUs for.

    Raises:
        UsageError: for none.
    """
    each = 1
    for name in _PARALLEL:
        each *= int(arguments.get(name, 1))
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if gpus < each:
        raise UsageError(
            f'model.serve = "ray": a replica needs {each} {"GPU" if each == 1 else "GPUs"}, and the cluster has {gpus}. Add '
            "nodes with GPUs, or give model.base_url the address of a server."
        )
    return gpus // each


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
