"""A customer with something in every place where something can stand, each marked with a word found nowhere else."""

import re
from dataclasses import dataclass
from decimal import Decimal

from pydantic import SecretStr

from identity_service.approvals import actions as approvals
from identity_service.carriers import Carrier
from identity_service.contacts import limits
from identity_service.messages import heartbeat, rendering
from identity_service.messages.inbound import dsn, feedback
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.settings import Relay
from identity_service.values import email_addresses
from identity_service.values.phone_numbers import PhoneNumber
from identity_service.values.user_ids import UserId
from tests.browser import Browser
from tests.conftest import BASE, Caller, Service
from tests.faults.relay import FaultRelay
from tests.life.given import an_entry, append, call, confirm, consent, merge, row_id, set_password, sign_in
from tests.openid.given import a_request, a_shop, send, travel
from tests.passkeys.given import ME, begin, enrol
from tests.recovery.given import enter, shown_code
from tests.resets.given import forget_limits
from tests.second_factors.given import begin as begin_app
from tests.second_factors.given import set_up

CANARY = "kanarienvogel"
ADDRESS, SECOND = f"{CANARY}@{CANARY}.example", f"{CANARY}2@{CANARY}.example"
NUMBER = "+4915112345678"
EARLIER = f"{CANARY}3@{CANARY}.example"
GOOD = "violet teapot argues with gravity"
NOTICE = f"""\
From: MAILER-DAEMON@{CANARY}.example
To: {{to}}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

{CANARY} has moved away.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.{CANARY}.example

Final-Recipient: rfc822; {ADDRESS}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 {CANARY}: no such user

--b--
"""


@dataclass
class Filled:
    """The customer's two User IDs; the second was merged into the first."""

    user_id: str
    merged: str


async def fill(service: Service, caller: Caller) -> Filled:
    """Fill every table through the doors; only what waits for an approval goes through its verb."""
    await ask_as_a_stranger(service)
    await name_it_elsewhere(service, caller)
    made = await caller.post(
        "/v1/accounts",
        {"email": ADDRESS, "display_name": f"Anna {CANARY}", "external_ref": f"ref-{CANARY}"},
        headers={"Idempotency-Key": "first"},
    )
    user_id = made.json()["user_id"]
    await service.deliver()
    await set_password(service, ADDRESS, GOOD)
    await sign_in(service, ADDRESS, GOOD)
    await consent(service, caller, user_id, ADDRESS)
    evidence = {"granted": True, "wording": "phone-2026-11", "channel": "phone", "evidence": f"{CANARY} said so"}
    await call(caller, "PUT", f"/v1/accounts/{user_id}/consents/phone", evidence)
    await call(caller, "PUT", f"/v1/accounts/{user_id}/consents/post", {"granted": False})
    await caller.post("/v1/marketing/permissions", {"purpose": "email", "user_ids": [user_id]})
    company = {
        "company_name": f"{CANARY} GmbH", "country": "US", "vat_number": CANARY, "contact_person": f"C. {CANARY}",
        "registration_number": f"HRB {CANARY}", "billing_address": f"{CANARY} 1",
    }  # fmt: skip
    became = await call(caller, "PUT", f"/v1/accounts/{user_id}/business", company)
    assert became.status_code == 200, became.text
    entry = an_entry(f"o-{CANARY}", amount="12.50", currency="EUR", link=f"https://{CANARY}.example/1")
    await append(caller, user_id, {**entry, "details": {"to": f"{CANARY} 1"}})
    merged = await fill_the_second(service, caller, user_id)
    await change_address(service, caller, user_id)
    await forget_limits(service)
    service.clock.advance(seconds=1)
    await set_password(service, ADDRESS, GOOD)
    await sign_in_at_a_shop(service)
    await add_addresses(service)
    await add_passkeys(service)
    await add_number(service, user_id)
    await wait(service, user_id, company)
    await call_the_desk(caller, user_id)
    await choose_methods(service, user_id)
    await comes_back(service)
    await passkeys_alone(service, user_id)
    return Filled(user_id, merged)


