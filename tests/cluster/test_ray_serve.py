"""`serve = "ray"` with real Ray Serve LLM: its configuration, router and proxies, around an engine that needs no GPU.

It needs an environment with `ray[llm]`; CONTRIBUTING.md says how to make it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from snipmill.config_file import change_config
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from tests.conftest import read_lines
from tests.engine.test_run import config, seeds_file
from tests.standin import StandIn

pytest.importorskip("vllm")
ROOT = Path(__file__).parents[2]


def told(run_directory: Path) -> list[tuple[str, str, str]]:
    """The rows without their counts of tokens, which the two servers do not count alike."""
    return [(row["id"], row["instruction"], row["response"]) for row in read_lines(run_directory / "dataset.jsonl")]


def test_a_run_asks_the_model_that_ray_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    from snipmill.cluster.ray_engine import run_on_ray

    monkeypatch.setenv("RAYLLM_VLLM_ENGINE_CLS", "tests.cluster.standin_engine.StandInEngine")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    seeds = seeds_file(tmp_path / "seeds.jsonl", 8)
    with StandIn() as server:
        asyncio.run(run(config(tmp_path / "whole", seeds, server.url), Progress()))
    served = {"model.base_url": None, "model.serve": "ray", "model.name": "stand-in", "cluster.workers": 2}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 2, "include_dashboard": False})
    try:
        table = config(tmp_path / "run", seeds, "http://127.0.0.1:9/v1")
        table = change_config(table, {**served, "cluster.address": cluster.address}, "test")
        progress = Progress()
        found = run_on_ray(table, progress)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
    assert not found.missing
    assert "stand-in at http://127.0.0.1:" in progress.model
    assert told(tmp_path / "run") == told(tmp_path / "whole")
    assert len(told(tmp_path / "run")) > 2
