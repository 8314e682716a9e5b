"""The HTTP server: uvicorn with limits it does not have itself.

By default uvicorn keeps a connection open whose headers never end, and accepts headers of any size. Here the head of a
request is limited to ten seconds and 32 KiB; beyond, the response is 408 or 431 and the connection is closed. Trailer
fields, which uvicorn appends to the headers, are dropped (RFC 9110, 6.5.1) and limited to 8 KiB.
"""

import asyncio
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

DRAIN_SECONDS: Final = 30


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits on the head of a request and on idle connections."""

    head_seconds = 10.0
    head_bytes = 32 * 1024
    trailer_bytes = 8 * 1024
    _head_complete = False
    _trailers = 0
    _without_body = 0
    """Bytes behind the head in which no part of a body came: chunk framing and trailer fields."""
    _timer: asyncio.TimerHandle | None = None
    _head = 0
    _reading_head = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first head."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head as soon as it is too long; close an idle connection after `head_seconds`."""
        if self._refused:
            return
        had_begun = self._reading_head
        self._without_body += len(data)
        super().data_received(data)
        if self._head_complete and self._without_body > max(self.trailer_bytes, len(data)):
            self._refuse(b"431 Request Header Fields Too Large")
        if self._reading_head and had_begun:
            self._head += len(data)
            if self._head > self.head_bytes:
                self._refuse(b"431 Request Header Fields Too Large")
        elif self._is_idle():
            self._timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Respond 400 to invalid HTTP, unless a response was already sent."""
        self._end()
        if not self._refused:
            self._refused = True
            super().send_400_response(msg)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; drop a trailer field, which must not pass for one."""
        if not self._head_complete:
            super().on_header(name, value)
            return
        self._trailers += len(name) + len(value)
        if self._trailers > self.trailer_bytes:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Start the timer of a head."""
        self._head_complete, self._trailers = False, 0
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """Stop the timer; refuse a head that arrived in one piece and is too long."""
        self._end()
        self._head_complete, self._without_body = True, 0
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > self.head_bytes:
            self._refuse(b"431 Request Header Fields Too Large")
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body, unless the request was refused."""
        self._without_body = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Pass on the end of the body, unless the request was refused."""
        self._without_body = 0
        if not self._refused:
            super().on_message_complete()

    def _begin(self) -> None:
        self._end()
        self._head, self._reading_head = 0, True
        self._timer = self.loop.call_later(self.head_seconds, self._refuse, b"408 Request Timeout")

    def _end(self) -> None:
        self._reading_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_idle(self) -> bool:
        # Data arrived while no timer runs: the rest of a body after its response, or empty lines between requests.
        # Uvicorn has cancelled its keep-alive timer for them and would keep the connection open without limit.
        waiting = self._timer is not None or self.timeout_keep_alive_task is not None
        return not waiting and (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _refuse(self, status: bytes) -> None:
        self._end()
        if not self._refused and not self.transport.is_closing():
            self._refused = True
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()


class Server(uvicorn.Server):
    """A uvicorn server without signal handlers: the process may run several servers and a worker."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        lifespan: Any = "on",  # noqa: ANN401
        protocol: type[LimitedProtocol] = LimitedProtocol,
    ) -> None:
        """Configure the server; `serve` starts it."""
        config = uvicorn.Config(
            app, host=host, port=port, http=protocol, ws="none", loop="uvloop", lifespan=lifespan, log_config=None,
            access_log=False, server_header=False, date_header=True, proxy_headers=False, timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_SECONDS, backlog=2048,
        )  # fmt: skip
        super().__init__(config)

    def install_signal_handlers(self) -> None:
        """Install none; `cli.processes.on_signal` does."""

    async def started_up(self) -> int:
        """Return the port once it is open; SystemExit if the start failed."""
        while not self.started:
            if self.should_exit:
                raise SystemExit(1)
            await asyncio.sleep(0.02)
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port
