"""What a run cost, and what a row cost: requests, tokens, speed, and money where prices are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snipmill.config_model import PriceTable
from snipmill.llm.fleet import Counts
from snipmill.stages.budget import cost
from snipmill.stages.funnel import Funnel
from snipmill.stages.spec import ASKING


def account(
    funnel: Funnel, counts: Sequence[Counts], seconds: float, prices: Mapping[str, PriceTable]
) -> dict[str, Any]:
    """The account of a run, as it stands in the manifest.

    Args:
        funnel: tokens by stage, those of earlier sessions of the run included.
        counts: requests and retries of this session, by fleet.
        seconds: how long this session has taken.
        prices: per million tokens, by stage.

    Returns:
        totals of tokens; tokens and money per accepted row (None while there is none); speeds of this session; and what
        the responses would have cost, had every instruction used up its budget of samples.
    """
    stages = [funnel[name] for name in ASKING]
    prompt, cached, completion, thinking = (
        sum(getattr(stage, name) for stage in stages)
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "thinking_tokens")
    )
    rows, accepted = funnel["select"].kept, funnel["sanitize"].kept
    responses = funnel["responses"]
    drawn, spared = responses.came_in, responses.spared
    share = (drawn + spared) / drawn if drawn else 1.0
    fresh = sum(stage.fresh_tokens for stage in stages)
    price = sum(cost(funnel[name].usage, prices[name]) for name in ASKING)
    return {
        "requests": sum(count.requests for count in counts),
        "retries": sum(count.retries for count in counts),
        "empty_answers": sum(count.empty for count in counts),
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "completion_tokens": completion,
        "thinking_tokens": thinking,
        "tokens_per_second": round(fresh / seconds, 1) if seconds else 0.0,
        "rows_per_hour": round(3600 * funnel["execute"].fresh / seconds, 1) if seconds else 0.0,
        **per_row(rows, prompt + completion, price),
        "tokens_per_accepted_sample": round((prompt + completion) / accepted) if accepted else None,
        "samples_drawn": drawn,
        "samples_spared": spared,
        "response_tokens": responses.completion_tokens,
        "response_tokens_without_early_stop": round(responses.completion_tokens * share),
        "cost": round(price, 6) if price else None,
    }


def per_row(rows: int, tokens: int, cost: float | None) -> dict[str, Any]:
    """What a row cost, in tokens and in money; None while there is none, or where prices are not given."""
    return {
        "rows": rows,
        "tokens_per_row": round(tokens / rows) if rows else None,
        "cost_per_row": round(cost / rows, 6) if cost and rows else None,
    }
