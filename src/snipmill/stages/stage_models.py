"""Which model and server each stage uses: `[model]`, with what differs for the stage."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.config_model import ModelTable, SamplingTable, StageModelTable, StagesTable
from snipmill.errors import UsageError
from snipmill.stages.spec import JUDGE


def model_of_stage(config: Config, stage: str) -> ModelTable:
    """`[model]` as it is for one stage.

    Raises:
        UsageError: the stage names another model of a server that we start, which has only one.
    """
    own: StageModelTable = config.judge.model if stage == JUDGE else getattr(config.model.stages, stage)
    base = config.model
    where = "judge.model" if stage == JUDGE else f"model.stages.{stage}"
    if base.serve is not None and own.name not in (None, base.name) and own.base_url is None:
        raise UsageError(
            f"{where}.name: the vLLM server that snipmill starts serves one model. Start a server for {own.name}, and give its "
            f"address as {where}.base_url."
        )
    changed: dict[str, Any] = {
        name: value
        for name in ("key_variable", "prompting", "max_tokens", "max_thinking_tokens")
        if (value := getattr(own, name)) is not None
    }
    if own.base_url is not None:
        changed |= {"base_url": own.base_url, "serve": None, "name": own.name}
    elif own.name is not None:
        changed["name"] = own.name
    is_another = own.base_url is not None or own.name is not None
    return msgspec.structs.replace(
        base,
        **changed,
        extra_body={**base.extra_body, **own.extra_body},
        headers={**base.headers, **own.headers},
        sampling=_merged(base.sampling, own.sampling),
        stages=StagesTable(),
        price=own.price if is_another else base.price,
    )


def _merged(base: SamplingTable, own: SamplingTable) -> SamplingTable:
    given = {name: value for name, value in msgspec.structs.asdict(own).items() if value not in (None, ())}
    return msgspec.structs.replace(base, **given)
