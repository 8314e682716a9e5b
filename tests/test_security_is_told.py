"""What somebody who looks for an attack asks for is told: in an event with its actor, or in a log line (LOG-02).

What changes something is an event; what was refused, and what only came and went, is a line.
"""

import asyncio
import os
import signal
import socket

import pytest

from identity_service.clients import actions as clients
from identity_service.console import actions as staff
from tests.clients.given import a_client, a_key, assertion, key_set, proven_by, token_of
from tests.conftest import BASE, MASTER_KEY
from tests.consents.given import a_customer, propose, withdraw
from tests.console.given import a_clerk, an_account, enrol
from tests.console.given import sign_in as staff_sign_in
from tests.console.test_staff_passkeys import with_passkey
from tests.given import COMMAND
from tests.life.given import a_business
from tests.resets.given import ANNA, OTHER, a_browser, a_password, a_reset, choose, sign_in

pytestmark = pytest.mark.usefixtures("log")


async def signs_in(service, caller):
    await a_password(service, caller)
    browser = a_browser(service)
    await sign_in(browser)
    return browser


async def signs_out(service, caller):
    browser = await signs_in(service, caller)
    await browser.open("/me")
    await browser.send("/signout")


async def signs_in_wrongly(service, caller):
    await a_password(service, caller)
    await sign_in(a_browser(service), password=OTHER)


async def sets_a_password(service, caller):
    await a_password(service, caller)


async def adds_a_client(service, caller):
    await a_client(service)


async def rotates_a_client(service, caller):
    await service.database.in_transaction(lambda s: clients.rotate_secret(s, caller.client_id, now=service.clock()))


async def closes_a_client(service, caller):
    await service.database.in_transaction(lambda s: clients.close_client(s, caller.client_id, now=service.clock()))


async def adds_staff(service, caller):
    await enrol(service, "ada")


async def removes_staff(service, caller):
    await enrol(service, "ada")
    await service.database.in_transaction(lambda s: staff.remove_staff(s, "ada", now=service.clock()))


async def staff_gets_in(service, caller):
    await a_clerk(service)


async def staff_does_not_get_in(service, caller):
    await staff_sign_in(service, await enrol(service, "ada"), password="something else entirely")


async def staff_is_renewed(service, caller):
    await enrol(service, "ada")
    await (await a_clerk(service, "bob", "lead")).do("/console/staff/ada/renew")


async def staff_adds_a_passkey(service, caller):
    await with_passkey(service, "ada")


async def staff_looks(service, caller):
    user_id = await an_account(caller)
    await (await a_clerk(service)).open_account(user_id)


async def proposes(service, caller):
    await propose(caller, await an_account(caller))


async def says_yes(service, caller):
    await (await a_customer(caller, service)).grants()


async def says_no(service, caller):
    await withdraw(caller, await an_account(caller))


async def exports(service, caller):
    await caller.get(f"/v1/accounts/{await an_account(caller)}/export")


async def erases(service, caller):
    await caller.post(f"/v1/accounts/{await an_account(caller)}/erase")


async def converts(service, caller):
    await a_business(caller)


CLIENT = "client:{client}"
EVENTS = {
    "account.became_business": (converts, CLIENT),
    "account.erased": (erases, CLIENT),
    "account.exported": (exports, CLIENT),
    "client.added": (adds_a_client, "operator"),
    "client.closed": (closes_a_client, "operator"),
    "client.rotated": (rotates_a_client, "operator"),
    "consent.granted": (says_yes, "customer"),
    "consent.proposed": (proposes, CLIENT),
    "consent.withdrawn": (says_no, CLIENT),
    "account.opened_by_staff": (staff_looks, "staff:ada"),
    "password.check_failed": (signs_in_wrongly, "customer"),
    "password.set": (sets_a_password, "customer"),
    "sign_in.ended": (signs_out, "customer"),
    "sign_in.succeeded": (signs_in, "customer"),
    "staff.added": (adds_staff, "operator"),
    "staff.enrolled": (adds_staff, "staff:ada"),
    "staff.enrolment_renewed": (staff_is_renewed, "staff:bob"),
    "staff.passkey_added": (staff_adds_a_passkey, "staff:ada"),
    "staff.removed": (removes_staff, "operator"),
    "staff.sign_in_failed": (staff_does_not_get_in, "staff"),
    "staff.signed_in": (staff_gets_in, "staff:ada"),
}
"""What is done, by the event's name, and who is told to have done it. Rotating keys is a command, and proven there."""


@pytest.mark.parametrize("name", EVENTS)
async def test_what_changes_something_is_an_event_with_its_actor(service, caller, name):
    """LOG-02, LOG-05, ASVS 16.3.1, 16.3.3: sign-ins, rights, consent, what staff did."""
    road, actor = EVENTS[name]
    before = {id_ for (id_,) in await service.rows("SELECT id FROM event WHERE name = :name", name=name)}
    await road(service, caller)
    told = await service.rows("SELECT id, actor FROM event WHERE name = :name", name=name)
    assert [row.actor for row in told if row.id not in before] == [actor.format(client=caller.client_id)]


async def a_token(service, caller):
    return await token_of(service, clients.Credentials(caller.client_id, caller.client_secret, "shop"))


async def a_wrong_secret(service, caller):
    return await token_of(service, clients.Credentials(caller.client_id, "wrong", "shop"))


async def a_scope_too_many(service, caller):
    return await token_of(service, clients.Credentials(caller.client_id, caller.client_secret, "shop"), scope="nothing")


