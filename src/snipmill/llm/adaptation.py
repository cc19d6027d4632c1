"""What a server turned out not to take, and is no longer sent: optional parameters, system messages, streams.

A server says so in the sentence with which it refuses a request (HTTP 400 or 422). Only what the user did not ask for is left
out; a temperature that a server refuses is a fault of the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from snipmill.llm.faults import is_too_long

_OPTIONAL = ("seed", "top_logprobs", "logprobs", "stream_options", "stream_interval", "timings_per_token", "stop")
_SYSTEM = re.compile(
    r"system\b.{0,40}(?:role|message|prompt|support|allow)|(?:role|message).{0,40}\bsystem|alternate", re.IGNORECASE
)
_STREAM = re.compile(r"\bstream(?:ing|ed)?\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|not (?:be )?(?:supported|permitted|allowed|implemented|available|used)|extra"
    r"|(?:does|do|can) ?not support|invalid (?:parameter|argument|field)|forbidden|only supports|is not (?:valid|enabled)",
    re.IGNORECASE,
)
_OTHER_NAME = "max_completion_tokens"  # what OpenAI's newer models call it


class Adaptation:
    """What is left out at one server.

    Attributes:
        notes: a sentence for each thing that is left out.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._left_out: set[str] = set()
        self.notes: list[str] = []

    @property
    def streams(self) -> bool:
        """Whether the server can stream."""
        return "stream" not in self._left_out

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request, without what the server does not take."""
        adapted = {name: value for name, value in body.items() if name not in self._left_out or name == "stream"}
        if "system" in self._left_out and "messages" in adapted:
            adapted["messages"] = _without_system(adapted["messages"])
        if not self.streams:
            adapted["stream"] = False
        if "max_tokens" in self._left_out:
            adapted[_OTHER_NAME] = body["max_tokens"]
        return adapted

    def learn(self, message: str, body: Mapping[str, Any]) -> bool:
        """Whether a refused request should be sent again, with something left out.

        Args:
            message: the server's sentence.
            body: what was refused.
        """
        found = self._find(message, body)
        if found is None:
            return False
        if found not in self._left_out:
            self._left_out.add(found)
            shown = " ".join(message.split())[:160]
            what = {
                "system": "system messages; they are put before the first question",
                "stream": "streams; whole answers are requested",
                "max_tokens": f"`max_tokens`; `{_OTHER_NAME}` is sent",
            }.get(found, f"`{found}`; it is left out")
            self.notes.append(f"The server at {self._url} does not take {what} ({shown}).")
        return True

    @staticmethod
    def _find(message: str, body: Mapping[str, Any]) -> str | None:
        if is_too_long(message):  # a server that names all that a request holds speaks of its length
            return None
        if _OTHER_NAME in message and "max_tokens" in body and "messages" in body:
            return "max_tokens"
        for name in _OPTIONAL:
            if name in body and re.search(rf"\b{name}\b", message) and _REFUSAL.search(message):
                return name
        messages = body.get("messages")
        if isinstance(messages, list) and messages and messages[0].get("role") == "system" and _SYSTEM.search(message):
            return "system"
        return "stream" if body.get("stream") and _STREAM.search(message) else None


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The system message becomes the beginning of the first question."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    first = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return [first, *messages[2:]]
