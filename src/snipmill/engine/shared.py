"""What the stages of one chain have in common: connections to servers, and budgets."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.config_model import ModelTable
from snipmill.llm.connect import Connection, Endpoints
from snipmill.stages.budget import Budget, open_budget, prices_by_stage


class Shared:
    """Connections and budgets that the stages of one chain have in common; use as an asynchronous context manager."""

    def __init__(self) -> None:
        self._endpoints = Endpoints()
        self._budgets: dict[bytes, Budget] = {}

    async def connect(self, table: ModelTable) -> Connection:
        """The connection of a table.

        Raises:
            SnipmillError: the server cannot be used.
        """
        return await self._endpoints.connect(table)

    def budget(self, config: Config) -> Budget:
        """The budget of a configuration. Stages with the same limits and prices spend the same one.

        Raises:
            UsageError: a cost is limited, and nothing says what the tokens of some stage cost.
        """
        prices = prices_by_stage(config), config.model.price
        key = msgspec.json.encode((config.run.max_cost, config.run.max_tokens_total, prices), order="deterministic")
        if key not in self._budgets:
            self._budgets[key] = open_budget(config)
        return self._budgets[key]

    @property
    def is_spent(self) -> bool:
        """Whether no stage of the chain may ask anything more."""
        return bool(self._budgets) and all(budget.spent for budget in self._budgets.values())

    async def __aenter__(self) -> Shared:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._endpoints.__aexit__(*error)
