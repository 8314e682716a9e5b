"""LOG-03, PRV-10, ATT-59, ASVS 8.2.3, 14.2.4, 16.2.5: every secret there is goes every road, and is then searched for.

A secret may stand in its letter, at the relay, and with whoever it was made for. It stands in no log line, no column of
any table, no metric, no refusal, and in nothing that the feed or the audit hands out.
"""

import io
import logging
import os
import re
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from identity_service import logs
from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from identity_service.settings import Relay, Settings
from identity_service.web import scopes as client_rules
from tests.abuse.canaries import Overheard, columns, found_in, stands_in
from tests.abuse.roads import GIVEN, PERSONAL, Walk
from tests.conftest import BASE, empty
from tests.faults.relay import FaultRelay
from tests.given import PRODUCTION, run

KINDS = (
    "link", "code 0 of", "spoken", "__Host-session of customer", "__Host-session of mailed", "__Host-staff",
    "__Host-form", "recovery code 9", "enrolment", "seed", "assertion", "receipt", "second_token", "first_secret",
    "inner_key",
)  # fmt: skip
"""What has to have come up on the way, or nothing was searched for."""
OLD, NEW = {"address"}, {"other address"}
MAY_STAND_IN = {
    "account.email": OLD, "account.email_ascii": OLD, "account.email_key": OLD,
    "email_change.old_email": OLD, "email_change.old_ascii": OLD, "email_change.old_key": OLD,
    "email_change.new_email": NEW, "email_change.new_ascii": NEW, "email_change.new_key": NEW,
    "message.recipient": OLD | NEW, "message.recipient_ascii": OLD | NEW,
    "idempotency_key.key": {"idempotency key"},
}  # fmt: skip
"""The customer's addresses, where erasing finds them; and a caller's name for a request, which opens nothing."""
MAY_BE_ANSWERED = {
    "the answer 422 POST /reset/…/code": {"address", "wrong code"},
    "the answer 422 POST /signin/…": {"wrong code"},
} | {
    f"the answer {answered}": {"address"}
    for answered in (
        "422 POST /signin",
        *(f"{status} POST {path}" for status in (500, 503) for path in ("/signin", "/reset")),
    )
}
"""Who has to send a form again finds the address or the wrong code that they typed in its field again."""
OPEN = ("/v1/events?limit=200", "/v1/audit/events", "/v1/audit/checkpoints", "/v1/mail/health", "/v1/relays",
"/v1/messages",
        "/.well-known/mail-transparency", "/v1/approvals", "/v1/suppressions")  # fmt: skip
"""What others read, too: with every scope but the one for addresses."""


async def read(caller, path: str) -> str:
    """Return what a door says that has to open."""
    answer = await caller.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture
async def relay():
    """A relay that wants a password, and likes none."""
    server = FaultRelay(extensions=("AUTH PLAIN LOGIN", "ENHANCEDSTATUSCODES"))
    server.will("AUTH", *["535 5.7.8 bad credentials"] * 100)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def settings(settings: Settings, relay: FaultRelay) -> Settings:
    first = Relay(
        name="wants-more", host="127.0.0.1", port=relay.port, tls="none", username="us",
        password=SecretStr(GIVEN["relay password"]),
    )  # fmt: skip
    relays = (first, *settings.relays)
    return settings.model_copy(update={"webhook_secret": SecretStr(GIVEN["hook secret"]), "relays": relays})


@pytest.fixture
async def database(urls, settings: Settings, owner):
    """The database, asked for with a password."""
    url = make_url(urls.application)
    url = url if url.password else url.set(password=GIVEN["database password"])
    found = Database(settings, url.render_as_string(hide_password=False))
    await key_store_flows.load_key_ring(found, settings.key())
    yield found
    await found.close()
    await empty(owner)


@pytest.fixture
def written():
    """Everything that is logged, the finest too."""
    stream = io.StringIO()
    logs.configure("json", level=logging.DEBUG, stream=stream)
    yield stream
    logs.configure("json")


@pytest.fixture
async def walk(service, caller, owner, written) -> Walk:
    """Every road, gone; what was answered is in `service.app.answers`."""
    service.app = Overheard(service.app)
    transport = httpx2.ASGITransport(service.app, raise_app_exceptions=False, client=("198.51.100.7", 40000))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30) as http:
        service.http = caller.http = http
        found = Walk(service, caller, owner)
        await found.all()
        yield found