async def ask_as_a_stranger(service: Service, address: str = ADDRESS) -> None:
    """While the address has no account somebody asks for a password; a letter says that there is none."""
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    await browser.send("/reset", email=address)


async def name_it_elsewhere(service: Service, caller: Caller) -> None:
    """Other people's accounts, for which a desk asks for the addresses that this customer has, and had."""
    for number, address in enumerate((ADDRESS, EARLIER)):
        other = (await caller.post("/v1/accounts", {"email": f"other{number}@example.com"})).json()["user_id"]
        details = email_addresses.parse(address, special_use=True)
        wanted = {"email": details.shown, "ascii": details.ascii, "key": details.key}
        await service.database.in_transaction(
            lambda s, other=other, wanted=wanted: approvals.request_approval(
                s, UserId(row_id(other)), "email", wanted, reason="lost it", actor="staff:one", now=service.clock()
            )
        )


async def fill_the_second(service: Service, caller: Caller, user_id: str) -> str:
    """A second account, with a name and a history, which becomes part of the first."""
    second = await caller.post("/v1/accounts", {"email": SECOND, "display_name": f"Anni {CANARY}"})
    merged = second.json()["user_id"]
    await append(caller, merged, an_entry(f"m-{CANARY}", amount="7.00", currency="EUR"))
    await merge(service, caller, user_id, merged, ADDRESS, SECOND)
    return merged


async def change_address(service: Service, caller: Caller, user_id: str) -> None:
    """There and back again, so that old and new address stand in their rows; and one that is never confirmed."""
    service.clock.advance(seconds=1)
    path = f"/v1/accounts/{user_id}/email-changes"
    other = EARLIER
    await caller.post(path, {"email": other}, headers={"Idempotency-Key": "second"})
    await confirm(service, other, "Please confirm your new email address")
    await ask_as_a_stranger(service)
    await confirm(service, ADDRESS, "Your email address was changed")
    await ask_as_a_stranger(service, other)
    browser = Browser(service.app, BASE)
    await browser.open("/")
    await browser.send("/", email=ADDRESS)
    await service.deliver()
    await caller.post(path, {"email": f"{CANARY}4@{CANARY}.example"})


async def wait(service: Service, user_id: str, company: dict) -> None:
    """Something that a desk has noted, with a reason in its own words."""
    await service.database.in_transaction(
        lambda s: approvals.request_approval(
            s, UserId(row_id(user_id)), "business", company, reason=f"says {CANARY}", actor="staff:one",
            now=service.clock(),
        )
    )  # fmt: skip


async def sign_in_at_a_shop(service: Service) -> None:
    """An application of others that may read while the customer is away, and is told of the sign-out."""
    service.clock.advance(seconds=1)
    shop = await a_shop(service, first_party=False, backchannel_logout_uri="https://shop.example.org/out")
    browser = Browser(service.app, BASE)
    page = await travel(browser, a_request(shop, scope="openid email offline_access").path)
    page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ADDRESS, password=GOOD)
    await send(browser, page.url.path, decision="allow")
    await browser.open("/me")
    await browser.send("/signout")


async def add_addresses(service: Service) -> None:
    """A further address that is confirmed, and one that never is."""
    browser = await sign_in(service, ADDRESS, GOOD)
    for number in (5, 6):
        await browser.open("/me/addresses")
        await browser.send("/me/addresses", email=f"{CANARY}{number}@{CANARY}.example")
    await confirm(service, f"{CANARY}5@{CANARY}.example", "Please confirm another email address")
    await forget_limits(service)


async def add_passkeys(service: Service) -> None:
    """A passkey that the customer named, and the challenge of one that is being added; an authenticator app, one that
    is being set up in its place, and a sign-in that waits for a code."""
    browser = await sign_in(service, ADDRESS, GOOD)
    await set_up(service, browser)
    await enrol(browser, name=f"Telephone of {CANARY}")
    await begin(browser, ME, ME)
    await add_recovery(service, browser)


