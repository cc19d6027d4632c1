"""An engine for Ray Serve LLM that answers as the stand-in server does, in place of vLLM, which needs a GPU."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from ray.llm._internal.serve.core.configs.openai_api_models import CompletionResponse
from ray.llm._internal.serve.core.engine.protocol import LLMEngine

from tests.standin import answer_to


class StandInEngine(LLMEngine):
    """What Ray Serve LLM calls an engine: completions as a stream of events."""

    def __init__(self, llm_config: Any) -> None:
        self._config = llm_config

    async def start(self) -> None:
        """Nothing has to be loaded."""

    def routing_stats(self) -> dict[str, Any]:
        return {}

    async def resolve_lora(self, lora_model: Any) -> None:
        raise NotImplementedError

    async def check_health(self) -> None:
        """Always well."""

    async def completions(self, request: Any, raw_request_info: Any = None) -> AsyncGenerator[Any, None]:
        body = request.model_dump()
        text = answer_to({"prompt": body["prompt"], "seed": body.get("seed") or 0})
        usage = {"prompt_tokens": 10, "completion_tokens": len(text.split()), "total_tokens": 10 + len(text.split())}
        common = {"id": "c", "object": "text_completion", "created": 0, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "text": text, "finish_reason": "stop"}
            yield CompletionResponse(**common, choices=[choice], usage=usage)
            return
        for place in range(0, len(text), 40):
            choice = {"index": 0, "text": text[place : place + 40], "finish_reason": None}
            yield f"data: {json.dumps({**common, 'choices': [choice]})}\n\n"
        last = {"index": 0, "text": "", "finish_reason": "stop"}
        yield f"data: {json.dumps({**common, 'choices': [last], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"

    async def chat(self, request: Any, raw_request_info: Any = None) -> AsyncGenerator[Any, None]:
        raise NotImplementedError
        yield

    async def embeddings(self, request: Any, raw_request_info: Any = None) -> AsyncGenerator[Any, None]:
        raise NotImplementedError
        yield

    async def transcriptions(self, request: Any, raw_request_info: Any = None) -> AsyncGenerator[Any, None]:
        raise NotImplementedError
        yield

    async def reset_prefix_cache(self) -> None:
        """There is none."""
