"""Traces go to whoever is named in OTEL_EXPORTER_OTLP_ENDPOINT: request, SQL and SMTP, and nothing about a customer."""

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from identity_service import telemetry
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.metrics import METHODS
from tests.accounts.given import an_account
from tests.collector import Collector
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay
from tests.given import PRODUCTION, run
from tests.resets import given as resets
from tests.test_logs import SECRETS, everything

ADDRESS = "anna@example.com"
NOW = datetime(2026, 11, 25, tzinfo=UTC)
LETTER = ClaimedMessage(
    uuid.uuid4(), "test", None, ADDRESS, ADDRESS, "en", {}, "<1@example.com>", 0, NOW, NOW, 1, 1, uuid.uuid4(), None
)
ATTRIBUTES = {
    "http.request.method", "http.route", "http.response.status_code", "error.type", "identity.request_id",
    "db.system.name", "db.operation.name", "db.query.text", "identity.message_id", "identity.message_kind",
    "identity.priority",
    "identity.delivery", "smtp.relay", "smtp.phase", "smtp.outcome", "smtp.reply_class", "smtp.reply_code",
}  # fmt: skip
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.close()


@pytest.fixture
async def traced(service, collector):
    """The service in this process, its requests, statements and letters traced."""
    traces = telemetry.Traces(collector.url)
    traces.look_at(service.database)
    await service.database.engine.dispose()
    service.app = traces.requests(service.app)
    transport = httpx2.ASGITransport(service.app, raise_app_exceptions=False)
    plain, untraced = service.sender, service.http

    def watched(*relays):
        sender = plain(*relays)
        sender.watch = traces
        return sender

    async with httpx2.AsyncClient(transport=transport, base_url=untraced.base_url, timeout=30) as http:
        service.http, service.sender, service.traces = http, watched, traces
        yield service
    traces.end()


async def test_a_registration_and_its_letter_are_told_from_the_request_to_the_relay(
    tmp_path, unused_tcp_port, collector
):
    """LOG-07: `serve` and `worker` as in production; the letter's id joins the request's trace and the letter's.

    What FastAPI tells of itself, paths and queries and refused input, stays off, whatever its own variable says.
    """
    relay = await FaultRelay().start()
    relay.will("connect", f"421 4.3.2 <{ADDRESS}> too busy")
    other = await FaultRelay().start()
    relays = [
        {"name": name, "host": "127.0.0.1", "port": server.port, "tls": "none"}
        for name, server in (("a", relay), ("b", other))
    ]
    cluster = Cluster(tmp_path, relays, unused_tcp_port)
    await cluster.prepare()
    cluster.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100",
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_METRIC_EXPORT_INTERVAL": "100",
    }  # fmt: skip
    try:
        cluster.api = await cluster.spawn("serve")
        cluster.workers.append(await cluster.spawn("worker"))
        async with contextlib.aclosing(await cluster.client()) as http:
            answer = await http.post("/v1/accounts", json={"email": ADDRESS}, headers={"traceparent": PARENT})
            assert answer.status_code == 201
            await http.post("/v1/accounts?q=canary", json={"email": "canary"})
            await until(lambda: len(collector.named("smtp")) == 2)
            (message,) = (await http.get("/v1/messages", params={"user_id": answer.json()["user_id"]})).json()["items"]
    finally:
        await cluster.stop()
        await relay.stop()
        await other.stop()
    assert collector.paths == {"/v1/traces"}
    assert {span.service for span in collector.spans} == {"identity-service"}
    registered(collector, message["id"])
    brought(collector, message["id"])
    for secret in (
        ADDRESS,
        answer.json()["user_id"].replace("-", ""),
        http.headers["Authorization"].split()[1],
        "canary",
    ):
        assert not any(secret.encode() in body for body in collector.bodies), secret


def registered(collector: Collector, message_id: str) -> None:
    request, refused = collector.named("POST /v1/accounts")
    assert (refused.attributes["http.response.status_code"], refused.failed) == (422, False)
    assert (request.trace, request.parent) == (PARENT.split("-")[1], PARENT.split("-")[2])
    assert request.attributes["http.route"] == "/v1/accounts"
    assert request.attributes["http.response.status_code"] == 201
    assert not request.failed
    assert request.events == [
        ("message.enqueued", {"identity.message_id": message_id, "identity.message_kind": "welcome"})
    ]
    statements = [span.attributes["db.query.text"] for span in collector.below(request)]
    assert any("INSERT INTO message" in text for text in statements)
    assert any(text.startswith("COMMIT") for text in statements)
    assert 0 < sum(span.ms for span in collector.below(request)) < request.ms


