"""Runs on a real local Ray: the same bytes as on one machine, with workers, nodes and the driver killed on the way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snipmill.config import Config
from snipmill.config_file import change_config, render_config
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from snipmill.errors import UsageError
from snipmill.store.run_directory import RunDirectory
from tests.engine.test_remote import bucket, fetched, s3, with_directory  # noqa: F401 - fixtures
from tests.engine.test_run import config, seeds_file
from tests.engine.test_shards import files_of
from tests.standin import StandIn

pytest.importorskip("ray")

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def server() -> Any:
    with StandIn() as server:
        yield server


def test_two_workers_give_the_same_bytes(tmp_path: Path, server: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 14)
    asyncio.run(run(config(tmp_path / "whole", seeds, server.url), Progress()))
    from snipmill.cluster.ray_engine import run_on_ray

    progress = Progress()
    found = run_on_ray(config(tmp_path / "run", seeds, server.url), progress)
    assert not found.missing
    assert found.shards == 2
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")
    assert progress.seeds_done == 14


def start(table: Config, *options: str) -> subprocess.Popen[bytes]:
    """The command, with its own local Ray unless an address is given."""
    path = Path(table.run.dir).with_suffix(".toml")
    path.write_text(render_config(table))
    command = [sys.executable, "-m", "snipmill", "run", str(path), "--engine", "ray", *options]
    log = Path(table.run.dir).with_suffix(".log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def wait_for(happened: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, Path(str(process.args[4])).with_suffix(".log").read_text()  # type: ignore[index]
        assert time.monotonic() < until
        time.sleep(0.05)


def grown(table: Config) -> int:
    return sum(
        shard.grown.read_bytes().count(b"\n") - 1
        for shard in RunDirectory(table.run.dir).shards().values()
        if shard.grown.exists()
    )


def worker_of(table: Config, index: int) -> int:
    manifest = RunDirectory(table.run.dir).shard(index).read_manifest()
    return int(manifest["process"]["id"])


def asked_twice(server: StandIn) -> int:
    """How many requests were sent more than once."""
    sent = Counter(json.dumps(request, sort_keys=True) for request in server.requests)
    return sum(count - 1 for count in sent.values())


@pytest.fixture
def slow_run(tmp_path: Path, server: StandIn) -> Iterator[tuple[Config, Path]]:
    """A run that takes some seconds, and the directory of the same run on one machine."""
    seeds = seeds_file(tmp_path / "seeds.jsonl", 40)
    asyncio.run(run(config(tmp_path / "whole", seeds, server.url), Progress()))
    server.requests.clear()
    server.delay = 0.1
    yield config(tmp_path / "run", seeds, server.url, concurrency=4), tmp_path / "whole"
    server.delay = 0.0


def test_killed_workers_are_placed_again_and_a_killed_driver_goes_on(
    slow_run: tuple[Config, Path], server: StandIn
) -> None:
    table, whole = slow_run
    process = start(table)
    for index in (0, 1):
        wait_for(lambda index=index: grown(table) > 4 + 6 * index, process)  # type: ignore[misc]
        os.kill(worker_of(table, index), signal.SIGKILL)
    wait_for(lambda: grown(table) > 18, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process = start(table)
    assert process.wait(180) == 0, Path(table.run.dir).with_suffix(".log").read_text()
    assert files_of(Path(table.run.dir)) == files_of(whole)
    assert asked_twice(server) <= 2 * 2 + 4  # what was in flight: each worker has half of the four requests


def test_a_node_that_dies_is_left_and_its_shard_grows_elsewhere(slow_run: tuple[Config, Path], server: StandIn) -> None:
    from ray.cluster_utils import Cluster

    table, whole = slow_run
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        process = start(table, "--address", cluster.address)
        wait_for(lambda: grown(table) > 8, process)
        cluster.remove_node(nodes[0], allow_graceful=False)
        assert process.wait(180) == 0, Path(table.run.dir).with_suffix(".log").read_text()
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
    assert files_of(Path(table.run.dir)) == files_of(whole)
    assert asked_twice(server) <= 2


def test_workers_share_a_run_on_a_store(
    tmp_path: Path,
    server: StandIn,
    bucket: str,  # noqa: F811 - the fixture
) -> None:
    from snipmill.cluster.ray_engine import run_on_ray

    seeds = seeds_file(tmp_path / "seeds.jsonl", 10)
    asyncio.run(run(config(tmp_path / "whole", seeds, server.url), Progress()))
    table = with_directory(config(Path("run"), seeds, server.url), f"{bucket}/run")
    progress = Progress()
    found = run_on_ray(table, progress)
    assert not found.missing
    assert progress.seeds_done == 10
    assert files_of(fetched(table.run.dir, tmp_path / "fetched")) == files_of(tmp_path / "whole")


def node(name: str, cpus: float = 8, tier: str = "namespaces", environment: str = "E", unfit: str = "") -> Any:
    from snipmill.cluster.nodes import Node

    return Node(name, name, cpus, tier, environment, unfit)


def test_nodes_that_differ_are_left_out_or_refused() -> None:
    from snipmill.cluster.nodes import choose_nodes

    nodes = [
        node("a"),
        node("b", tier="landlock", cpus=500),
        node("c", environment="other", cpus=2),
        node("d", unfit="has no sandbox: forbidden", tier="", environment=""),
        node("e"),
    ]
    fit, told = choose_nodes(nodes, Config())
    assert [one.id for one in fit] == ["a", "e"]
    assert told == [
        "Left out: Node b has the sandbox tier landlock, and others have namespaces.",
        "Left out: Node c has other, and others have E.",
        "Left out: Node d has no sandbox: forbidden.",
    ]
    refusing = change_config(Config(), {"cluster.unfit_nodes": "refuse"}, "test")
    assert choose_nodes([node("a"), node("e")], refusing)[1] == []
    with pytest.raises(UsageError, match="refuses to run without some nodes: Node b has the sandbox tier landlock"):
        choose_nodes(nodes, refusing)
    with pytest.raises(UsageError, match="No node can take part: Node d has no sandbox"):
        choose_nodes(nodes[3:4], Config())


def test_servers_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snipmill.cluster.ray_engine import run_on_ray

    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    seeds = str(seeds_file(tmp_path / "seeds.jsonl", 1))
    table = change_config(Config(), {"run.dir": str(tmp_path / "run"), "seeds.sources": [seeds]}, "test")
    with pytest.raises(UsageError, match="needs servers that all nodes reach"):
        run_on_ray(table, Progress())
    started = change_config(table, {"model.serve": "vllm", "model.name": "m"}, "test")
    with pytest.raises(UsageError, match="needs servers that all nodes reach"):
        run_on_ray(started, Progress())


def test_arguments_of_vllm_become_those_of_its_engine() -> None:
    from snipmill.cluster.ray_serve import engine_arguments

    given = (
        "--tensor-parallel-size",
        "2",
        "--max-model-len=8192",
        "--enforce-eager",
        "--no-enable-x",
        "--dtype",
        "half",
    )
    assert engine_arguments(given) == {
        "tensor_parallel_size": 2,
        "max_model_len": 8192,
        "enforce_eager": True,
        "enable_x": False,
        "dtype": "half",
    }
    with pytest.raises(UsageError, match="'2' belongs to no argument"):
        engine_arguments(("2",))
