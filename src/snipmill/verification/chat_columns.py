"""Chats in the columns of a data set: whose messages are the task and the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

USERS, MODELS = ("user", "human"), ("assistant", "gpt", "model", "bot", "chatgpt")


def decoded(value: Any) -> Any:
    """A list or object, also where a column holds it as JSON."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def turn(column: str, roles: Sequence[str]) -> Callable[[Row], str | None]:
    """The last answer of a model that holds code, or its last one at all; of a user, the message before it."""

    def read(row: Row) -> str | None:
        turns = _turns(row.get(column))
        answers = [number for number, (role, _) in enumerate(turns) if role in MODELS]
        with_code = [number for number in answers if "```" in turns[number][1]]
        before = turns[: (with_code or answers)[-1] + 1] if answers else []
        return next((text for role, text in reversed(before) if role in roles), None)

    return read


def _turns(value: Any) -> list[tuple[str, str]]:
    """The (role, text) of each message of a chat."""
    messages = decoded(value)
    turns: list[tuple[str, str]] = []
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict):
            role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
            if isinstance(content, list):
                content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
            if isinstance(role, str) and isinstance(content, str):
                turns.append((role.lower(), content))
    return turns


def text_or_turn(row: Row, column: str, roles: Sequence[str]) -> Any:
    """A prompt or completion of TRL, which may be a text or messages."""
    value = row.get(column)
    if isinstance(value, str) or value is None:
        return value
    lists = (one for one in (row.get("prompt"), row.get("completion")) if isinstance(one, list))
    return turn("chat", roles)({"chat": [message for messages in lists for message in messages]})
