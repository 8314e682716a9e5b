"""A pool of connections that serves who waits in their order.

SQLAlchemy's own lets those pass who have just come: with 64 callers on 16 connections the slowest hundredth waited
several times as long as the middle. Nobody may starve while others are served (REL-06).
"""

import asyncio

from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util.concurrency import await_
from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty


class _InTurn(AsyncAdaptedQueue[ConnectionPoolEntry]):
    """The library's queue; whoever waits at it has the turn, and the others stand in line for that."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        super().__init__(maxsize, use_lifo)
        self._turn = asyncio.Semaphore(1)  # a lock says that it is free while it passes from one to the next

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        if not block or (not self._turn.locked() and not self.empty()):
            return self.get_nowait()
        try:
            return await_(self._wait(timeout))
        except TimeoutError as late:
            raise Empty from late

    async def _wait(self, seconds: float | None) -> ConnectionPoolEntry:
        async with asyncio.timeout(seconds), self._turn:
            return await self._queue.get()


class PoolInTurn(AsyncAdaptedQueuePool):
    """Connections for an asynchronous engine, first come, first served."""

    _queue_class = _InTurn
    # What the library's pools say goes to its own loggers, which are quiet.
    _sqla_logger_namespace = f"sqlalchemy.pool.{__qualname__}"
