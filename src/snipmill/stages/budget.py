"""What may be spent: money and tokens, over all sessions of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from snipmill.config import Config
from snipmill.config_model import PriceTable
from snipmill.errors import BudgetSpent, UsageError
from snipmill.records import Usage
from snipmill.stages.spec import ASKING, JUDGE, REVIEW
from snipmill.stages.stage_models import asked_stages, model_of_stage

HOW_TO_GO_ON = "Everything is kept; raise the budget, and run the same command again to go on."


def cost(usage: Usage, prices: PriceTable) -> float:
    """What tokens cost; cached ones are a part of those of the prompt."""
    cached_price = prices.prompt if prices.cached is None else prices.cached
    uncached = usage.prompt_tokens - usage.cached_tokens
    return (
        uncached * prices.prompt + usage.cached_tokens * cached_price + usage.completion_tokens * prices.completion
    ) / 1e6


def prices_by_stage(config: Config) -> dict[str, PriceTable]:
    """What tokens of each generation stage cost."""
    return {stage: model_of_stage(config, stage).price for stage in ASKING}


@dataclass
class Budget:
    """Counts what is spent; `check` before each request.

    Requests that are in flight when the budget is used up are still paid, so that it may be exceeded by those.
    """

    max_cost: float | None
    max_tokens: int | None
    prices: Mapping[str, PriceTable]
    usual: PriceTable = field(default_factory=PriceTable)  # of stages that a Python program adds
    cost: float = 0.0
    tokens: int = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_cost is not None or self.max_tokens is not None

    def spend(self, stage: str, usages: Iterable[Usage]) -> None:
        """Count the tokens of a stage."""
        for usage in usages:
            self.tokens += usage.prompt_tokens + usage.completion_tokens
            self.cost += cost(usage, self.prices.get(stage, self.usual))

    @property
    def spent(self) -> str | None:
        """A sentence where the budget is used up."""
        if self.max_cost is not None and self.cost >= self.max_cost:
            return f"The budget is spent: {self.cost:,.4g} of {self.max_cost:,.4g} (run.max_cost)."
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            return f"The budget is spent: {self.tokens:,} of {self.max_tokens:,} tokens (run.max_tokens_total)."
        return None

    def check(self) -> None:
        """Refuse another request where the budget is used up.

        Raises:
            BudgetSpent: it is.
        """
        spent = self.spent
        if spent is not None:
            raise BudgetSpent(f"{spent} {HOW_TO_GO_ON}")


def open_budget(config: Config) -> Budget:
    """The budget of a configuration, with nothing spent yet.

    Raises:
        UsageError: a cost is limited, and nothing says what the tokens of some stage cost.
    """
    prices = prices_by_stage(config)
    for stage in asked_stages(config):
        if config.run.max_cost is not None and not (prices[stage].prompt or prices[stage].completion):
            own = f"{stage}.model.price" if stage in (JUDGE, REVIEW) else f"model.stages.{stage}.price"
            key = own if stage == JUDGE else f"model.price, or {own}"
            raise UsageError(
                f"run.max_cost needs the price of tokens for {stage}. Set {key}, or use run.max_tokens_total."
            )
    return Budget(config.run.max_cost, config.run.max_tokens_total, prices, config.model.price)
