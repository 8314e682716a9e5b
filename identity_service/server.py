"""The HTTP server: uvicorn with limits it does not have itself.

Out of the box uvicorn keeps a connection whose headers never end, and takes headers of any size. Here a request's head
has ten seconds and 32 KiB; then the answer is 408 or 431 and the connection is closed.
"""

import asyncio
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

DRAIN_SECONDS: Final = 30


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a bounded head, and no connection that is open for nothing."""

    head_seconds = 10.0
    head_bytes = 32 * 1024
    _timer: asyncio.TimerHandle | None = None
    _head = 0
    _reading_head = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; refuse a head that is too long before it is whole."""
        if self._refused:
            return
        had_begun = self._reading_head
        super().data_received(data)
        if self._reading_head and had_begun:
            self._head += len(data)
            if self._head > self.head_bytes:
                self._refuse(b"431 Request Header Fields Too Large")
        elif self._is_idle():
            self._timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, but nothing that has its answer."""
        self._end()
        if not self._refused:
            self._refused = True
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """End a head; one that came whole may still be too long."""
        self._end()
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > self.head_bytes:
            self._refuse(b"431 Request Header Fields Too Large")
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
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
        # Bytes came and nothing waits for more: the rest of a body whose answer is out, or empty lines between two
        # requests. Uvicorn has stopped its own clock for them and would keep the connection for ever.
        waiting = self._timer is not None or self.timeout_keep_alive_task is not None
        return not waiting and (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _refuse(self, status: bytes) -> None:
        self._end()
        if not self._refused and not self.transport.is_closing():
            self._refused = True
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever runs it beside others."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        lifespan: Any = "on",  # noqa: ANN401
        protocol: type[LimitedProtocol] = LimitedProtocol,
    ) -> None:
        """Configure; `serve` starts."""
        config = uvicorn.Config(
            app, host=host, port=port, http=protocol, ws="none", loop="uvloop", lifespan=lifespan, log_config=None,
            access_log=False, server_header=False, date_header=True, proxy_headers=False, timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_SECONDS, backlog=2048,
        )  # fmt: skip
        super().__init__(config)

    def install_signal_handlers(self) -> None:
        """Leave signals alone."""

    async def started_up(self) -> int:
        """Wait until the port is open; return it."""
        while not self.started:
            if self.should_exit:
                raise SystemExit(1)
            await asyncio.sleep(0.02)
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port
