"""Log probabilities of a given text after a prompt, in the ways in which servers can be made to tell them.

The protocol has none that all servers share. vLLM and others echo the prompt with its log probabilities (`echo`). SGLang has an
endpoint of its own. llama.cpp echoes nothing: there a grammar of token ids forces the text, and the log probabilities of what was
"sampled" are those of the model. (A grammar of characters would let it choose other tokens for the same text.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from snipmill.llm.answer import read_usage
from snipmill.llm.request import Request
from snipmill.records import Completion, Usage

Way = Literal["echo", "generate", "grammar"]
WAYS: tuple[Way, ...] = ("echo", "generate", "grammar")
NOT_TOLD = "not-told"  # the finish reason where a server cannot tell them
_ROUNDING = 1e-3  # by which a log probability may be above 0


@dataclass(frozen=True)
class Call:
    """One HTTP request: where, below the server's root or its /v1, and what."""

    path: str
    below_v1: bool
    body: dict[str, Any]


def tokenize_call(request: Request) -> Call:
    """Asks llama.cpp for the tokens of the text."""
    return Call("tokenize", False, {"content": request.scored, "add_special": False, "parse_special": False})


def read_tokens(answer: Any) -> list[int]:
    """The token ids in llama.cpp's answer; none where it is another server's."""
    tokens = answer.get("tokens") if isinstance(answer, dict) else None
    return tokens if isinstance(tokens, list) and all(isinstance(token, int) for token in tokens) else []


def scoring_call(way: Way, request: Request, tokens: Sequence[int] = ()) -> Call:
    """The request that makes a server tell the log probabilities.

    Args:
        way: how.
        request: its prompt, and the text to be scored.
        tokens: of the text, for a grammar.
    """
    assert isinstance(request.prompt, str)
    whole = request.prompt + request.scored
    if way == "generate":
        sampling = {"max_new_tokens": 1, "temperature": 0}
        asked = {"return_logprob": True, "logprob_start_len": 0, "return_text_in_logprobs": True}
        return Call("generate", False, {"text": whole, "sampling_params": sampling, **asked})
    body = {"model": request.model, "temperature": 0, "logprobs": 1, "stream": False, **request.fields}
    if way == "echo":
        return Call("completions", True, {**body, "prompt": whole, "max_tokens": 1, "echo": True})
    grammar = f"root ::= {' '.join(f'<[{token}]>' for token in tokens)}"
    forced = {"prompt": request.prompt, "max_tokens": len(tokens), "grammar": grammar, "cache_prompt": True}
    return Call("completions", True, {**body, **forced})


def read_scores(way: Way, answer: Any, request: Request, tokens: Sequence[int] = ()) -> Completion | None:
    """The text with the log probability of each of its tokens, or without them where they cannot be told from others.

    Args:
        way: how they were asked for.
        answer: the server's, decoded.
        request: what was asked.
        tokens: of the text, where a grammar forced them.

    Returns:
        None where the answer is none of a server that tells log probabilities in this way.
    """
    try:
        if way == "generate":
            meta = answer["meta_info"]
            told, usage = meta["input_token_logprobs"], read_usage(meta)
            scores = _of_text([one[2] for one in told], [one[0] for one in told], request.scored, 0)
        elif way == "echo":
            told, usage = answer["choices"][0]["logprobs"], read_usage(answer.get("usage"))
            generated = max(usage.completion_tokens, 1)
            if len(told["tokens"]) <= generated:  # only what was generated
                return None
            scores = _of_text(told["tokens"], told["token_logprobs"], request.scored, generated)
        else:
            told, usage = answer["choices"][0]["logprobs"]["content"], read_usage(answer.get("usage"))
            scores = [float(one["logprob"]) for one in told]
            if [one.get("id") for one in told] != list(tokens):
                return None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    if not scores or not all(map(_is_log_probability, scores)):
        return not_told(request, usage)
    return Completion(text=request.scored, finish_reason="stop", usage=usage, scores=scores)


def _is_log_probability(score: float) -> bool:
    return math.isfinite(score) and score < _ROUNDING


def not_told(request: Request, usage: Usage | None = None) -> Completion:
    """What comes of a request that a server cannot serve; `usage` is what it cost."""
    return Completion(text=request.scored, finish_reason=NOT_TOLD, usage=usage or Usage())


def _of_text(tokens: Sequence[str], given: Sequence[float | None], text: str, generated: int) -> list[float]:
    """The log probabilities of the last tokens of a prompt that make up the text; empty where they are not there.

    A token that begins in what stands before the text counts, too. Counted from the end: a server may put a token of its own first.
    Characters that are cut into several tokens cannot be read, so that only ASCII is compared where the text has any.

    Args:
        tokens: of prompt and answer, as text.
        given: log probabilities by token; None for the first.
        text: what the prompt ends with.
        generated: how many tokens at the end are the answer.
    """
    readable = _ascii if _ascii(text) else str
    wanted = readable(text)
    last = len(tokens) - generated
    joined, first = "", last
    while first > 0 and len(joined) < len(wanted):
        first -= 1
        joined = readable(tokens[first]) + joined
    scores = [float(one) for one in given[first:last] if one is not None]
    return scores if joined.endswith(wanted) and len(scores) == last - first else []


def _ascii(text: str) -> str:
    return text.encode("ascii", "ignore").decode()
