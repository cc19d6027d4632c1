"""The configuration, resolved once: checked, and worked out into what each room needs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from snipmill.config import Config, ExecuteTable
from snipmill.llm.connect import server_addresses
from snipmill.prompts.stage import Draws
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.interpreter import find_interpreter
from snipmill.sandbox.program import Limits
from snipmill.stages.evidence_runs import Sandboxes, Wait, next_second
from snipmill.stages.execute import ExecutionContext
from snipmill.stages.fewshot_files import load_bank, load_judging
from snipmill.stages.generate import GenerationSettings
from snipmill.stages.seed_stream import SeedSettings, resolve_seeds
from snipmill.stages.spec import GENERATING, JUDGE, RESPONSES

_JUDGE_TOKENS = 4


def resolve_generation(config: Config) -> dict[str, GenerationSettings]:
    """By stage, everything that decides what is asked but the model's name, which the server tells (`for_model`).

    Raises:
        UsageError: the few-shot bank cannot be used.
    """
    bank = load_bank(config.generate.fewshot)
    common = GenerationSettings(
        bank=bank,
        model="",
        prompting=config.model.prompting,
        temperature=config.model.temperature,
        max_tokens=config.model.max_tokens,
        fewshot_draws=config.generate.draws,
        match_examples=config.generate.match_examples,
        draws=Draws(config.run.seed, config.generate.categories, config.generate.difficulties),
    )
    # The judge says the most likely word of a few tokens, whatever the tasks are sampled with.
    judge = replace(
        common,
        bank=load_judging(),
        temperature=0.0,
        max_tokens=_JUDGE_TOKENS,
        shots=config.judge.shots,
        fewshot_draws=1,
        match_examples=False,
    )
    answering = bank.answering_with(config.generate.response_examples)
    return {
        name: judge
        if name == JUDGE
        else replace(common, shots=getattr(config.generate.shots, name), bank=answering if name == RESPONSES else bank)
        for name in GENERATING
    }


def for_model(generation: dict[str, GenerationSettings], model: str) -> dict[str, GenerationSettings]:
    """The same settings, for a model that has a name."""
    return {stage: replace(settings, model=model) for stage, settings in generation.items()}


@dataclass(frozen=True)
class ExecutionSettings:
    """How programs run.

    Attributes:
        table: tier, workers, and whether programs may make processes.
        limits: what one program may use.
        interpreter: the Python that runs programs.
        environment: it with its version, as verdicts depend on it.
    """

    table: ExecuteTable
    limits: Limits
    interpreter: str
    environment: str

    def context(self, tier: str) -> ExecutionContext:
        """What verdicts of a tier depend on."""
        return ExecutionContext(self.limits, tier, self.environment)

    def sandbox(self, tier: str, *, hash_seed: int = 0) -> Sandbox:
        """A sandbox, not yet entered."""
        return Sandbox(
            hash_seed=hash_seed,
            tier=tier,
            limits=self.limits,
            workers=self.table.workers or None,
            interpreter=self.interpreter,
            allow_fork=self.table.allow_fork,
        )

    @contextlib.asynccontextmanager
    async def open(self, wait: Wait = next_second) -> AsyncIterator[Sandboxes]:
        """The sandboxes, for as long as the block runs.

        Args:
            wait: awaited before a program runs a second time.

        Raises:
            SandboxError: programs cannot be isolated here.
        """
        async with (
            self.sandbox(self.table.sandbox) as first,
            self.sandbox(first.tier, hash_seed=1) as rerun,
        ):
            yield Sandboxes(first, rerun, wait)


def resolve_execution(table: ExecuteTable) -> ExecutionSettings:
    """How programs run.

    Raises:
        UsageError: the Python cannot be run.
    """
    interpreter = table.interpreter or sys.executable
    python, version = find_interpreter(interpreter)
    forks = ", may fork" if table.allow_fork else ""
    limits = Limits(timeout=table.timeout, memory=table.memory << 20)
    return ExecutionSettings(table, limits, interpreter, f"{python}, Python {version}{forks}")


@dataclass(frozen=True)
class Settings:
    """What a whole run needs.

    Attributes:
        config: as it was read.
        seeds: where seeds come from, and what they must be like.
        generation: by stage, what is asked of a model that has no name yet.
        execution: how programs run.
    """

    config: Config
    seeds: SeedSettings
    generation: dict[str, GenerationSettings]
    execution: ExecutionSettings


def resolve(config: Config) -> Settings:
    """Check a configuration and work out what each stage needs. Nothing is written, and no server is asked.

    Raises:
        UsageError: something in it cannot be used; the sentence names the key.
    """
    server_addresses(config.model)
    return Settings(
        config=config,
        seeds=resolve_seeds(config),
        generation=resolve_generation(config),
        execution=resolve_execution(config.execute),
    )
