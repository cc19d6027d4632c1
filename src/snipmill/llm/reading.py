"""One completion as it arrives: its text without traces of thought, stop strings and special tokens, and when it is complete.

Whole and streamed answers are read alike. What a completion becomes depends on its text alone, not on how it was cut in chunks.
"""

from __future__ import annotations

import re

import msgspec

from snipmill.llm.faults import Transient
from snipmill.llm.finish import STOP, THINKING, UNSTATED, normalize
from snipmill.llm.request import Request
from snipmill.records import Completion, Usage
from snipmill.text.thinking import Split, may_be_marker, split_thinking

_LOOK_EVERY = 16  # chunks after which a text is checked even if they contain no newline or bracket
_CLOSES_MARKER = ">]▷"
_SPECIAL = re.compile(
    r"(?:<\|(?:im_end|endoftext|end|eot_id|eom_id|end_of_text|end_of_turn|endofturn|return|EOT)\|>|</s>|<end_of_turn>|<eos>|<EOT>"
    r"|<｜end▁of▁sentence｜>)\s*$"
)


class Reading:
    """Call `add` for each chunk, and `finish` when no more comes.

    Attributes:
        tokens: how many have arrived, as far as that is known.
        finish_reason: set once nothing more is needed.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_chat = not isinstance(request.prompt, str)
        self._thought = ""  # what came in a field of its own
        self._content = ""
        self._pieces = 0
        self._split: Split | None = None
        self._final: str | None = None
        self.tokens = 0
        self.finish_reason: str | None = None

    @property
    def is_closed_early(self) -> bool:
        """Whether the client ended it, so that the server need not go on."""
        return self._final is not None

    def add(self, content: str, thought: str = "", tokens: int | None = None) -> int:
        """Take a chunk; the number of its tokens is returned.

        Args:
            content: more of the text.
            thought: more of the trace, where the server separates it.
            tokens: how many there are so far, where the server says so; else each chunk counts as one.
        """
        before = self.tokens
        if content or thought:
            self._pieces += 1
            self._thought += thought
            self._content += content
        self.tokens = tokens if tokens is not None else self._pieces
        looks = "\n" in content or "]" in content or self._pieces % _LOOK_EVERY == 0
        if self.finish_reason is None and (looks or (self._is_open and any(c in content for c in _CLOSES_MARKER))):
            self._look(content)
        return max(self.tokens - before, 0)

    @property
    def _is_open(self) -> bool:
        return self._split is not None and self._split.open

    def _look(self, content: str) -> None:
        if not self._is_open or any(c in content for c in _CLOSES_MARKER):
            self._split = self._separated()
        if self._is_open or (self._thought and not self._content.strip()):
            if self._request.max_thinking and self.tokens > self._request.max_thinking:
                self._end("", THINKING)
            return
        if self._is_chat and may_be_marker(self._content):
            return
        answer = self._answer()
        text = self._up_to_stop(answer)
        cut = self._request.cut(text) if self._request.cut is not None else None
        if cut is not None or len(text) < len(answer):
            self._end(text if cut is None else cut, "cut")
        elif self._request.hopeless is not None and self._request.hopeless(text):
            self._end(text, "hopeless")

    def _end(self, text: str, reason: str) -> None:
        self._final, self.finish_reason = text, reason

    def _separated(self) -> Split:
        return split_thinking(self._content) if self._is_chat else Split(None, self._content)

    @property
    def _has_thought(self) -> bool:
        return bool(self._thought) or (self._split is not None and bool(self._split.thinking))

    def _answer(self) -> str:
        return self._split.answer if self._split is not None else self._content

    def _up_to_stop(self, text: str) -> str:
        """The text before the first stop string: some servers leave it in, or ignore it."""
        found = [place for stop in self._request.stop if stop and (place := text.find(stop)) >= 0]
        return text[: min(found)] if found else text

    def finish(self, reason: str | None) -> None:
        """The server sends no more of it.

        Raises:
            Transient: the server broke off.
        """
        if self._final is not None:
            return
        normalized = normalize(reason)
        self._split = self._separated()
        answer = self._answer()
        text = self._up_to_stop(answer)
        was_stopped = len(text) < len(answer)
        while (special := _SPECIAL.search(text)) is not None:
            text = text[: special.start()]
        cut = self._request.cut(f"{text}\n") if self._request.cut is not None else None
        if self._is_open or (self._has_thought and not text.strip()):
            self._end("", THINKING)
        elif cut is not None:
            is_shorter = len(cut) < len(text.strip())
            self._end(cut if is_shorter else text, STOP if normalized == STOP and not is_shorter else "cut")
        elif was_stopped:
            self._end(text, STOP if normalized == STOP else "cut")
        elif normalized == UNSTATED and (self._request.cut is not None or not text.strip()):
            raise Transient("the server gave no finish reason, and the text is not complete")
        else:
            self._end(text, normalized)

    def completion(self, usage: Usage, first: dict[str, float] | None = None) -> Completion:
        """The completion, once it is finished or closed early.

        Args:
            usage: its tokens. Those of thought are estimated by their share of the characters where the server does not count
                them.
            first: log probabilities of what could have begun it.
        """
        assert self._final is not None and self.finish_reason is not None
        inline = self._split.thinking if self._split is not None else None
        thinking = "\n\n".join(part.strip() for part in (self._thought, inline or "") if part.strip())
        if thinking and not usage.thinking_tokens:
            share = len(thinking) / max(len(thinking) + len(self._answer()), 1)
            usage = msgspec.structs.replace(usage, thinking_tokens=round(usage.completion_tokens * share))
        # What a thinking model could have begun with says nothing about its answer.
        return Completion(
            text=self._final,
            finish_reason=self.finish_reason,
            usage=usage,
            first={} if thinking else first or {},
            thinking=thinking,
        )
