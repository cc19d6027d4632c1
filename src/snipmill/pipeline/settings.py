"""From the one configuration to what each stage needs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator

from snipmill.config import Config
from snipmill.pipeline.bank_files import load_bank, load_judging
from snipmill.pipeline.generate import Generation
from snipmill.prompts.concepts import STAGE as CONCEPTS
from snipmill.prompts.fewshot import Bank
from snipmill.prompts.instructions import STAGE as INSTRUCTIONS
from snipmill.prompts.judge import STAGE as JUDGE
from snipmill.prompts.responses import STAGE as RESPONSES
from snipmill.prompts.stage import Draws
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.interpreter import find_interpreter
from snipmill.sandbox.program import Limits

_JUDGE_TOKENS = 4


def generations(config: Config, model: str, bank: Bank | None = None) -> dict[str, Generation]:
    """By stage name, everything that decides what is asked."""
    bank = bank or load_bank(config.generate.fewshot)
    shots = config.generate.shots
    counts = {CONCEPTS.name: shots.concepts, INSTRUCTIONS.name: shots.instructions, RESPONSES.name: shots.responses}
    draws = Draws(config.run.seed, config.generate.categories, config.generate.difficulties)
    of_tasks = {
        name: Generation(
            bank=bank.answering_with(config.generate.response_examples) if name == RESPONSES.name else bank,
            model=model,
            prompting=config.model.prompting,
            temperature=config.model.temperature,
            max_tokens=config.model.max_tokens,
            shots=count,
            fewshot_draws=config.generate.draws,
            match_examples=config.generate.match_examples,
            draws=draws,
        )
        for name, count in counts.items()
    }
    # The most likely word of a few tokens, whatever the tasks are sampled with.
    judge = Generation(
        bank=load_judging(),
        model=model,
        prompting=config.model.prompting,
        temperature=0.0,
        max_tokens=_JUDGE_TOKENS,
        shots=config.judge.shots,
        fewshot_draws=1,
        draws=draws,
    )
    return {JUDGE.name: judge, **of_tasks}


def limits(config: Config) -> Limits:
    """What one program may use."""
    return Limits(timeout=config.execute.timeout, memory=config.execute.memory << 20)


def interpreter(config: Config) -> str:
    """The Python that programs run in."""
    return config.execute.interpreter or sys.executable


def environment(config: Config) -> str:
    """What a verdict depends on beside program, limits and tier: which Python runs it, and whether it may make processes.

    Raises:
        UsageError: the Python cannot be run.
    """
    python, version = find_interpreter(interpreter(config))
    forks = ", may fork" if config.execute.allow_fork else ""
    return f"{python}, Python {version}{forks}"


def open_sandbox(config: Config, *, hash_seed: int = 0, tier: str | None = None) -> Sandbox:
    """The sandbox, not yet entered."""
    return Sandbox(
        hash_seed=hash_seed,
        tier=tier or config.execute.sandbox,
        limits=limits(config),
        workers=config.execute.workers or None,
        interpreter=interpreter(config),
        allow_fork=config.execute.allow_fork,
    )


@contextlib.asynccontextmanager
async def open_sandboxes(config: Config) -> AsyncIterator[tuple[Sandbox, Sandbox]]:
    """The sandbox, and another one for second runs: of the same tier, with another hash seed and other working folders."""
    async with open_sandbox(config) as sandbox, open_sandbox(config, hash_seed=1, tier=sandbox.tier) as again:
        yield sandbox, again
