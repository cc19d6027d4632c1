"""Classifies faults: transient (retry), specific to one request (one reject), or fatal (stop with a message)."""

from __future__ import annotations

from typing import Any

import msgspec

from snipmill.errors import AuthenticationFailed, ModelNotFound, ServerError
from snipmill.reasons import Reason
from snipmill.records import Refusal

_TRANSIENT = frozenset({408, 409, 425})
_TOO_LONG = ("context", "too long", "maximum", "exceed")


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
        lowered = message.lower()
        reason = Reason.PROMPT_TOO_LONG if any(word in lowered for word in _TOO_LONG) else Reason.REFUSED_BY_SERVER
        return Refusal(reason=reason, detail=f"HTTP {status}: {message}")
    raise ServerError(f"The server at {address} answered HTTP {status}: {message}. Check the server's log.")


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