async def a_token_taken_back(service, caller):
    return await service.http.post(
        "/oauth/revoke", data={"token": caller.token}, auth=(caller.client_id, caller.client_secret)
    )


async def a_revoked_token(service, caller):
    await a_token_taken_back(service, caller)
    await service.app.state.gate.reload()
    return await caller.get("/v1/events")


async def a_link_used_again(service, caller):
    await an_account(caller, ANNA)
    reset = await a_reset(service)
    service.clock.advance(seconds=1)
    for _ in range(2):
        answer = await choose(reset.browser, reset.link)
    return answer


async def no_right(service, caller):
    reader = await service.caller("accounts:read", name="reader")
    caller.client_id = reader.client_id
    return await reader.get("/v1/events")


async def no_right_of_staff(service, caller):
    return await (await a_clerk(service)).open("/console/audit")


async def a_invalid_csrf_token(service, caller):
    return await a_browser(service).http.post("/signin", data={"form_token": "x", "email": ANNA, "password": OTHER})


async def a_wrong_shape(service, caller):
    return await caller.post("/v1/accounts", {"colour": "red"})


async def too_much(service, caller):
    for _ in range(200):
        answer = await a_wrong_secret(service, caller)
        if answer.status_code == 429:
            break
    return answer


async def another_host(service, caller):
    return await service.http.get("/v1/events", headers={"Host": "evil.example"})


async def an_error(service, caller):
    service.app.state.clock = None
    return await caller.post("/v1/accounts", {})


LINES = {
    "a token": (a_token, {"route": "/oauth/token", "status": 200, "client": "{client}"}),
    "a wrong secret": (a_wrong_secret, {"status": 401, "problem": "invalid_client", "claimed": "{client}"}),
    "a scope too many": (a_scope_too_many, {"status": 400, "problem": "invalid_scope", "claimed": "{client}"}),
    "a token taken back": (a_token_taken_back, {"route": "/oauth/revoke", "status": 200, "client": "{client}"}),
    "a revoked token": (a_revoked_token, {"status": 401, "problem": "invalid_token"}),
    "a link used again": (a_link_used_again, {"route": "/reset/choose", "status": 410, "problem": "just_used"}),
    "no right": (no_right, {"status": 403, "problem": "missing_scope", "client": "{client}"}),
    "no right of staff": (no_right_of_staff, {"route": "/console/audit", "status": 403, "staff": "ada"}),
    "a foreign form": (a_invalid_csrf_token, {"route": "/signin", "status": 403, "problem": "invalid_csrf_token"}),
    "a wrong shape": (a_wrong_shape, {"status": 422, "problem": "invalid_shape", "client": "{client}"}),
    "too much": (too_much, {"status": 429, "problem": "too_many_requests", "claimed": "{client}"}),
    "another host": (another_host, {"status": 421, "problem": "misdirected_request"}),
    "an error": (an_error, {"status": 500, "problem": "internal_error", "client": "{client}"}),
}


@pytest.mark.parametrize("what", LINES)
async def test_what_was_refused_is_a_line_that_says_who_and_why(service, caller, log, what):
    """LOG-02, LOG-05, ASVS 16.3.1, 16.3.2, 16.3.3: who was not let in has only said who he is, so he is `claimed`."""
    road, expected = LINES[what]
    answer = await road(service, caller)
    line = [line for line in log.lines if line["request_id"] == answer.headers["X-Request-ID"]][-1]
    wanted = {"event": "request.answered", "source": line["source"], **expected}
    shown = {name: value.format(client=caller.client_id) if name in ("client", "claimed") else value
             for name, value in wanted.items()}  # fmt: skip
    assert {name: line.get(name) for name in shown} == shown
    assert ("client" in line) == ("client" in expected)


async def test_an_assertion_that_comes_again_is_told_apart(service, log):
    """LOG-02, OAU-19: it was signed by the client, so somebody overheard it, or the client is broken."""
    key = a_key()
    made = await a_client(service, jwks=key_set(key))
    form = {"grant_type": "client_credentials", **proven_by(assertion(service, made.client_id, key))}
    statuses = [(await service.http.post("/oauth/token", data=form)).status_code for _ in range(2)]
    assert statuses == [200, 401]
    (told,) = [line for line in log.lines if line["event"] == "client.assertion_replayed"]
    assert (told["client"], told["level"]) == (made.client_id, "warning")


@pytest.mark.parametrize("name", ["serve", "worker", "bounce-server"])
async def test_start_and_stop_are_told(service, urls, tmp_path, name):
    """LOG-02: SIGTERM, as every supervisor sends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    foreign = {key: value for key, value in os.environ.items() if not key.startswith(("IDENTITY_", "DATABASE_"))}
    process = await asyncio.create_subprocess_exec(
        COMMAND, name, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=foreign | {
            "DATABASE_URL": urls.application, "IDENTITY_MASTER_KEY": MASTER_KEY, "IDENTITY_PUBLIC_URL": BASE,
            "IDENTITY_DATA_DIR": str(tmp_path), "IDENTITY_ENVIRONMENT": "development", "IDENTITY_LOG_FORMAT": "json",
            "IDENTITY_PORT": port, "IDENTITY_BOUNCE_PORT": port,
        },
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            said = ""
            while f'"{name}.started"' not in said:
                said += (await process.stdout.readline()).decode()
            process.send_signal(signal.SIGTERM)
            said += (await process.stdout.read()).decode()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    assert f'"{name}.stopped"' in said
