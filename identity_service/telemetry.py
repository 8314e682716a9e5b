"""Traces by OpenTelemetry for whoever names a collector in OTEL_EXPORTER_OTLP_ENDPOINT: request → SQL → SMTP.

Loaded by `processes.traced` alone; without the variable nothing of it is there. What a span may say stands in this
file: methods, route templates, states, codes, statements without their parameters, a letter's kind and id. No path,
query, header, address or User ID, and no word of a caller or a relay (LOG-03, LOG-07). That is why the spans are ours:
FastAPI's own and the published instrumentations put paths, queries and peers into theirs.

The worker cannot know the trace of the request that wrote a letter, for the row has no place for it. The letter's id
joins the two: in `letter.put` of the request's span, and as `identity.message_id` on the letter's.
"""

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.sql.dml import Insert
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Sent

from identity_service import __version__, doors
from identity_service.database import Database
from identity_service.mail.courier import Watch
from identity_service.mail.outbox import Claimed, Report
from identity_service.mail.tables import Message
from identity_service.metrics import METHODS

LONGEST_STATEMENT: Final = 2000
LAST_WORDS_S: Final = 1.0
"""How long the end of a process waits for a collector that does not answer."""

_TRACE_PARENT = TraceContextTextMapPropagator()
_FIRST_WORD = re.compile(r"\s*(\w+)")


class Traces(Watch):
    """The spans of one process. A thread of its own sends them, and drops what nobody takes."""

    def __init__(self, endpoint: str) -> None:
        """Begin; the standard variables of OpenTelemetry say the rest (sampler, headers, certificates)."""
        name = os.environ.get("OTEL_SERVICE_NAME") or "identity-service"
        resource = Resource.create({"service.name": name, "service.version": __version__})
        # Not the process's global provider: what libraries would say of themselves is not on the list above.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("identity_service", __version__)

    def end(self) -> None:
        """Send what is left, and wait for that a second at most (REL-40)."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(LAST_WORDS_S)

    def look_at(self, database: Database) -> None:
        """Tell of the statements of these connections, and of the letters that are written with them."""
        for engine in (database.engine.sync_engine, database.replica.sync_engine):
            event.listen(engine, "before_execute", _letter_put)
            event.listen(engine, "before_cursor_execute", _begin)
            event.listen(engine, "after_cursor_execute", self._executed)
            event.listen(engine, "handle_error", self._refused)
            event.listen(engine, "connect", lambda made, _: made.driver_connection.add_query_logger(self._bracket))
        database.watch_reads(self._read)

    def requests(self, app: ASGIApp) -> ASGIApp:
        """Return the application, each of whose requests is a span."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 0

            async def seen(message: Sent) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            method = scope["method"] if scope["method"] in METHODS else "_OTHER"
            with self._span(method, SpanKind.SERVER, {}, _parent(scope)) as span:
                try:
                    await app(scope, receive, seen)
                finally:
                    _tell(span, scope, method, status)

        return traced

    @contextlib.contextmanager
    def turn(self, message: Claimed) -> Iterator[None]:
        """Tell of a letter's turn; what happens in it stands below."""
        with self._span(f"letter {message.kind}", SpanKind.CONSUMER, _of_letter(message)):
            yield

    def attempt(self, message: Claimed, report: Report) -> None:
        """Tell of a conversation with a relay, each step with its verb, code and time, without the words."""
        ended = time.time_ns()
        began = ended - (report.duration_ms or 0) * 1_000_000
        attributes = {
            **_of_letter(message), "smtp.relay": report.relay or "", "smtp.phase": report.phase,
            "smtp.outcome": report.outcome, "smtp.reply_class": report.reply_class, "smtp.reply_code": report.code or 0,
        }  # fmt: skip
        span = self._tracer.start_span("smtp", kind=SpanKind.CLIENT, attributes=attributes, start_time=began)
        moment = began
        for line in report.transcript:
            moment += line["ms"] * 1_000_000
            span.add_event(f"smtp.{line['verb'].lower()}", {"smtp.reply_code": line["code"] or 0}, moment)
        if report.outcome != "accepted":
            _failed(span, report.reply_class)
        span.end(ended)

    def _executed(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:  # noqa: ANN401
        self._statement(statement, time.monotonic() - connection.info["began"])

    def _refused(self, failure: ExceptionContext) -> None:
        if failure.connection is not None and failure.statement is not None:
            now = time.monotonic()
            self._statement(
                failure.statement, now - failure.connection.info.get("began", now), failure.original_exception
            )

    def _bracket(self, query: Any) -> None:  # noqa: ANN401
        # asyncpg tells of what it executes and not of what it has prepared, so of BEGIN and COMMIT; once is enough.
        if query.query.rstrip(";") in ("COMMIT", "ROLLBACK") or query.query.startswith("BEGIN"):
            self._read(query)

    def _read(self, query: Any) -> None:  # noqa: ANN401
        self._statement(query.query, query.elapsed, query.exception)

    def _statement(self, statement: str, seconds: float, problem: BaseException | None = None) -> None:
        """Tell of a statement that belongs to a request or a letter: its text and time, never its parameters."""
        if not trace.get_current_span().get_span_context().is_valid:
            return
        ended = time.time_ns()
        verb = _FIRST_WORD.match(statement)
        name = verb[1].upper() if verb else "SQL"
        attributes = {
            "db.system.name": "postgresql",
            "db.operation.name": name,
            "db.query.text": statement[:LONGEST_STATEMENT],
        }
        began = ended - int(seconds * 1e9)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=began)
        if problem is not None:
            _failed(span, getattr(problem, "sqlstate", None) or type(problem).__name__)
        span.end(ended)

    @contextlib.contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, str | int], parent: Context | None = None
    ) -> Iterator[Span]:
        # The words of an exception may hold values; its name does not.
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as problem:
                _failed(span, type(problem).__name__)
                raise


def _parent(scope: Scope) -> Context:
    """Return the trace that a service goes on with; of its headers only the ids, which are numbers."""
    given = dict(scope["headers"]).get(b"traceparent", b"") if scope["path"].startswith(doors.FOR_SERVICES) else b""
    return _TRACE_PARENT.extract({"traceparent": given.decode("latin-1")}, Context())


def _tell(span: Span, scope: Scope, method: str, status: int) -> None:
    route = getattr(scope.get("route"), "path", None)
    span.set_attribute("http.request.method", method)
    if route is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    if status:
        span.set_attribute("http.response.status_code", status)
    if not status or status >= 500:
        _failed(span, str(status or "no_answer"))
    if not any(name == b"x-request-id" for name, _ in scope["headers"]):
        # Ours, and so a random number; one that was given is the caller's text.
        span.set_attribute("identity.request_id", scope.get("request_id", ""))


def _begin(connection: Any, *_: Any) -> None:  # noqa: ANN401
    connection.info["began"] = time.monotonic()


def _letter_put(_connection: Any, statement: Any, several: Any, one: Any, _options: Any) -> None:  # noqa: ANN401
    """Note in the current span the id and kind of each letter that is written."""
    if isinstance(statement, Insert) and statement.table.name == Message.__tablename__:
        for row in several or [one]:
            written = {"identity.message_id": str(row["id"]), "identity.letter": row["kind"]}
            trace.get_current_span().add_event("letter.put", written)


def _of_letter(message: Claimed) -> dict[str, str | int]:
    return {
        "identity.message_id": str(message.id),
        "identity.letter": message.kind,
        "identity.lane": message.lane,
        "identity.turn": message.turns,
    }


def _failed(span: Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)
