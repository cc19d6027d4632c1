"""What servers mean by the reason for which a completion ended; each names it in its own words."""

from __future__ import annotations

from snipmill.llm.faults import Transient

STOP, LENGTH, UNSTATED, THINKING = "stop", "length", "unstated", "thinking"
_STOPPED = frozenset(
    (
        "stop",
        "eos",
        "eos_token",
        "stop_sequence",
        "stop_token",
        "end_turn",
        "end",
        "complete",
        "completed",
        "finished",
        "done",
        "end_of_text",
    )
)
_TOO_LONG = frozenset(("length", "max_tokens", "max_length", "model_length", "max_output_tokens", "token_limit"))
_FAULTS = frozenset(
    (
        "abort",
        "aborted",
        "error",
        "shutdown",
        "cancelled",
        "canceled",
        "timeout",
        "network_error",
        "overloaded",
        "interrupted",
    )
)


def is_fault(reason: str) -> bool:
    """Whether a server says that it broke off, so that the same request may succeed later."""
    return reason.strip().lower() in _FAULTS


def normalize(reason: str | None) -> str:
    """`stop`, `length`, `unstated` where no reason was given, or the server's own word where it is none of the known ones.

    Raises:
        Transient: the server broke off.
    """
    word = (reason or "").strip().lower().rpartition(".")[2]  # also of an enum, such as "FinishReason.STOP"
    if word in _FAULTS:
        raise Transient(f"the server broke off: finish_reason {word!r}")
    if word in _STOPPED:
        return STOP
    if word in _TOO_LONG:
        return LENGTH
    return word or UNSTATED
