"""The nodes of a cluster: which of them can run programs alike, and see the run's directory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from snipmill import __version__
from snipmill.cluster.shared_run import why_unseen
from snipmill.config import Config
from snipmill.errors import SandboxError, SnipmillError, UsageError
from snipmill.sandbox.driver import choose_tier
from snipmill.sandbox.program import TIERS
from snipmill.stages.settings import resolve_execution

_PROBE_SECONDS = 120.0


@dataclass(frozen=True)
class Node:
    """A node as it was found.

    Attributes:
        id: Ray's.
        host: its name.
        cpus: that Ray has there.
        tier: the strongest sandbox that works, or the one that is asked for; empty where none does.
        environment: the Python that runs programs, with its version; together with snipmill's version.
        unfit: why it cannot take part; empty where it can.
    """

    id: str
    host: str
    cpus: float
    tier: str = ""
    environment: str = ""
    unfit: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """What must be the same on all nodes, so that verdicts are."""
        return self.tier, self.environment


def probe_nodes(config: Config, mark: str, server: str | None, variables: Mapping[str, str]) -> list[Node]:
    """Look at each node that is alive, in a process there.

    Args:
        config: of the run, with absolute paths.
        mark: in the run's directory, which all nodes must see.
        server: an address that must answer on each node; None where servers were checked otherwise.
        variables: of the environment, by which stores are reached.
    """
    probe = ray.remote(num_cpus=0, max_retries=1, max_calls=1)(_probe)
    alive = [one for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]
    pending = {
        probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(one["NodeID"], soft=False)).remote(
            config, mark, server, variables
        ): one
        for one in alive
    }
    ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=_PROBE_SECONDS)
    return [_node(one, answer, answer in ready) for answer, one in pending.items()]


def _node(one: dict[str, Any], answer: ray.ObjectRef[Any], is_ready: bool) -> Node:
    known = Node(one["NodeID"], one["NodeManagerHostname"], float(one["Resources"]["CPU"]))
    if not is_ready:
        return Node(known.id, known.host, known.cpus, unfit=f"did not answer within {_PROBE_SECONDS:.0f} seconds")
    try:
        tier, environment, unfit = ray.get(answer)
    except ray.exceptions.RayError as error:
        unfit = f"cannot run snipmill: {str(error).strip().splitlines()[-1]}"
        return Node(known.id, known.host, known.cpus, unfit=unfit)
    return Node(known.id, known.host, known.cpus, tier, environment, unfit)


def _probe(config: Config, mark: str, server: str | None, variables: Mapping[str, str]) -> tuple[str, str, str]:
    """On a node: its sandbox tier, its environment, and why it cannot take part."""
    os.environ.update(variables)
    unseen = why_unseen(config.run.dir, mark)
    if unseen:
        return "", "", unseen
    try:
        execution = resolve_execution(config.execute)
        tier = asyncio.run(choose_tier(config.execute.sandbox, execution.limits, execution.interpreter))
    except SandboxError as error:
        return "", "", f"has no sandbox: {error}"
    except SnipmillError as error:
        return "", "", str(error)
    if server is not None:
        try:
            urlopen(f"{server}/models", timeout=10).close()
        except (URLError, OSError) as error:
            return tier, "", f"does not reach the model at {server}: {error}"
    return tier, f"{execution.environment}, snipmill {__version__}", ""


def choose_nodes(nodes: Sequence[Node], config: Config) -> tuple[list[Node], list[str]]:
    """The nodes that take part, all of one kind, and a sentence about each that does not.

    The kind is that with the strongest sandbox, and of several such, that with the most CPUs.

    Raises:
        UsageError: a node cannot take part and the configuration refuses that, or none can.
    """
    kinds = {node.kind for node in nodes if not node.unfit}
    best = min(
        kinds,
        key=lambda kind: (TIERS.index(kind[0]), -sum(node.cpus for node in nodes if node.kind == kind), kind),
        default=None,
    )
    fit = [node for node in nodes if not node.unfit and node.kind == best]
    wanted = config.cluster.cpus
    if fit and wanted is not None and wanted > max(node.cpus for node in fit):
        most = max(node.cpus for node in fit)
        raise UsageError(f"cluster.cpus = {wanted}: no node has so many CPUs; the largest has {most:.0f}. Lower it.")
    reasons = [f"Node {node.host} {node.unfit or _difference(node, best)}." for node in nodes if node not in fit]
    if reasons and (not fit or config.cluster.unfit_nodes == "refuse"):
        what = "No node can take part" if not fit else "cluster.unfit_nodes refuses to run without some nodes"
        raise UsageError(f"{what}: {' '.join(_distinct(reasons))}")
    if not fit:
        raise UsageError("The cluster has no node with CPUs.")
    return fit, [f"Left out: {reason}" for reason in reasons]


def _difference(node: Node, best: tuple[str, str] | None) -> str:
    tier, environment = best or ("", "")
    if node.tier != tier:
        return f"has the sandbox tier {node.tier}, and others have {tier}"
    return f"has {node.environment}, and others have {environment}"


def _distinct(reasons: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(reasons))