async def add_recovery(service: Service, browser: Browser) -> None:
    """A recovery code, somebody who entered it, a code for a call, and a choice of how calls are verified."""
    await browser.open("/me/recovery-code")
    await browser.send("/me/recovery-code")
    code = shown_code(browser)
    await browser.open("/me")
    user_id = re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", browser.text)[0]
    await enter(service, user_id, code)
    await browser.open("/me/support")
    await browser.send("/me/support")
    await begin_app(browser)
    await sign_in(service, ADDRESS, GOOD)


async def passkeys_alone(service: Service, user_id: str) -> None:
    """The wish to sign in with passkeys alone; how it comes about is shown in tests/passkeys."""
    row = {"u": row_id(user_id), "t": service.clock()}
    await service.rows("INSERT INTO passkey_only (user_id, since) VALUES (:u, :t) RETURNING 1", **row)


async def add_number(service: Service, user_id: str) -> None:
    """A telephone number that waits for its code, with what the text counts for."""
    carrier = Carrier(name="text", api="generic", url="http://127.0.0.1:9", secret=SecretStr("x"), sender="Shop")
    texts = {"carriers": (carrier,), "text_prices": {"DE": Decimal("0.08")}, "text_day_budget": Decimal(10)}
    settings = service.database.settings
    service.database.settings = settings.model_copy(update=texts)
    number = PhoneNumber(NUMBER, "DE")
    await service.database.in_transaction(
        lambda s: phone_numbers.add_number(s, row_id(user_id), number, network="198.51.100.7", now=service.clock())
    )
    service.database.settings = settings


async def call_the_desk(caller: Caller, user_id: str) -> None:
    """A conversation, with a note and a reason in the clerk's words and a code read back."""
    clerk = {"X-Clerk-ID": "clerk-7"}
    contact = {"desk": "business", "user_id": user_id, "note": f"{CANARY} called"}
    opened = await call(caller, "POST", "/v1/contacts", contact, **clerk)
    assert opened.status_code == 201, opened.text
    number = {"contact": opened.json()["number"]}
    started = await call(caller, "POST", f"/v1/accounts/{user_id}/caller-checks", number, **clerk)
    assert started.status_code == 201, started.text
    why = {"user_id": user_id, "reason": f"says {CANARY}"}
    looked = await call(caller, "POST", f"/v1/contacts/{opened.json()['number']}/account-access", why, **clerk)
    assert looked.status_code == 201, looked.text


async def choose_methods(service: Service, user_id: str) -> None:
    """From now on desks verify by support code or on screen alone."""
    await service.database.in_transaction(
        lambda s: limits.set_preference(s, row_id(user_id), strict=True, now=service.clock())
    )


async def comes_back(service: Service) -> None:
    """A relay that names the customer in all it says refuses a letter, and a notice about another one comes in."""
    server = await FaultRelay().start()
    server.will("RCPT", f"451 4.2.0 <{ADDRESS}> later")
    server.will("EOD", f"250 2.0.0 Ok: queued for <{ADDRESS}>")
    sender = service.sender(Relay(name="talks", host="127.0.0.1", port=server.port, tls="none"))
    try:
        await sender.once()
        await service.database.in_transaction(lambda s: heartbeat.beat(s, sender, service.clock()))
    finally:
        await sender.relays.close()
        await sender.database.close()
        await server.stop()
    ((message_id,),) = await service.rows(
        "SELECT id FROM message WHERE kind = 'welcome' AND recipient = :to", to=ADDRESS
    )
    key = service.database.keys.internal()
    to = rendering.return_address(message_id.hex, service.database.settings.sender_domain, key)
    raw = NOTICE.format(to=to).encode()
    async with service.database.transaction() as session:
        notice = feedback.notice_of(
            session, dsn.read_returned_mail(raw, ADDRESS), raw,
            envelope_from=ADDRESS, envelope_to=to, now=service.clock(),
        )  # fmt: skip
        assert await feedback.apply_notice(session, notice, via="smtp", now=service.clock()) == "applied"