async def test_no_secret_stands_anywhere_but_where_it_belongs(walk: Walk, written, relay, capfd):
    """LOG-03, LOG-07, ATT-59, RST-04, PRV-10: all of them, in logs, tables, metrics, refusals, feed and audit."""
    everything = walk.secrets | PERSONAL
    service = walk.service
    caller = await service.caller(*set(client_rules.SCOPES) - {"accounts:read_personal"}, name="reader")
    assert "C: AUTH …" in relay.transcript
    statuses = {status for status, _, _ in service.app.answers}
    assert {200, 201, 400, 401, 404, 410, 422, 500, 503} <= statuses, statuses
    met = " ".join(everything)
    assert [kind for kind in KINDS if kind not in met] == []
    found = {
        "a log": found_in(everything, written.getvalue()),
        "standard output or error": found_in(everything, "".join(capfd.readouterr())),
        **{path: found_in(everything, await read(caller, path)) for path in ("/metrics", *OPEN)},
        **{
            f"the answer {re.sub('/[A-Za-z0-9_-]{24}', '/…', asked)}": found_in(everything, said)
            for asked, said in service.app.refusals()
        },
    }
    stored = {name: found_in(everything, text) for name, text in (await columns(service)).items()}
    assert {place: names for place, names in found.items() if names} == MAY_BE_ANSWERED
    assert {place: names for place, names in stored.items() if names} == MAY_STAND_IN


SPELLED = {
    "as it is": "so: kanarie-relay-83c2.",
    "in capitals": "KANARIE-RELAY-83C2",
    "in hex": r"\x6b616e617269652d72656c61792d38336332",
    "in base64": "a2FuYXJpZS1yZWxheS04M2My",
}


@pytest.mark.parametrize("text", SPELLED.values(), ids=SPELLED.keys())
def test_a_planted_secret_is_found_in_any_shape(text):
    assert found_in(GIVEN, text) == {"relay password"}


def test_a_code_is_found_by_itself_and_not_in_other_numbers():
    assert stands_in("123 456", '{"code": "123456"}')
    assert stands_in("123 456", "the code 123 456.")
    assert not stands_in("123 456", "2026-11-25T12:00:00.123456Z 7123456 a123456")


def test_a_start_that_fails_tells_no_secret(tmp_path):
    """LOG-03, ATT-63: the command line says in a sentence what is wrong, and of a secret nothing."""
    relays = (
        f'[{{"name": "first", "host": "relay.example.com", "port": 465, "tls": "implicit", "username": "us", '
        f'"password": "{GIVEN["relay password"]}"}}]'
    )
    environment = {
        **PRODUCTION, "IDENTITY_RELAYS": relays, "IDENTITY_WEBHOOK_SECRET": GIVEN["hook secret"],
        "DATABASE_URL": f"postgresql://app:{GIVEN['database password']}@127.0.0.1:1/identity",
    }  # fmt: skip
    for words in (["settings"], ["settings", "--json"], ["client", "list"], ["mail", "doctor", "--json"]):
        ended = run(*words, folder=tmp_path, **environment)
        assert found_in(GIVEN, ended.stdout + ended.stderr) == set(), words
    broken = {**environment, "IDENTITY_RELAYS": relays.replace("]", ""), "IDENTITY_PORT": GIVEN["hook secret"]}
    ended = run("serve", folder=tmp_path, **broken)
    assert ended.returncode != 0
    assert found_in(GIVEN, ended.stdout + ended.stderr) == set()


async def test_what_is_logged_goes_to_standard_output_and_nowhere_else(served, process):
    """LOG-01, ASVS 16.2.3: after a request the process has no file open for writing but the two it was given."""
    assert (await served.http.get("/v1/events")).status_code == 401
    about = Path(f"/proc/{process.api.pid}")
    written = []
    for descriptor in (about / "fd").iterdir():
        flags = int(re.search(r"flags:\s+(\d+)", (about / "fdinfo" / descriptor.name).read_text())[1], 8)
        if descriptor.resolve().is_file() and flags & (os.O_WRONLY | os.O_RDWR):
            written.append((descriptor.name, descriptor.resolve().name))
    assert sorted(written) == [("1", "serve.log"), ("2", "serve.log")]
