"""Read returned mail in a process of its own with a time limit, so that no mail can hold an event loop.

The process has no key, no database and no network connection: it gets bytes and returns a reading. A mail that takes
longer than the limit, or ends the process, is unreadable; the next one gets a new process.
"""

import asyncio
import contextlib
import dataclasses
import logging
import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

import orjson

from identity_service.errors import Unavailable
from identity_service.messages.inbound import dsn

TIME_LIMIT: Final = 2.0
"""Seconds for one mail; an ordinary one takes 10 ms."""
START_LIMIT: Final = 60.0
_READY: Final = b"ready"


class ReaderNotStarted(Unavailable):
    """The process that reads returned mail could not be started; send the mail again later."""


class NoticeReader:
    """Reads one mail at a time in a process that starts with the first mail and ends with this one."""

    def __init__(self, seconds: float = TIME_LIMIT) -> None:
        """Allow `seconds` for each mail."""
        self.seconds = seconds
        # One thread, which waits for the process: mails of several tasks queue here.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="returned-mail")
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    async def read(self, raw: bytes, envelope_from: str | None) -> dsn.Reading:
        """Return what a returned mail says; an unreadable reading if it takes longer than the limit.

        Raises:
            ReaderNotStarted
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._read, raw, envelope_from)

    def close(self) -> None:
        """End the process; a later `read` starts another one."""
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _read(self, raw: bytes, envelope_from: str | None) -> dsn.Reading:
        pipe = self._started()
        try:
            pipe.send_bytes((envelope_from or "").encode("utf-8", "replace"))
            pipe.send_bytes(raw)
            if pipe.poll(self.seconds):
                return dsn.Reading(**orjson.loads(pipe.recv_bytes()))
        except (OSError, EOFError):
            pass
        self.close()
        return dsn.Reading(text=dsn.read_head(raw))

    def _started(self) -> Connection:
        if self._process is not None and self._pipe is not None and self._process.is_alive():
            return self._pipe
        self.close()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs,), daemon=True, name="returned-mail")
        try:
            self._process.start()
            theirs.close()
            if self._pipe.poll(START_LIMIT) and self._pipe.recv_bytes() == _READY:
                return self._pipe
        except (OSError, EOFError) as problem:
            self.close()
            raise ReaderNotStarted from problem
        self.close()
        raise ReaderNotStarted


READER: Final = NoticeReader()
"""The one of this process."""


def _answer(pipe: Connection) -> None:
    """Read mails from a pipe until it is closed; runs in the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    pipe.send_bytes(_READY)
    with contextlib.suppress(EOFError):
        while True:
            envelope_from = pipe.recv_bytes().decode()
            reading = dsn.read_returned_mail(pipe.recv_bytes(), envelope_from)
            pipe.send_bytes(orjson.dumps(dataclasses.asdict(reading)))