def brought(collector: Collector, message_id: str) -> None:
    (letter,) = collector.named("deliver welcome")
    assert letter.attributes["identity.message_id"] == message_id
    below = collector.below(letter)
    refused, taken = sorted((span for span in below if span.name == "smtp"), key=lambda s: s.attributes["smtp.relay"])
    assert {span.name for span in below} > {"smtp", "SELECT", "COMMIT"}
    for span, relay, outcome, code in ((refused, "a", "relay_fault", 421), (taken, "b", "accepted", 250)):
        assert span.attributes["identity.message_id"] == message_id
        assert span.attributes["smtp.relay"] == relay
        assert span.attributes["smtp.outcome"] == outcome
        assert span.attributes["smtp.reply_code"] == code
        assert span.failed is (outcome != "accepted")
    steps = [(name, said["smtp.reply_code"]) for name, said in taken.events]
    assert steps == [
        ("smtp.greeting", 220), ("smtp.ehlo", 250), ("smtp.mail", 250), ("smtp.rcpt", 250), ("smtp.data", 354),
        ("smtp.payload", 250),
    ]  # fmt: skip


async def test_nothing_about_a_customer_and_nothing_of_a_caller_stands_in_a_span(traced, collector):
    """LOG-03, LOG-07, ATT-10: canaries in every field, path, query, header and refusal; the bytes are searched."""
    caller = await traced.caller()
    user_id = await everything(traced, caller)
    await an_account(caller, email=resets.ANNA)
    reset = await resets.a_reset(traced)
    await resets.type_code(reset.browser, reset.watch, "22222-22222")
    await resets.choose(reset.browser, reset.link)
    await resets.sign_in(reset.browser)
    headers = {
        "X-Request-ID": "canary-request-id", "User-Agent": "canary-agent", "baggage": "who=canary-baggage",
        "traceparent": PARENT, "tracestate": "canary=canarystate",
    }  # fmt: skip
    await caller.get(f"/v1/accounts/{user_id}", headers=headers)
    traced.traces.end()
    spans = collector.spans
    assert len({span.name for span in spans}) > 15
    assert {name for span in spans for name in span.attributes} == ATTRIBUTES - {"error.type"}
    secrets = [
        *SECRETS.values(), user_id, user_id.replace("-", ""), caller.token, caller.client_secret, "canary",
        resets.ANNA, resets.GOOD, *reset.link.split("."), reset.code, reset.watch.split("/")[-1],
        *(cookie.value for cookie in reset.browser.http.cookies.jar),
    ]  # fmt: skip
    for secret in (secret for secret in secrets if len(secret) > 3):
        assert not any(secret.encode() in body for body in collector.bodies), secret


async def test_the_routes_are_templates_and_the_methods_those_there_are(traced, collector):
    """LOG-07: what a caller makes up is no name of a span."""
    caller = await traced.caller()
    user_id = await an_account(caller)
    await caller.get(f"/v1/accounts/{user_id}")
    await caller.post("/v1/accounts/verifications", {"user_ids": [user_id]})
    await caller.get("/nowhere/anna@example.com")
    await traced.http.request("ANNA", "/livez")
    traced.traces.end()
    requests = [span for span in collector.spans if "http.request.method" in span.attributes]
    (verified,) = collector.named("POST /v1/accounts/verifications")
    assert "SELECT" in {span.name for span in collector.below(verified)}, "the read pool is looked at too"
    (read,) = [span for span in requests if span.name == "GET /v1/accounts/{user_id}"]
    assert read.attributes["http.route"] == "/v1/accounts/{user_id}"
    assert re.fullmatch("[0-9a-f]{24}", read.attributes["identity.request_id"])
    assert {span.attributes["http.request.method"] for span in requests} <= {*METHODS, "_OTHER"}
    assert [span.name for span in requests if "http.route" not in span.attributes] == ["GET", "_OTHER"]


