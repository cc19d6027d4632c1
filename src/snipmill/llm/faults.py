"""Classifies faults: transient (retry), specific to one request (one reject), or fatal (stop with a message)."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import msgspec

from snipmill.errors import AuthenticationFailed, ModelNotFound, ServerError
from snipmill.reasons import Reason
from snipmill.records import Refusal

_TRANSIENT = frozenset({408, 409, 425})
_TOO_LONG = re.compile(
    r"context|prompt.{0,40}too long|too long|exceed|maximum.{0,30}(?:length|input|prompt)", re.IGNORECASE
)


class Transient(Exception):
    """A transient fault; `wait` is the delay that the server asked for, in seconds."""

    def __init__(self, detail: str, wait: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.wait = wait


class ConnectFailed(Transient):
    """No connection could be made."""


class Hung(Transient):
    """The server sent no data for too long."""


class Refused(Exception):
    """The server refuses this one request; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class Overloaded(Transient):
    """The server reports that it is overloaded (HTTP 429 or 503)."""


def classify(status: int, body: bytes, headers: Any, address: str, model: str) -> Refusal:
    """Classify an HTTP error answer.

    Returns:
        a refusal, if the fault is specific to this request.

    Raises:
        Transient: the same request may succeed later.
        AuthenticationFailed, ModelNotFound, ServerError: no request of this run can succeed.
    """
    message = error_message(body)
    if status in (429, 503):
        raise Overloaded(f"HTTP {status}: {message}", _retry_after(headers))
    if status in _TRANSIENT or status >= 500:
        raise Transient(f"HTTP {status}: {message}", _retry_after(headers))
    if status in (401, 403):
        raise AuthenticationFailed(
            f"The server at {address} rejected the API key (HTTP {status}: {message}). "
            "Set OPENAI_API_KEY to a valid key."
        )
    if status == 404:
        raise ModelNotFound(
            f"The server at {address} has no model {model!r} or no such endpoint (HTTP 404: {message}). "
            "Run `snipmill doctor --base-url URL` to list the models that it serves."
        )
    if status in (400, 413, 422):
        reason = Reason.PROMPT_TOO_LONG if is_too_long(message) else Reason.REFUSED_BY_SERVER
        return Refusal(reason=reason, detail=f"HTTP {status}: {message}")
    raise ServerError(f"The server at {address} answered HTTP {status}: {message}. Check the server's log.")


_STATUS_BY_WORD = (
    (("rate_limit", "rate limit", "overloaded", "too many requests", "quota"), 429),
    (("context_length", "context length", "context window", "too long"), 400),
    (("authentication", "invalid api key", "invalid_api_key", "permission"), 401),
    (("invalid_request", "bad request", "badrequest", "unsupported"), 400),
)


def raise_error(error: Any, address: str, model: str) -> NoReturn:
    """Raise what an error means that came under status 200, in a body or in a stream.

    Raises:
        Refused: it is specific to this request.
        Transient, AuthenticationFailed, ModelNotFound, ServerError: as `classify`.
    """
    fields = error if isinstance(error, dict) else {"message": error}
    message = str(fields.get("message") or error)[:500]
    told = next((str(fields[key]) for key in ("code", "status", "status_code") if fields.get(key) is not None), "")
    if told.isdecimal() and 400 <= int(told) < 600:
        status = int(told)
    else:
        said = f"{told} {fields.get('type', '')} {message}".lower()
        status = next((number for words, number in _STATUS_BY_WORD if any(word in said for word in words)), 500)
    raise Refused(classify(status, msgspec.json.encode({"error": {"message": message}}), {}, address, model))


def is_too_long(message: str) -> bool:
    """Whether a server says that a prompt and its answer do not fit into its context."""
    return _TOO_LONG.search(message) is not None


def error_message(body: bytes) -> str:
    """Extract the message from an error answer of any shape."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:300].decode("utf-8", "replace").strip() or "no message"
    if isinstance(value, dict):
        error = value.get("error", value)
        if isinstance(error, dict):
            return str(error.get("message", error))[:500]
        return str(error)[:500]
    return str(value)[:500]


def _retry_after(headers: Any) -> float | None:
    try:
        return min(max(float(headers.get("Retry-After")), 0.0), 600.0)
    except (TypeError, ValueError):
        return None
