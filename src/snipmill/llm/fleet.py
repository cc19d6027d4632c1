"""Distributes requests over all servers of a run: chooses a server, limits concurrency, and handles faults.

A request goes to the server with the least outstanding work; among near equals, to the one that got its prefix before.
Requests with transient faults are retried on any server that has room. A server that keeps failing is set aside and
probed with one request at a time. The run stops only when no server has answered for too long. Does not cover HTTP
(`client`) or the content of requests.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from snipmill.errors import ServerError, ServerUnreachable, SnipmillError
from snipmill.llm.client import Client
from snipmill.llm.concurrency import ConcurrencyLimit
from snipmill.llm.faults import ConnectFailed, Hung, Overloaded, Transient
from snipmill.llm.hang_timeout import HangTimeout, backoff
from snipmill.llm.refusals import SameRefusals
from snipmill.llm.request import Request
from snipmill.llm.scoring import NOT_TOLD
from snipmill.reasons import Reason
from snipmill.records import Completion, Refusal

_NAMED = 3  # servers that a message names
_TRIES = 60
_EMPTY_TRIES = 3
_WATCH_EVERY = 0.5  # seconds between checks for hung requests
_FAILURES = 20  # consecutive failures after which a server is set aside
_PAUSES = (0.2, 30.0)  # seconds: the first and the longest pause of a server that was set aside
_ALONE = 2.0  # seconds: the longest pause while only one request fails, since the request is the likely cause
_SLACK = 0.1  # extra load, as a share of a server's limit, that is accepted to hit a cached prefix


@dataclass
class Counts:
    """Counts of what a fleet has done so far."""

    requests: int = 0
    retries: int = 0
    empty: int = 0
    set_aside: int = 0


@dataclass(frozen=True, slots=True)
class ServerState:
    """How a server stands: its address, the tokens that have come from it, requests in flight, and whether it is set aside."""

    url: str
    tokens: int
    in_flight: int
    is_set_aside: bool


@dataclass(eq=False)
class _Flight:
    """A request in flight, and when its server last sent data."""

    started: float
    last: float = 0.0
    longest: float = 0.0
    scope: asyncio.Timeout | None = None
    left: bool = False

    def __post_init__(self) -> None:
        self.last = self.started

    def heard(self, now: float) -> None:
        """Record that data arrived."""
        self.longest, self.last = max(self.longest, now - self.last), now


@dataclass
class _Member:
    """One server and its state."""

    client: Client
    limit: ConcurrencyLimit
    patience: HangTimeout
    in_flight: int = 0
    tokens: int = 0
    flights: set[_Flight] = field(default_factory=set)
    failures: int = 0
    pause: float = 0.0
    closed_until: float = 0.0

    def room(self, now: float) -> int:
        """How many more requests may be sent to this server."""
        if now < self.closed_until:
            return 0
        if self.pause:  # the server was set aside: probe it with one request
            return 1 - self.in_flight
        return self.limit.value - self.in_flight


@dataclass(order=True)
class _Waiting:
    rank: int
    arrival: int
    place: asyncio.Future[_Member] = field(compare=False)
    request: Request = field(compare=False)


class Fleet:
    """Servers that serve the same model.

    Args:
        clients: one client per server, already entered as a context manager.
        concurrency: maximum number of requests in flight at each server; None to tune it automatically.
        give_up: the run stops when requests have failed for this many seconds without any answer.
    """

    def __init__(self, clients: Sequence[Client], *, concurrency: int | None = None, give_up: float = 600.0) -> None:
        now = time.monotonic()
        self._members = [
            _Member(
                client, ConcurrencyLimit(concurrency, now), HangTimeout(client.server.patience, client.server.timeout)
            )
            for client in clients
        ]
        self._give_up = give_up
        self._waiting: list[_Waiting] = []
        self._arrivals = 0
        self._failing_since: float | None = None  # time of the first fault since the last answer
        self._failing: set[int] = set()  # requests that have failed since then
        self._last_fault = "no answer"
        self._watch: asyncio.TimerHandle | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._failure: SnipmillError | None = None
        self._refusals = SameRefusals()
        self._outstanding: Counter[str] = Counter()
        self.counts = Counts()
        self.first_request: float | None = None  # on the monotonic clock

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        return sum(member.in_flight for member in self._members)

    @property
    def room(self) -> int:
        """How many requests may be in flight now."""
        return sum(member.limit.value for member in self._members)

    @property
    def servers(self) -> list[ServerState]:
        """Each server as it stands now."""
        now = time.monotonic()
        return [
            ServerState(one.client.url, one.tokens, one.in_flight, now < one.closed_until or one.pause > 0)
            for one in self._members
        ]

    @property
    def notes(self) -> list[str]:
        """What servers do not take, and is left out: a sentence for each."""
        return [note for member in self._members for note in member.client.adaptation.notes]

    @property
    def trouble(self) -> str:
        """A short description of what keeps servers from working; empty if all work."""
        now = time.monotonic()
        closed = [member for member in self._members if now < member.closed_until or member.pause]
        if not closed:
            return ""
        names = ", ".join(member.client.url for member in closed[:_NAMED])
        more = f" and {len(closed) - _NAMED:,} more" if len(closed) > _NAMED else ""
        return f"waiting for {names}{more}: {self._last_fault}"

    async def complete(
        self, request: Request, rank: int = 0, before_sending: Callable[[], None] = lambda: None
    ) -> list[Completion] | Refusal:
        """Return the `request.n` completions of a request, or the reason why there are none.

        Args:
            request: the request to send.
            rank: priority among the waiting requests; the lowest rank goes first.
            before_sending: called when a place is free, before each try; what it raises is passed on.

        Raises:
            ServerUnreachable: no server has answered for `give_up` seconds.
            AuthenticationFailed, ModelNotFound, ServerError: no request of this run can succeed. All first requests of a kind
                with the same refusal mean that, too.
        """
        self._outstanding[request.kind] += 1
        try:
            return await self._complete(request, rank, before_sending)
        finally:
            self._outstanding[request.kind] -= 1

    async def _complete(
        self, request: Request, rank: int, before_sending: Callable[[], None]
    ) -> list[Completion] | Refusal:
        empty = tries = 0
        while True:
            try:
                answer = await self._ask(request, rank, request.seed + 7919 * empty, before_sending)
            except Transient as fault:
                self.counts.retries += 1
                tries += not isinstance(fault, ConnectFailed)  # an unreachable server says nothing about the request
                if tries >= _TRIES:
                    detail = f"The request failed {tries} times while others succeeded; the last fault: {fault.detail}"
                    return Refusal(reason=Reason.SERVER_FAILED, detail=detail)
                await asyncio.sleep(backoff(max(tries, 1)))
                continue
            if request.kind:
                self._watch_refusals(request.kind, answer)
            if _is_untold(answer) and tries < len(self._members) and any(one.client.can_score for one in self._members):
                tries += 1  # another server may tell
                continue
            if isinstance(answer, Refusal) or all(
                part.text.strip() or part.thinking or part.finish_reason == "length" for part in answer
            ):
                return answer
            empty += 1
            self.counts.empty += 1
            if empty == _EMPTY_TRIES:
                return Refusal(reason=Reason.EMPTY_COMPLETION, detail=f"The server sent an empty text {empty} times.")

    def _watch_refusals(self, kind: str, answer: list[Completion] | Refusal) -> None:
        """Stop the run where the first requests of a kind are all refused with the same sentence."""
        error = self._refusals.answered(kind, answer if isinstance(answer, Refusal) else None, self._outstanding[kind])
        if error is not None:
            self.fail(error)
            raise error

    def refused(self, kind: str) -> ServerError | None:
        """The error to report where all requests of a kind got the same refusal."""
        return self._refusals.all_refused(kind)

    async def _ask(
        self, request: Request, rank: int, seed: int, before_sending: Callable[[], None]
    ) -> list[Completion] | Refusal:
        member = await self._enter(rank, request)
        flight = _Flight(time.monotonic())

        def arrived(tokens: int) -> None:
            flight.heard(time.monotonic())
            member.limit.progress(tokens)
            member.tokens += tokens

        try:
            before_sending()
            self.counts.requests += 1
            if self.first_request is None:
                self.first_request = time.monotonic()
            async with asyncio.timeout(None) as flight.scope:
                member.flights.add(flight)
                self._watch_for_hangs()
                answer = await member.client.ask(request, seed=seed, on_tokens=arrived)
        except (Transient, TimeoutError) as error:
            fault = error if isinstance(error, Transient) else Hung("no data for far longer than usual")
            self._failed(member, fault, flight.started, request)
            raise fault from error
        else:
            now = time.monotonic()
            flight.heard(now)
            member.patience.waited(flight.longest)
            member.limit.answered(now)
            member.failures, member.pause = 0, 0.0
            self._failing_since = None
            self._failing.clear()
            return answer
        finally:
            member.flights.discard(flight)
            member.in_flight -= 1
            self._dispatch()

    def _watch_for_hangs(self) -> None:
        """Schedule a check that abandons requests that have been silent for longer than the current timeout."""
        if self._watch is not None:
            return
        self._watch = asyncio.get_running_loop().call_later(_WATCH_EVERY, self._leave_hung)

    def _leave_hung(self) -> None:
        self._watch = None
        now = time.monotonic()
        for member in self._members:
            patience = member.patience.seconds
            for flight in member.flights:
                if now - flight.last > patience and flight.scope is not None and not flight.left:
                    flight.left = True
                    flight.scope.reschedule(asyncio.get_running_loop().time())
        if self.in_flight:
            self._watch_for_hangs()

    def _failed(self, member: _Member, fault: Transient, started: float, request: Request) -> None:
        now = time.monotonic()
        under_way = started < member.closed_until  # sent before the server was set aside: no new evidence
        if self._failing_since is None:
            self._failing_since = now
        self._failing.add(id(request))
        self._last_fault = fault.detail
        member.failures += 1
        if isinstance(fault, Hung):
            member.patience.hung()
            member.limit.hung(member.in_flight)
        elif isinstance(fault, Overloaded):
            member.limit.overloaded(member.in_flight)
        if fault.wait is not None:
            member.closed_until = max(member.closed_until, now + fault.wait)
        if (member.failures >= _FAILURES or member.pause) and not under_way:
            self.counts.set_aside += not member.pause
            longest = _PAUSES[1] if len(self._failing) > 1 or isinstance(fault, ConnectFailed) else _ALONE
            member.pause = min(max(2 * member.pause, _PAUSES[0]), longest)
            member.closed_until = max(member.closed_until, now + member.pause)

    async def _enter(self, rank: int, request: Request) -> _Member:
        """Wait for a place at a server."""
        if self._failure is not None:
            raise self._failure
        if not self._waiting and (member := self._choose(request)) is not None:
            member.in_flight += 1
            return member
        place: asyncio.Future[_Member] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heapq.heappush(self._waiting, _Waiting(rank, self._arrivals, place, request))
        for member in self._members:
            member.limit.full()
        self._dispatch()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                place.result().in_flight -= 1
                self._dispatch()
            raise

    def _choose(self, request: Request) -> _Member | None:
        """Choose the server for a request; None if no server that can serve it has room."""
        now, prefix = time.monotonic(), request.prefix
        able = [member for member in self._members if member.room(now) > 0]
        if request.scored and any(member.client.can_score for member in self._members):
            able = [member for member in able if member.client.can_score]
        if len(able) < 2:
            return able[0] if able else None
        least = min(member.in_flight for member in able)
        near = [member for member in able if member.in_flight <= least + _SLACK * member.limit.value]
        # Rendezvous hashing: each prefix has a preferred server, and a next choice if that one is busy or gone.
        return max(near, key=lambda member: blake2b(f"{prefix}\0{member.client.url}".encode(), digest_size=8).digest())

    def _dispatch(self) -> None:
        """Assign free places to waiting requests, and schedule another attempt for when a server reopens."""
        while self._waiting:
            if self._waiting[0].place.done():
                heapq.heappop(self._waiting)
                continue
            member = self._choose(self._waiting[0].request)
            if member is None:
                break
            heapq.heappop(self._waiting).place.set_result(member)
            member.in_flight += 1
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        now = time.monotonic()
        reopening = [member.closed_until for member in self._members if member.closed_until > now]
        if not self._waiting or not reopening:
            return
        failing = now - self._failing_since if self._failing_since is not None else 0.0
        if not self.in_flight and failing > self._give_up and len(reopening) == len(self._members):
            self._give_all_up(failing)
            return
        self._wake = asyncio.get_running_loop().call_later(min(reopening) - now + 0.001, self._dispatch)

    def _give_all_up(self, seconds: float) -> None:
        names = " and ".join(member.client.url for member in self._members)
        self.fail(
            ServerUnreachable(
                f"No answer from {names} for {seconds:.0f} s (the last fault: {self._last_fault}). "
                "Everything so far is kept; start the server and run the same command again."
            )
        )

    def fail(self, error: SnipmillError) -> None:
        """Fail all waiting and all future requests with an error, because no server is left."""
        self._failure = error
        for waiting in self._waiting:
            if not waiting.place.done():
                waiting.place.set_exception(error)
        self._waiting.clear()


def _is_untold(answer: list[Completion] | Refusal) -> bool:
    """Whether a server could not tell the log probabilities of a given text."""
    return isinstance(answer, list) and any(part.finish_reason == NOT_TOLD for part in answer)