async def test_a_statement_that_fails_tells_its_state_and_no_value(traced, collector):
    """LOG-03: the driver's sentence quotes what was wrong."""

    async def count(it: str) -> None:
        async with traced.database.transaction() as session:
            await session.execute(text("SELECT CAST(CAST(:it AS text) AS int)"), {"it": it})

    with pytest.raises(DBAPIError, match="canary-value"), traced.traces.delivery(LETTER):
        await count("canary-value")
    traced.traces.end()
    (letter,) = collector.named("deliver test")
    assert (letter.failed, letter.attributes["error.type"]) == (True, "DBAPIError")
    (failed,) = [span for span in collector.below(letter) if span.failed]
    assert (failed.name, failed.attributes["error.type"]) == ("SELECT", "22P02")
    assert not any(b"canary" in body for body in collector.bodies)


async def test_only_a_service_goes_on_with_a_trace_of_its_own(traced, collector):
    """A page is asked for by strangers; what they send as their trace is nobody's."""
    caller = await traced.caller()
    await caller.get("/v1/events", headers={"traceparent": PARENT})
    await traced.http.get("/reset", headers={"traceparent": PARENT})
    await caller.get("/v1/messages", headers={"traceparent": "00-nonsense"})
    traced.traces.end()
    theirs = PARENT.split("-")[1]
    assert [span.trace == theirs for span in collector.named("GET /v1/events")] == [True]
    assert [span.trace == theirs for span in collector.named("GET /reset")] == [False]
    assert [span.parent for span in collector.named("GET /v1/messages")] == [""]


async def test_a_collector_that_answers_nothing_delays_nobody(tmp_path, unused_tcp_port):
    """REL-40: it takes the connection and is silent; requests are answered, and the process ends when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cluster = Cluster(tmp_path, [], unused_tcp_port)
        await cluster.prepare()
        cluster.environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
            "OTEL_BSP_SCHEDULE_DELAY": "1",
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
        }
        try:
            cluster.api = await cluster.spawn("serve")
            async with contextlib.aclosing(await cluster.client()) as http:
                silent.settimeout(20)
                taken, _ = await asyncio.to_thread(silent.accept)
                began = asyncio.get_running_loop().time()
                for number in range(30):
                    answer = await http.post("/v1/accounts", json={"email": f"a{number}@example.com"})
                    assert answer.status_code == 201
                assert asyncio.get_running_loop().time() - began < 20
                taken.close()
            cluster.api.terminate()
            # Both the exporter and the SDK would wait for half a minute and longer.
            assert await asyncio.wait_for(cluster.api.wait(), 15) == 0
        finally:
            await cluster.stop()


LOADED = """
import sys
from identity_service.cli import main, processes
from identity_service.settings import Settings
with processes.traced(Settings()) as traces:
    pass
mine = ("identity_service.telemetry", "opentelemetry.sdk", "opentelemetry.exporter", "requests", "google.protobuf")
print(traces is None, [name for name in sys.modules if name.startswith(mine)])
"""


@pytest.mark.parametrize("given", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_SERVICE_NAME": "x"}], ids=str)
def test_off_is_the_default_and_loads_nothing(tmp_path, given):
    ended = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=tmp_path,
        env={"PATH": "", **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "True []"


@pytest.mark.parametrize("command", ["serve", "worker", "run"])
def test_without_the_extra_it_says_what_is_missing(tmp_path, command):
    program = "import sys; sys.modules['opentelemetry.sdk'] = None; from identity_service.cli import main; main.main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env={**PRODUCTION, "PATH": "", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
    )  # fmt: skip
    assert ended.returncode == 1
    sentence = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed (identity-service[telemetry])."
    assert ended.stderr.strip().splitlines()[-1] == sentence
    assert "Traceback" not in ended.stderr


def test_a_collector_is_named_by_an_http_url(tmp_path):
    ended = run("serve", folder=tmp_path, **PRODUCTION, OTEL_EXPORTER_OTLP_ENDPOINT="collector:4317")
    assert ended.returncode == 1
    assert ended.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT")


async def until(true: Callable[[], object]) -> None:
    """Look again until something is there, for half a minute at most."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 (it is another process that is waited for)
            await asyncio.sleep(0.1)
