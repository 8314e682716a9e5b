"""Traces by OpenTelemetry if OTEL_EXPORTER_OTLP_ENDPOINT names a collector: request → SQL → SMTP.

Only `processes.traced` imports this file, and only if the variable is set. A span may contain methods, route templates,
states, codes, statements without their parameters, and a message's kind and id; no path, query, header, address or User
ID, and no text of a caller or relay (LOG-03, LOG-07). That is why the spans are made here: FastAPI's own and the
published instrumentations export paths, queries and peers.

The outbox row does not store the trace of the request that enqueued it. The message id joins the two: it is in the
event `message.enqueued` of the request's span, and the attribute `identity.message_id` of the delivery's.
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

from identity_service import __version__
from identity_service.database.transactions import Database
from identity_service.messages.delivery.queue import AttemptReport, ClaimedMessage
from identity_service.messages.delivery.sender import DeliveryObserver
from identity_service.messages.tables import Message
from identity_service.metrics import METHODS
from identity_service.web import routing

LONGEST_STATEMENT: Final = 2000
_FLUSH_SECONDS: Final = 1.0
"""How long the end of a process waits for a collector that does not answer."""

_TRACE_PARENT = TraceContextTextMapPropagator()
_FIRST_WORD = re.compile(r"\s*(\w+)")


class Traces(DeliveryObserver):
    """The spans of one process, exported by a background thread; spans that the collector does not take are dropped."""

    def __init__(self, endpoint: str) -> None:
        """Start the exporter; OpenTelemetry's own variables configure the rest (sampler, headers, certificates)."""
        name = os.environ.get("OTEL_SERVICE_NAME") or "identity-service"
        resource = Resource.create({"service.name": name, "service.version": __version__})
        # Not the process's global provider: spans of libraries would contain what the list above excludes.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("identity_service", __version__)

    def end(self) -> None:
        """Export the remaining spans; wait at most one second for it (REL-40)."""
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        flush.join(_FLUSH_SECONDS)

    def look_at(self, database: Database) -> None:
        """Record the statements of these connections, and the messages that they enqueue."""
        for engine in (database.engine.sync_engine, database.replica.sync_engine):
            event.listen(engine, "before_execute", _record_enqueue)
            event.listen(engine, "before_cursor_execute", _start_clock)
            event.listen(engine, "after_cursor_execute", self._statement_executed)
            event.listen(engine, "handle_error", self._statement_failed)
            event.listen(
                engine, "connect", lambda made, _: made.driver_connection.add_query_logger(self._transaction_command)
            )
        database.log_queries(self._pool_query)

    def requests(self, app: ASGIApp) -> ASGIApp:
        """Return the application wrapped so that each request is a span."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 0

            async def send_noting_status(message: Sent) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            method = scope["method"] if scope["method"] in METHODS else "_OTHER"
            with self._span(method, SpanKind.SERVER, {}, _parent(scope)) as span:
                try:
                    await app(scope, receive, send_noting_status)
                finally:
                    _set_attributes(span, scope, method, status)

        return traced

    @contextlib.contextmanager
    def delivery(self, message: ClaimedMessage) -> Iterator[None]:
        """Open the span of one delivery; its attempts and statements become child spans."""
        with self._span(f"deliver {message.kind}", SpanKind.CONSUMER, _attributes_of(message)):
            yield

    def attempt(self, message: ClaimedMessage, report: AttemptReport) -> None:
        """Record one attempt at a relay: each SMTP step with its verb, code and time, without the replies' text."""
        ended = time.time_ns()
        began = ended - (report.duration_ms or 0) * 1_000_000
        attributes = {
            **_attributes_of(message), "smtp.relay": report.relay or "", "smtp.phase": report.phase,
            "smtp.outcome": report.outcome, "smtp.reply_class": report.reply_class, "smtp.reply_code": report.code or 0,
        }  # fmt: skip
        span = self._tracer.start_span("smtp", kind=SpanKind.CLIENT, attributes=attributes, start_time=began)
        step_ended = began
        for line in report.transcript:
            step_ended += line["ms"] * 1_000_000
            span.add_event(f"smtp.{line['verb'].lower()}", {"smtp.reply_code": line["code"] or 0}, step_ended)
        if report.outcome != "accepted":
            _failed(span, report.reply_class)
        span.end(ended)

    def _statement_executed(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:  # noqa: ANN401
        self._record_statement(statement, time.monotonic() - connection.info["began"])

    def _statement_failed(self, failure: ExceptionContext) -> None:
        if failure.connection is not None and failure.statement is not None:
            now = time.monotonic()
            self._record_statement(
                failure.statement, now - failure.connection.info.get("began", now), failure.original_exception
            )

    def _transaction_command(self, query: Any) -> None:  # noqa: ANN401
        # asyncpg's query logger reports only unprepared statements: here BEGIN, COMMIT, ROLLBACK. SQLAlchemy's events
        # report the others, so that none is recorded twice.
        if query.query.rstrip(";") in ("COMMIT", "ROLLBACK") or query.query.startswith("BEGIN"):
            self._pool_query(query)

    def _pool_query(self, query: Any) -> None:  # noqa: ANN401
        self._record_statement(query.query, query.elapsed, query.exception)

    def _record_statement(self, statement: str, seconds: float, problem: BaseException | None = None) -> None:
        """Record a statement inside a request or delivery: its text and time, never its parameters."""
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
        # The message of an exception may contain values; its type does not.
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as problem:
                _failed(span, type(problem).__name__)
                raise


def _parent(scope: Scope) -> Context:
    """Return the caller's trace context, for API paths only: of its headers only the ids, which are numbers."""
    header = dict(scope["headers"]).get(b"traceparent", b"") if routing.is_api_path(scope["path"]) else b""
    return _TRACE_PARENT.extract({"traceparent": header.decode("latin-1")}, Context())


def _set_attributes(span: Span, scope: Scope, method: str, status: int) -> None:
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
        # Our own id is a random number; one that was sent with the request is the caller's text.
        span.set_attribute("identity.request_id", scope.get("request_id", ""))


def _start_clock(connection: Any, *_: Any) -> None:  # noqa: ANN401
    connection.info["began"] = time.monotonic()


def _record_enqueue(_connection: Any, statement: Any, several: Any, one: Any, _options: Any) -> None:  # noqa: ANN401
    """Add an event to the current span for each message that is enqueued, with its id and kind."""
    if isinstance(statement, Insert) and statement.table.name == Message.__tablename__:
        for row in several or [one]:
            written = {"identity.message_id": str(row["id"]), "identity.message_kind": row["kind"]}
            trace.get_current_span().add_event("message.enqueued", written)


def _attributes_of(message: ClaimedMessage) -> dict[str, str | int]:
    return {
        "identity.message_id": str(message.id),
        "identity.message_kind": message.kind,
        "identity.priority": message.priority,
        "identity.delivery": message.deliveries,
    }


def _failed(span: Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)
