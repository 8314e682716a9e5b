"""A TCP port in front of PostgreSQL that can keep the answer to a COMMIT: the transaction is done, and who asked for it
never hears so."""

import asyncio
import contextlib

from sqlalchemy.engine import make_url


class DatabaseProxy:
    """Hands everything on, both ways; with `keeps_commits` the answers of a connection end with its next COMMIT."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.keeps_commits = False
        self.kept = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()

    async def start(self) -> "DatabaseProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        """The database's URL by way of this port."""
        mine = self._url.set(host="127.0.0.1", port=self.port, query={})
        return mine.render_as_string(hide_password=False)

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        folder = self._url.query.get("host")
        if folder:
            database = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{self._url.port or 5432}")
        else:
            database = await asyncio.open_connection(self._url.host, self._url.port or 5432)
        silent = asyncio.Event()
        try:
            await asyncio.gather(
                self._hand_on(reader, database[1], silent, asks=True),
                self._hand_on(database[0], writer, silent, asks=False),
            )
        finally:
            for one in (writer, database[1]):
                one.close()

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event, *, asks: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if asks and self.keeps_commits and b"COMMIT" in data:
                    silent.set()
                    self.kept.set()
                if asks or not silent.is_set():
                    writer.write(data)
                    await writer.drain()
            writer.close()
