"""Which model and server each stage uses: `[model]`, with what differs for the stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.config_model import ModelTable, PriceTable, SamplingTable, StageModelTable, StagesTable
from snipmill.errors import UsageError
from snipmill.stages.spec import ASKING, ASSERTIONS, JUDGE, REVIEW

_OWN_FIELDS = frozenset(
    (
        "model",
        "messages",
        "prompt",
        "n",
        "seed",
        "stream",
        "stop",
        "temperature",
        "max_tokens",
        "logprobs",
        "top_logprobs",
        "echo",
        "grammar",
        "cache_prompt",
    )
)
_OWN_KEYS = {
    "model": "the key is name.",
    "n": "the key is generate.per_request.",
    "seed": "the key is run.seed.",
    "stream": "the key is model.stream.",
    "stop": "the key is sampling.stop.",
    "temperature": "the key is sampling.temperature.",
    "max_tokens": "the key is max_tokens in [model].",
}


def model_of_stage(config: Config, stage: str) -> ModelTable:
    """`[model]` as it is for one stage.

    Another server gets no key, header or field of `[model]`: these were meant for the server there.

    Raises:
        UsageError: what the stage says of its model cannot be.
    """
    apart = {JUDGE: config.judge.model, REVIEW: config.review.model}
    own: StageModelTable = apart[stage] if stage in apart else getattr(config.model.stages, stage)
    base = config.model
    where = f"{stage}.model" if stage in apart else f"model.stages.{stage}"
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
    is_elsewhere = own.base_url is not None
    if is_elsewhere:
        changed |= {"base_url": own.base_url, "serve": None, "name": own.name, "key_variable": own.key_variable or ""}
    elif own.name is not None:
        changed["name"] = own.name
    extra_body = own.extra_body if is_elsewhere else {**base.extra_body, **own.extra_body}
    _refuse_own_fields(extra_body, where if own.extra_body else "model")
    has_own_price = is_elsewhere or own.name is not None or own.price != PriceTable()
    return msgspec.structs.replace(
        base,
        **changed,
        extra_body=extra_body,
        headers=own.headers if is_elsewhere else {**base.headers, **own.headers},
        sampling=_merged(base.sampling, own.sampling),
        stages=StagesTable(),
        price=own.price if has_own_price else base.price,
    )


def asked_stages(config: Config) -> list[str]:
    """The stages for which a run asks a model, in the order of the data."""
    return [name for name in ASKING if is_used(config, name)]


def is_used(config: Config, stage: str) -> bool:
    """Whether a run has a stage: some are off until they are asked for."""
    optional = {
        JUDGE: config.judge.enabled,
        ASSERTIONS: config.verify.tests > 0 and config.verify.agreement,
        REVIEW: config.review.evidence != "off",
    }
    return optional.get(stage, True)


def _refuse_own_fields(extra_body: Mapping[str, Any], where: str) -> None:
    """Fields that a request has anyway would contradict what is expected of its answer, or what its id hashes."""
    for name in sorted(_OWN_FIELDS & extra_body.keys()):
        instead = _OWN_KEYS.get(name, "there is no key for it.")
        raise UsageError(f"{where}.extra_body: {name!r} is set by snipmill itself. Take it out; {instead}")


def _merged(base: SamplingTable, own: SamplingTable) -> SamplingTable:
    given = {name: value for name, value in msgspec.structs.asdict(own).items() if value not in (None, ())}
    return msgspec.structs.replace(base, **given)
