"""Parses a streamed answer: joins server-sent events into texts, one per requested completion."""

from __future__ import annotations

from collections.abc import Callable

from snipmill.llm.answer import DECODER, Answer
from snipmill.llm.faults import Transient
from snipmill.llm.request import Request
from snipmill.records import Completion, Usage

_LOOK_EVERY = 16  # chunks after which a text is checked even if they contain no newline or bracket
_DONE = b"[DONE]"


class _Text:
    """The part of one completion that has been received so far."""

    __slots__ = ("finish_reason", "pieces", "text", "tokens")

    def __init__(self) -> None:
        self.text = ""
        self.pieces = 0
        self.tokens = 0
        self.finish_reason: str | None = None


class Stream:
    """Parses bytes as they arrive, and reports when no more are needed."""

    def __init__(self, request: Request, on_tokens: Callable[[int], None]) -> None:
        self._request = request
        self._on_tokens = on_tokens
        self._rest = b""
        self._texts = [_Text() for _ in range(request.n)]
        self._usage: Usage | None = None
        self._over = False
        self.complete = False

    def feed(self, data: bytes) -> bool:
        """Parse received bytes. Returns True when the rest of the answer is not needed."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        tokens = 0
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            event = line[5:].strip()
            if event == _DONE:
                self._over = self.complete = True
            elif event:
                tokens += self._take(DECODER.decode(event))
            if self._over:  # how much more has arrived depends on timing, so the rest must be ignored
                break
        if tokens:
            self._on_tokens(tokens)
        return self._over

    def _take(self, event: Answer) -> int:
        """Process one event and return the number of its tokens."""
        if event.usage is not None:
            self._usage = event.usage.to_usage()
        elif event.timings is not None:
            timings = event.timings
            self._usage = Usage(
                prompt_tokens=timings.prompt_n + timings.cache_n,
                cached_tokens=timings.cache_n,
                completion_tokens=timings.predicted_n,
            )
        arrived = 0
        for choice in event.choices or ():
            if not 0 <= choice.index < len(self._texts):
                raise ValueError(f"choice {choice.index} was not requested")
            text = self._texts[choice.index]
            if text.finish_reason in ("cut", "hopeless"):
                continue
            before = text.tokens
            if choice.content:
                text.pieces += 1
                text.text += choice.content
                if "\n" in choice.content or "]" in choice.content or text.pieces % _LOOK_EVERY == 0:
                    self._look(text)
            # Some servers send running counts, which belong to this choice. Otherwise each chunk counts as one token.
            text.tokens = self._usage.completion_tokens if self._usage is not None else text.pieces
            text.finish_reason = text.finish_reason or choice.finish_reason
            arrived += max(text.tokens - before, 0)
        reasons = [text.finish_reason for text in self._texts]
        # If the server finishes by itself, its token counts are still to come, so keep reading.
        self._over = None not in reasons and not {"cut", "hopeless"}.isdisjoint(reasons)
        return arrived

    def _look(self, text: _Text) -> None:
        request = self._request
        cut = request.cut(text.text) if request.cut is not None else None
        if cut is not None:
            text.text, text.finish_reason = cut, "cut"
        elif request.hopeless is not None and request.hopeless(text.text):
            text.finish_reason = "hopeless"

    def completions(self) -> list[Completion]:
        """The completions, once the stream has ended or has been closed early.

        Raises:
            Transient: the server ended the stream before the completions were complete.
        """
        completions = []
        for number, text in enumerate(self._texts):
            if text.finish_reason is None:
                raise Transient("the stream ended without a finish reason")
            usage = self._usage or Usage()
            # The prompt was paid for once; its tokens are recorded with the first completion.
            usage = Usage(
                prompt_tokens=0 if number else usage.prompt_tokens,
                cached_tokens=0 if number else usage.cached_tokens,
                completion_tokens=usage.completion_tokens if len(self._texts) == 1 and self._usage else text.tokens,
            )
            completions.append(Completion(text=text.text, finish_reason=text.finish_reason, usage=usage))
        return completions
