"""A hash of all that decides what grows from seeds: shards that share it belong together, whatever servers they ask."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from snipmill import __version__
from snipmill.config import Config
from snipmill.engine.local import RunContext
from snipmill.records import content_hash
from snipmill.stages.benchmark_files import read_benchmark
from snipmill.verification.calibration import encode_calibration

# What says where and how fast completions come, and what they cost, but not what they are.
_OF_SERVERS = (
    "base_url",
    "serve",
    "serve_args",
    "serve_python",
    "replicas",
    "key_variable",
    "headers",
    "concurrency",
    "timeout",
    "give_up",
    "stream",
    "context",
    "price",
)


def basis_of(context: RunContext, given: Config) -> str:
    """The hash, for a run that is open: models and sandbox are known.

    Args:
        context: of the run.
        given: its configuration, before it was fitted to a machine.
    """
    settings = context.settings
    config: dict[str, Any] = msgspec.to_builtins(given)
    del config["run"]["dir"], config["run"]["max_cost"], config["run"]["max_tokens_total"]
    del config["execute"]["workers"], config["execute"]["sandbox"]  # the tier that works here counts
    del config["cluster"], config["select"]["benchmarks"], config["select"]["embedding_model"]
    # Paths differ between machines. What they lead to counts, or is compared seed by seed.
    del config["seeds"]["sources"], config["generate"]["fewshot"], config["verify"]["calibration"]
    del config["execute"]["interpreter"]
    model = config["model"]
    for table in (model, *model["stages"].values(), config["judge"]["model"], config["review"]["model"]):
        for name in _OF_SERVERS:
            table.pop(name, None)
    benchmarks = [hashlib.sha256(read_benchmark(name)).hexdigest() for name in settings.config.select.benchmarks]
    return content_hash(
        __version__,
        msgspec.json.encode(config, order="deterministic").decode(),
        msgspec.json.encode(context.connections.models, order="deterministic").decode(),
        context.sandboxes.first.tier,
        settings.execution.environment,
        encode_calibration(settings.calibration.without_report()).decode(),
        *sorted(bank.bank.hash for bank in settings.generation.values()),
        *sorted(settings.seeds.forgotten.hashes),
        *benchmarks,
    )
