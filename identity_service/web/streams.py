"""Server-sent events of something that changes: one event per change, until nothing more can come (WHATWG HTML, 9.2).

Each event has an id made of its data. Whoever reconnects with the newest id gets nothing twice, and 204 once the end
was told: a browser then reconnects no more. Between two reads no database connection is held. Open streams are counted
in each process, because each of them reads twice a second.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final, NamedTuple

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from identity_service.errors import Problem
from identity_service.web import dependencies
from identity_service.web.rate_limits import TooManyRequests

LONGEST_SECONDS: Final = 300
POLL_SECONDS: Final = 0.5
PATIENT_POLL_SECONDS: Final = 2.0
"""The pause where days may pass until the next change."""
ALIVE_SECONDS: Final = 15
"""How often an idle stream sends a comment, so that proxies keep it open."""
RETRY_MILLISECONDS: Final = 3000
PER_SUBJECT, PER_NETWORK = 5, 20
"""Streams of one message, and of one network, that a process keeps open at once."""


class Snapshot(NamedTuple):
    """What is streamed: its data, whether nothing more can come, and whether the next change may take days."""

    data: bytes
    ended: bool
    is_slow: bool

    @property
    def id(self) -> str:
        """Return the id of the event with this data."""
        return hashlib.sha256(self.data).hexdigest()[:16]


class OpenStreams:
    """The open streams of one process, by subject and by network."""

    def __init__(self) -> None:
        """Start with none."""
        self._open: Counter[tuple[str, str]] = Counter()

    def enter(self, subject: str, network: str) -> contextlib.ExitStack:
        """Count one more stream until the returned stack is closed.

        Raises:
            TooManyRequests: there are too many of this subject or network.
        """
        limits = {("subject", subject): PER_SUBJECT, ("network", network): PER_NETWORK}
        if any(self._open[key] >= most for key, most in limits.items()):
            raise TooManyRequests("Too many streams are open; close one, or try again later.", retry_after=30)
        stack = contextlib.ExitStack()
        for key in limits:
            stack.enter_context(self._counted(key))
        return stack

    @contextlib.contextmanager
    def _counted(self, key: tuple[str, str]) -> Iterator[None]:
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


class _CountedResponse(StreamingResponse):
    """A stream that is counted until it is over, also if it never begins."""

    def __init__(self, content: AsyncIterator[bytes], counted: contextlib.ExitStack) -> None:
        super().__init__(content, media_type="text/event-stream")
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._counted:
            await super().__call__(scope, receive, send)


async def stream_changes(
    request: Request, subject: str, event: str, load: Callable[[], Awaitable[Snapshot]], *, over: bytes = b""
) -> Response:
    """Return a stream of `event` for each change of what `load` returns; 204 if the caller knows the end already.

    `subject` is what is streamed, for the limit; `over` is sent behind the last event. A problem raised by `load` ends
    the stream.

    Raises:
        TooManyRequests
    """
    first = await load()
    known = request.headers.get("last-event-id", "")
    if first.ended and known == first.id:
        return Response(status_code=204)
    open_streams: OpenStreams = request.app.state.streams
    counted = open_streams.enter(subject, dependencies.client_network(request))
    return _CountedResponse(_events(request, event, first, load, known=known, over=over), counted)


async def _events(
    request: Request, event: str, first: Snapshot, load: Callable[[], Awaitable[Snapshot]], *, known: str, over: bytes
) -> AsyncIterator[bytes]:
    loop, snapshot = asyncio.get_running_loop(), first
    until, alive_at = loop.time() + LONGEST_SECONDS, loop.time() + ALIVE_SECONDS
    yield b"retry: %d\n\n" % RETRY_MILLISECONDS
    while True:
        if snapshot.id != known:
            known = snapshot.id
            yield b"id: %s\nevent: %s\ndata: %s\n\n" % (known.encode(), event.encode(), snapshot.data)
        if snapshot.ended:
            yield over
        if snapshot.ended or loop.time() > until or await request.is_disconnected():
            return
        if loop.time() > alive_at:
            alive_at = loop.time() + ALIVE_SECONDS
            yield b": alive\n\n"
        await asyncio.sleep(PATIENT_POLL_SECONDS if snapshot.is_slow else POLL_SECONDS)
        try:
            snapshot = await load()
        except Problem:
            return
