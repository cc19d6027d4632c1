"""The configuration, resolved once: checked, and worked out into what each room needs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from snipmill.config import Config, ExecuteTable
from snipmill.errors import UsageError
from snipmill.llm.connect import read_headers, read_key, server_addresses
from snipmill.llm.vllm import model_to_serve
from snipmill.prompts.assertions import bank_of
from snipmill.prompts.stage import Draws
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.interpreter import find_interpreter
from snipmill.sandbox.program import Limits
from snipmill.seeds.forgotten import Forgotten
from snipmill.stages.calibration_file import load_calibration
from snipmill.stages.evidence_runs import Sandboxes, Wait, next_second
from snipmill.stages.execute import ExecutionContext
from snipmill.stages.fewshot_files import load_bank, load_judging
from snipmill.stages.generate import GenerationSettings
from snipmill.stages.seed_stream import SeedSettings, resolve_seeds
from snipmill.stages.spec import ASKING, ASSERTIONS, GENERATING, JUDGE, RESPONSES
from snipmill.stages.stage_models import asked_stages, model_of_stage
from snipmill.store.run_directory import RunDirectory
from snipmill.verification.calibration import Calibration

_JUDGE_TOKENS = 4


def resolve_generation(config: Config) -> dict[str, GenerationSettings]:
    """By stage, everything that decides what is asked but the model's name, which the server tells (`for_models`).

    Raises:
        UsageError: the few-shot bank or a stage's model cannot be used.
    """
    bank = load_bank(config.generate.fewshot)
    answering = bank.answering_with(config.generate.response_examples)
    draws = Draws(config.run.seed, config.generate.categories, config.generate.difficulties)
    settings: dict[str, GenerationSettings] = {}
    for name in GENERATING:
        table = model_of_stage(config, name)
        common = GenerationSettings(
            bank=answering if name == RESPONSES else bank,
            model="",
            prompting=table.prompting,
            sampling=table.sampling,
            extra_body=table.extra_body,
            max_tokens=table.max_tokens,
            max_thinking_tokens=table.max_thinking_tokens if table.prompting == "chat" else 0,
            keep_thinking=table.keep_thinking,
            fewshot_draws=config.generate.draws,
            match_examples=config.generate.match_examples,
            draws=draws,
        )
        if name == JUDGE:
            settings[name] = _for_judge(common, config)
        elif name == ASSERTIONS:
            tested = bank_of(bank, config.verify.tests or 1)
            shots = min(config.generate.shots.assertions, len(tested.usable("I->T")))  # a bank may test by other means
            settings[name] = replace(common, bank=tested, shots=shots)
        else:
            settings[name] = replace(common, shots=getattr(config.generate.shots, name))
    return settings


def _for_judge(common: GenerationSettings, config: Config) -> GenerationSettings:
    """The judge says the most likely word of a few tokens, whatever the tasks are sampled with."""
    own = config.judge.model
    temperature = 0.0 if own.sampling.temperature is None else own.sampling.temperature
    return replace(
        common,
        bank=load_judging(),
        sampling=msgspec.structs.replace(own.sampling, temperature=temperature),
        max_tokens=own.max_tokens or _JUDGE_TOKENS,
        shots=config.judge.shots,
        fewshot_draws=1,
        match_examples=False,
    )


def for_models(generation: dict[str, GenerationSettings], models: Mapping[str, str]) -> dict[str, GenerationSettings]:
    """The same settings, for models that have names.

    Args:
        generation: by stage.
        models: their names, by stage; stages without one are left out.
    """
    return {stage: replace(settings, model=models[stage]) for stage, settings in generation.items() if stage in models}


@dataclass(frozen=True)
class ExecutionSettings:
    """How programs run.

    Attributes:
        table: tier, workers, and whether programs may make processes.
        limits: what one program may use.
        interpreter: the Python that runs programs.
        environment: it with its version, as verdicts depend on it.
        first_cpu: number of the CPU of the first worker, where several sandboxes share a machine; None for any.
    """

    table: ExecuteTable
    limits: Limits
    interpreter: str
    environment: str
    first_cpu: int | None = None

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
            first_cpu=self.first_cpu,
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
        calibration: what evidence is worth.
    """

    config: Config
    seeds: SeedSettings
    generation: dict[str, GenerationSettings]
    execution: ExecutionSettings
    calibration: Calibration

    @property
    def asked(self) -> dict[str, Any]:
        """What decides about samples and their evidence, by the names of the keys; a calibration holds for the same."""
        generation, config = self.generation[RESPONSES], self.config
        return {
            "generate.samples": config.generate.samples,
            "generate.accept": config.generate.accept,
            "verify.tests": config.verify.tests,
            "review.evidence": config.review.evidence,
            "temperature": generation.temperature,
            "few-shot bank": generation.bank.hash,
        }


def resolve(config: Config) -> Settings:
    """Check a configuration and work out what each stage needs. Nothing is written, and no server is asked.

    Raises:
        UsageError: something in it cannot be used; the sentence names the key.
    """
    if config.verify.tests and not config.verify.agreement:
        raise UsageError(
            "verify.tests: assertions are put to the samples crosswise, which verify.agreement = false switches off."
        )
    for stage in ASKING:
        server_addresses(model_of_stage(config, stage))
    return Settings(
        config=config,
        seeds=resolve_seeds(config),
        generation=resolve_generation(config),
        execution=resolve_execution(config.execute),
        calibration=load_calibration(config.verify.calibration),
    )


def remember_forgotten(settings: Settings, directory: RunDirectory) -> Settings:
    """The settings of a run whose directory says what must not be mined again.

    Raises:
        StoreError: the tombstones cannot be read.
    """
    forgotten = Forgotten(directory.read_forgotten())
    return replace(settings, seeds=replace(settings.seeds, forgotten=forgotten))


def check_servers(config: Config) -> None:
    """Check what only asking needs: names of models, and keys and headers in the environment.

    Raises:
        UsageError: something is missing; the sentence says what.
    """
    for stage in asked_stages(config):
        table = model_of_stage(config, stage)
        if table.serve is not None:
            model_to_serve(table)
        if server_addresses(table):
            read_key(table)
            read_headers(table.headers)
