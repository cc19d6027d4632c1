"""Classifies faults: transient (retry), specific to one request (one reject), or fatal (stop with a message)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, NoReturn

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


class Place(NamedTuple):
    """Where a fault came from, for its message: the server's address, the model, and the variable with the key."""

    address: str
    model: str
    key_variable: str = ""


def _advice_on_key(variable: str) -> str:
    """What helps where a server rejects the key."""
    return f"Set {variable} to a valid key." if variable else "Name the variable with its key in key_variable."


def classify(status: int, body: bytes, headers: Any, at: Place) -> Refusal:
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
            f"The server at {at.address} rejected the API key (HTTP {status}: {message}). {_advice_on_key(at.key_variable)}"
        )
    if status == 404:
        raise ModelNotFound(
            f"The server at {at.address} has no model {at.model!r} or no such endpoint (HTTP 404: {message}). "
            "Run `snipmill doctor --base-url URL` to list the models that it serves."
        )
    if status in (400, 413, 422):
        reason = Reason.PROMPT_TOO_LONG if is_too_long(message) else Reason.REFUSED_BY_SERVER
        return Refusal(reason=reason, detail=f"HTTP {status}: {message}")
    raise ServerError(f"The server at {at.address} answered HTTP {status}: {message}. Check the server's log.")


_KNOWN_STATUS = (400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504)
_STATUS_BY_WORD = (
    (("rate_limit", "ratelimit", "overloaded", "quota"), 429),
    (("context_length",), 400),
    (("authentication", "invalid_api_key", "permission"), 401),
    (("invalid_request", "badrequest", "bad_request"), 400),
)


def raise_error(error: Any, at: Place) -> NoReturn:
    """Raise what an error means that came under status 200, in a body or in a stream.

    Raises:
        Refused: it is specific to this request.
        Transient, AuthenticationFailed, ModelNotFound, ServerError: as `classify`.
    """
    fields = error if isinstance(error, dict) else {"message": error}
    message = str(fields.get("message") or error)[:500]
    told = next((str(fields[key]) for key in ("code", "status", "status_code") if fields.get(key) is not None), "")
    if told.isdecimal() and int(told) in _KNOWN_STATUS:
        status = int(told)
    else:
        said = f"{told} {fields.get('type', '')}".lower()
        found = (number for words, number in _STATUS_BY_WORD if any(word in said for word in words))
        status = 400 if is_too_long(message) else next(found, 500)
    raise Refused(classify(status, msgspec.json.encode({"error": {"message": message}}), {}, at))


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
        listed = value.get("detail")
        if isinstance(listed, list):  # FastAPI's, which repeats the whole request in `input`
            parts = [one for one in listed if isinstance(one, dict)]
            return "; ".join(f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg', '')}" for one in parts)[:500]
        if isinstance(error, dict):
            return str(error.get("message", error))[:500]
        return str(error)[:500]
    return str(value)[:500]


def _retry_after(headers: Any) -> float | None:
    try:
        return min(max(float(headers.get("Retry-After")), 0.0), 600.0)
    except (TypeError, ValueError):
        return None
