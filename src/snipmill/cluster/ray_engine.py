"""The Ray engine: shards on the nodes of a cluster, each grown by the pipeline of one machine, and joined at the end.

The driver places a worker for each shard on a node that can take part, places it elsewhere when it or its node dies, and reads how
far all are from what they write. What a worker has paid for stands in the shared run directory before it is used, so that a worker,
a node or the driver may die at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from snipmill import errors
from snipmill.cluster.nodes import Node, choose_nodes, probe_nodes
from snipmill.cluster.ray_serve import serve_model
from snipmill.cluster.shared_run import SharedRun
from snipmill.cluster.view import ClusterView
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.engine.gather import Gathered
from snipmill.engine.progress import Progress
from snipmill.engine.remote import run_remote_shard
from snipmill.engine.shard import Place, run_shard
from snipmill.engine.sharding import Sharding
from snipmill.errors import BudgetSpent, SandboxError, SnipmillError, StoreError, UsageError
from snipmill.llm.connect import server_addresses
from snipmill.seeds.sources.stdlib import STDLIB
from snipmill.stages.settings import check_servers, resolve
from snipmill.stages.spec import STAGES
from snipmill.stages.stage_models import asked_stages, is_used, model_of_stage
from snipmill.store.remote import is_remote

_LOOK_EVERY = 1.0  # seconds
_OF_STORES = (
    "AWS_",
    "FSSPEC_",
    "GOOGLE_",
    "AZURE_STORAGE_",
    "HF_",
)  # environment variables by which stores are reached
_END_WITHIN = 15.0  # seconds in which workers that are ended may push what they have
_LONGEST_PAUSE = 10.0  # seconds before a worker that has died is placed again
_MOST_DEATHS = 20  # of one shard in a row, without a seed in between
_WAIT_FOR_NODES = 600.0  # seconds without any node that can take part


@dataclass(frozen=True)
class Task:
    """What a worker is told.

    Attributes:
        config: fitted to the cluster.
        written: as it was given.
        sharding: the shard to grow.
        variables: the environment variables that servers need.
        first_cpu: number of the CPU of its first program.
        predecessor_is_dead: whether a worker of this shard has died.
        command: names the command that it works for.
    """

    config: Config
    written: Config
    sharding: Sharding
    variables: Mapping[str, str]
    first_cpu: int
    predecessor_is_dead: bool
    command: str


def run_on_ray(config: Config, progress: Progress) -> Gathered:
    """Make a data set on a Ray cluster, or continue where an earlier command stopped.

    Args:
        config: of the run.
        progress: is kept up to date while the run works.

    Raises:
        SnipmillError: no single record can be blamed for it; all that was made is kept.
    """
    given = _with_absolute_paths(config)
    resolve(given)
    _check_servers(given)
    progress.phase, progress.enough = "looking at the cluster", given.generate.enough
    progress.stages = tuple(stage.name for stage in STAGES if is_used(given, stage.name))
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="snipmill-driver-")))
        shared = SharedRun(given, scratch, lambda text: setattr(progress, "store_trouble", text))
        stack.enter_context(_connected(given))
        server = stack.enter_context(serve_model(given.model, progress)) if given.model.serve == "ray" else None
        nodes, left_out = _nodes(given, shared, server)
        progress.remarks = left_out
        count = given.cluster.workers or (len(nodes) if len(nodes) > 1 else 2)
        progress.tier = f"{nodes[0].tier} on {len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}"
        progress.limit = given.seeds.limit
        workers = _Workers(given, shared, nodes, count, server, progress)
        stopped = workers.run()
        progress.phase = "gathering"
        found = shared.gather(lambda text: setattr(progress, "phase", text))
    progress.funnel.replace_with(found.funnel)
    progress.stopped = stopped
    progress.phase = "done"
    return found


def _with_absolute_paths(config: Config) -> Config:
    """The configuration as it means the same on every node, whatever folder a worker is started in."""
    changes: dict[str, Any] = {}
    if not is_remote(config.run.dir):
        changes["run.dir"] = str(Path(config.run.dir).resolve())
    changes["seeds.sources"] = [_absolute(one) for one in config.seeds.sources]
    changes["select.benchmarks"] = [_absolute(one) for one in config.select.benchmarks]
    for dotted, value in (
        ("generate.fewshot", config.generate.fewshot),
        ("verify.calibration", config.verify.calibration),
    ):
        if value is not None:
            changes[dotted] = str(Path(value).resolve())
    interpreter, embedder, model = config.execute.interpreter, config.select.embedding_model, config.model.name
    if interpreter is not None and "/" in interpreter:
        changes["execute.interpreter"] = os.path.abspath(interpreter)  # noqa: PTH100 - a link to a Python is its environment
    if Path(embedder).is_dir():
        changes["select.embedding_model"] = str(Path(embedder).resolve())
    if config.model.serve == "ray" and model is not None and Path(model).is_dir():
        changes["model.name"] = str(Path(model).resolve())
    return change_config(config, changes, "--engine ray")


def _absolute(source: str) -> str:
    """A file, folder or pattern by its whole path; `stdlib`, addresses and names on the hub as they are."""
    if source == "-":
        raise UsageError("Seeds cannot come from standard input with --engine ray. Give a file that all nodes see.")
    is_path = Path(source).exists() or (":" not in source.partition("/")[0] and source != STDLIB)
    return os.path.abspath(source) if is_path else source  # noqa: PTH100 - a pattern cannot be resolved


def _check_servers(config: Config) -> None:
    """Refuse what would start a server in every worker.

    Raises:
        UsageError: no server is given.
    """
    for stage in asked_stages(config):
        table = model_of_stage(config, stage)
        if table.serve == "ray" and stage not in _own_servers(config):
            continue
        if table.serve == "vllm" or not server_addresses(table):
            raise UsageError(
                "--engine ray needs servers that all nodes reach: give model.base_url one or several addresses, or "
                'set model.serve = "ray" to start vLLM on the cluster\'s GPUs.'
            )
    if config.model.serve != "ray":
        check_servers(config)


def _own_servers(config: Config) -> set[str]:
    """The stages with a server of their own."""
    tables = {name: getattr(config.model.stages, name) for name in config.model.stages.__struct_fields__}
    tables |= {"judge": config.judge.model, "review": config.review.model}
    return {name for name, table in tables.items() if table.base_url is not None}


@contextlib.contextmanager
def _connected(config: Config) -> Iterator[None]:
    """Ray for as long as the block runs: the given cluster, or one on this machine alone."""
    address = config.cluster.address or os.environ.get("RAY_ADDRESS") or None
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "namespace": "snipmill"}
    if address is None:
        options |= {"include_dashboard": False, "num_cpus": os.cpu_count(), "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        where = f"at {address}" if address else "on this machine"
        raise UsageError(
            f"Ray cannot be reached {where}: {str(error).strip().splitlines()[0]} Correct --address, or start the cluster "
            "with `ray start --head`."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _nodes(config: Config, shared: SharedRun, server: str | None) -> tuple[list[Node], list[str]]:
    """The nodes that take part, and sentences about the others."""
    with shared.marked() as mark:
        return choose_nodes(probe_nodes(config, mark, server, _variables(config)), config)


class _Workers:
    """The workers, each growing one shard; those that die are placed again."""

    def __init__(
        self,
        config: Config,
        shared: SharedRun,
        nodes: list[Node],
        count: int,
        server: str | None,
        progress: Progress,
    ) -> None:
        self._given, self._shared, self._nodes, self._server = config, shared, nodes, server
        self._count, self._progress = count, progress
        self._each = -(-count // len(nodes))  # workers on one node
        self._fitted = _fitted(config, nodes, self._each, count, server)
        self._variables = _variables(config)
        self._grow = ray.remote(max_retries=0, max_calls=1)(_grow_in_worker)
        self._running: dict[ray.ObjectRef[Any], tuple[int, Node]] = {}
        self._deaths: Counter[int] = Counter()
        self._grown_at_death: dict[int, int] = {}
        self._stopped = ""
        self._command = uuid.uuid4().hex
        self._view = ClusterView(shared.directory, progress, count, self._command)

    def run(self) -> str:
        """Grow all shards. Returns a sentence where the budget was spent before the end.

        Raises:
            SnipmillError: of a worker; the others are ended.
        """
        view = self._view
        self._progress.phase = "writing"
        for index in range(self._count):
            self._place(index)
        try:
            while self._running:
                ended, _ = ray.wait(list(self._running), timeout=_LOOK_EVERY)
                self._shared.refresh(self._count)
                view.read()
                self._tell_model()
                for one in ended:
                    self._take(one)
            self._shared.refresh(self._count, at_once=True)
            view.read()
        finally:
            self._end_workers()
        return self._stopped

    def _end_workers(self) -> None:
        """Have the workers that are left end by themselves: they push what they have, and take away their folders."""
        for one in self._running:
            ray.cancel(one, force=False)
        if self._running:
            ray.wait(list(self._running), num_returns=len(self._running), timeout=_END_WITHIN)

    def _tell_model(self) -> None:
        if not self._progress.model:
            for shard in self._shared.directory.shards().values():
                if shard.has_run:
                    self._progress.model = str(shard.read_manifest().get("served", ""))
                    return

    def _place(self, index: int, avoid: str | None = None) -> None:
        """Start the worker of a shard on the node with the fewest workers, not on the one where it died if there is another."""
        until = time.monotonic() + _WAIT_FOR_NODES
        while not (nodes := self._alive()):
            if time.monotonic() > until:
                raise SandboxError(
                    "No node of the cluster can take part any more. Start some, and run the same command again."
                )
            self._progress.phase = "waiting for a node"
            time.sleep(5)
            self._look_for_nodes()
        self._progress.phase = "writing"
        busy = Counter(node.id for _, node in self._running.values())
        node = min(nodes, key=lambda one: (one.id == avoid and len(nodes) > 1, busy[one.id], one.id))
        grow = self._grow.options(
            num_cpus=self._given.cluster.cpus or 0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        first_cpu = busy[node.id] * self._fitted.execute.workers
        task = Task(
            self._fitted,
            self._given,
            Sharding(index, self._count),
            self._variables,
            first_cpu,
            avoid is not None,
            self._command,
        )
        self._running[grow.remote(task)] = index, node

    def _alive(self) -> list[Node]:
        alive = {one["NodeID"] for one in ray.nodes() if one["Alive"]}
        return [node for node in self._nodes if node.id in alive]

    def _look_for_nodes(self) -> None:
        with contextlib.suppress(UsageError):
            self._nodes, _ = _nodes(self._given, self._shared, self._server)

    def _take(self, one: ray.ObjectRef[Any]) -> None:
        """Take the outcome of a worker that has ended, or start it again elsewhere."""
        index, node = self._running.pop(one)
        try:
            kind, message = ray.get(one)
        except ray.exceptions.RayTaskError as error:
            raise SnipmillError(f"The worker of shard {index} failed: {str(error).strip().splitlines()[-1]}") from error
        except ray.exceptions.RayError as error:
            self._after_death(index, node, error)
            return
        if kind == BudgetSpent.__name__:
            self._stopped = message
        elif kind:
            raise _error_named(kind)(message)

    def _after_death(self, index: int, node: Node, error: Exception) -> None:
        """Place a worker again. A shard whose workers die again and again without growing a seed is no accident."""
        grown = self._view.grown.get(index, 0)
        self._deaths[index] = self._deaths[index] + 1 if self._grown_at_death.get(index) == grown else 1
        self._grown_at_death[index] = grown
        if self._deaths[index] > _MOST_DEATHS:
            raise StoreError(
                f"The worker of shard {index} has died {_MOST_DEATHS} times on node {node.host} and others: "
                f"{str(error).strip().splitlines()[0]} Look at the nodes' memory, and run the same command again."
            )
        time.sleep(min(0.25 * 2 ** self._deaths[index], _LONGEST_PAUSE))
        self._place(index, avoid=node.id)


def _fitted(config: Config, nodes: list[Node], each: int, count: int, server: str | None) -> Config:
    """The configuration of a worker: its part of a node's CPUs and of the requests at servers, and the tier of all nodes."""
    cpus = min(node.cpus for node in nodes)
    changes: dict[str, Any] = {"execute.sandbox": nodes[0].tier}
    changes["execute.workers"] = config.execute.workers or max(1, int(config.cluster.cpus or cpus / each))
    if config.model.concurrency is not None:
        changes["model.concurrency"] = max(1, config.model.concurrency // count)
    if server is not None:
        changes |= {"model.base_url": server, "model.serve": None}
    return change_config(config, changes, "--engine ray")


def _variables(config: Config) -> dict[str, str]:
    """The environment variables that hold addresses, keys and headers of servers, and what stores are reached by."""
    tables = [model_of_stage(config, stage) for stage in asked_stages(config)]
    names = {"OPENAI_BASE_URL", *(table.key_variable for table in tables)}
    names |= {name for table in tables for name in table.headers.values()}
    names |= {name for name in os.environ if name.startswith(_OF_STORES)}
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}


async def _grow(task: Task) -> None:
    place = Place(task.written, task.first_cpu, command=task.command)
    if is_remote(task.config.run.dir):
        await run_remote_shard(
            task.config, task.sharding, Progress(), place, predecessor_is_dead=task.predecessor_is_dead
        )
    else:
        await run_shard(task.config, task.sharding, Progress(), place=place)


def _grow_in_worker(task: Task) -> tuple[str, str]:
    """In a process on a node: grow a shard. Returns the kind of error and its sentence; empty where there was none."""
    os.environ.update(task.variables)
    try:
        asyncio.run(_grow(task))
    except SnipmillError as error:
        return type(error).__name__, str(error)
    return "", ""


def _error_named(kind: str) -> Callable[[str], SnipmillError]:
    found = getattr(errors, kind, SnipmillError)
    return found if isinstance(found, type) and issubclass(found, SnipmillError) else SnipmillError
