"""Parses a streamed answer: joins server-sent events into completions, one per requested completion."""

from __future__ import annotations

from collections.abc import Callable

from snipmill.llm.answer import DECODER, Answer, read_timings, read_usage
from snipmill.llm.faults import Place, Transient, raise_error
from snipmill.llm.reading import Reading
from snipmill.llm.request import Request
from snipmill.records import Completion, Usage

_DONE = b"[DONE]"


class Stream:
    """Parses bytes as they arrive, and reports when no more are needed."""

    def __init__(self, request: Request, on_tokens: Callable[[int], None], at: Place) -> None:
        self._request = request
        self._at = at
        self._on_tokens = on_tokens
        self._rest = b""
        self._readings = [Reading(request) for _ in range(request.n)]
        self._reasons: list[str | None] = [None] * request.n
        self._usage: Usage | None = None
        self._over = False
        self.complete = False

    def feed(self, data: bytes) -> bool:
        """Parse received bytes. Returns True when the rest of the answer is not needed.

        Raises:
            Transient, Refused, ServerError: the server sent an error in place of text.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        tokens = 0
        for line in lines:
            tokens += self._take_line(line)
            if self._over:  # how much more has arrived depends on timing, so the rest must be ignored
                break
        if tokens:
            self._on_tokens(tokens)
        return self._over

    def _take_line(self, line: bytes) -> int:
        if not line.startswith(b"data:"):
            return 0
        event = line[5:].strip()
        if event == _DONE:
            self._over = self.complete = True
        elif event:
            return self._take(DECODER.decode(event))
        return 0

    def _take(self, event: Answer) -> int:
        """Process one event and return the number of its tokens."""
        if event.is_error:
            raise_error(event.error_value, self._at)
        if event.usage:
            self._usage = read_usage(event.usage)
        elif (timings := read_timings(event.timings)) is not None:
            self._usage = timings
        arrived = 0
        for choice in filter(None, event.choices or ()):
            index = choice.index or 0
            if not 0 <= index < len(self._readings):
                raise ValueError(f"choice {index} was not requested")
            reading = self._readings[index]
            if reading.is_closed_early:
                continue
            # Some servers send running counts, which belong to this choice. Otherwise each chunk counts as one token.
            counted = self._usage.completion_tokens if self._usage is not None else None
            arrived += reading.add(choice.content, choice.thought, counted)
            self._reasons[index] = self._reasons[index] or choice.reason
        ended = [reading.is_closed_early for reading in self._readings]
        # If the server finishes by itself, its token counts are still to come, so keep reading.
        self._over = any(ended) and all(
            early or reason is not None for early, reason in zip(ended, self._reasons, strict=True)
        )
        return arrived

    def completions(self) -> list[Completion]:
        """The completions, once the stream has ended or has been closed early.

        Raises:
            Transient: the server ended the stream before the completions were complete.
        """
        if self._rest:
            self._take_line(self._rest)
            self._rest = b""
        completions = []
        for number, (reading, reason) in enumerate(zip(self._readings, self._reasons, strict=True)):
            if reason is None and not self.complete and not reading.is_closed_early:
                raise Transient("the stream ended without a finish reason")
            reading.finish(reason)
            usage = self._usage or Usage()
            # The prompt was paid for once; its tokens are recorded with the first completion.
            alone = len(self._readings) == 1 and self._usage is not None
            usage = Usage(
                prompt_tokens=0 if number else usage.prompt_tokens,
                cached_tokens=0 if number else usage.cached_tokens,
                completion_tokens=usage.completion_tokens if alone else reading.tokens,
                thinking_tokens=usage.thinking_tokens if alone else 0,
            )
            completions.append(reading.completion(usage))
        return completions
