"""Two people, each with every secret of the crossing table and an open place for each; everything is made by the
routes and pages, so that each secret is one that would work."""

import re
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import SecretStr
from sqlalchemy import and_, insert, or_, select

from identity_service.carriers import Carrier
from identity_service.console import actions as staff
from identity_service.contacts import checks
from identity_service.database.transactions import DatabaseSession
from identity_service.keys import signing
from identity_service.messages import rendering
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import digits
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.openid import deliveries, logout, tokens
from identity_service.openid.tables import LogoutDelivery
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.phone_numbers.tables import AccountNumber
from identity_service.resets import texts as reset_texts
from identity_service.values import user_ids
from identity_service.values.phone_numbers import PhoneNumber
from tests.abuse import crossing
from tests.browser import Browser
from tests.browser.test_every_link import approve_change
from tests.clients.given import ASSERTION_TYPE, a_client, a_key, assertion, key_set
from tests.conftest import BASE, Caller, Service
from tests.console.given import PASSWORD as STAFF_PASSWORD
from tests.console.given import a_clerk, now_code
from tests.contacts.given import Tool, a_tool
from tests.life.given import COMPANY, call, confirm, consent, row_id, sign_in
from tests.openid.asking import push
from tests.openid.given import BACK, Shop, a_request, a_shop, answer_of, travel
from tests.passkeys.given import enrol
from tests.recovery.given import enter, shown_code
from tests.resets.given import GOOD, OTHER, a_browser, a_password, ask, forget_limits
from tests.second_factors.given import ME as SECOND_FACTOR
from tests.second_factors.given import begin as begin_setup
from tests.second_factors.given import shown

NEW = "nine rivers run uphill today"
HOOK = "crossing-hook-secret-77"


class Secret(NamedTuple):
    """One secret: its kind, whose it is, and itself."""

    kind: str
    owner: str
    value: str


class Person:
    """Somebody with a secret of every kind. `values` stand beside a secret in a form, `places` are where a place is
    theirs: fields, cookies and parts of the path by name. `accounts` are their User IDs by what they are for."""

    def __init__(self, name: str) -> None:
        self.name, self.email = name, f"{name}@example.org"
        self.password = GOOD if name == "anna" else OTHER
        self.secrets: dict[str, str] = {}
        self.values: dict[str, str] = {"email": self.email, "new": NEW, "back": BACK}
        self.places: dict[str, dict[str, str]] = {}
        self.accounts: dict[str, str] = {}
        self.cookies: dict[str, str] = {}

    def note(self, kind: str, value: str) -> None:
        self.secrets[kind] = value

    def at(self, what: str) -> str:
        return f"{self.name}.{what}@example.org"

    def mailbox_of(self, what: str) -> str:
        """The mailbox that an account of theirs has by now."""
        return {"main": self.email, "moved": self.at("moved2")}.get(what, self.at(what))


class World:
    """Anna and Ben, and what calls the service for them."""

    def __init__(self, service: Service, caller: Caller, tool: Tool) -> None:
        self.service, self.caller, self.tool = service, caller, tool
        self.people = {name: Person(name) for name in ("anna", "ben")}
        self.clerks: dict[str, Any] = {}
        self.shops: dict[str, Shop] = {}
        self.clients: dict[str, Caller] = {}

    @property
    def secrets(self) -> list[Secret]:
        people = self.people.values()
        return [Secret(kind, person.name, value) for person in people for kind, value in person.secrets.items()]


async def a_world(service: Service, caller: Caller) -> World:
    """Make everything; the clock stands still from here on, because codes of applications live for a minute."""
    carrier = Carrier(name="text", api="generic", url="http://127.0.0.1:9", secret=SecretStr("x"), sender="Shop")
    texts = {"carriers": (carrier,), "text_prices": {"DE": Decimal("0.08")}, "text_day_budget": Decimal(10)}
    settings = service.database.settings.model_copy(update={"webhook_secret": SecretStr(HOOK), **texts})
    service.database.settings = settings
    world = World(service, caller, await a_tool(service))
    for person, clerk in zip(world.people.values(), ("ada", "eve"), strict=True):
        await _fill_staff(world, person, clerk)
    service.clock.advance(seconds=40)
    for person in world.people.values():
        await _fill_accounts(world, person)
        await _fill_factor(world, person)
        await _fill_links(world, person)
        await _fill_desk(world, person)
        await _fill_recovery(world, person)
        await _fill_number(world, person)
    await deliver(service)
    service.clock.advance(seconds=1)
    for person in world.people.values():
        await _read_messages(world, person)
        await _fill_clients(world, person)
        await _fill_applications(world, person)
        await _fill_signed(world, person)
    await forget_limits(service)
    return world


async def deliver(service: Service) -> None:
    await forget_limits(service)
    while await service.deliver():
        pass


async def _fill_staff(world: World, person: Person, name: str) -> None:
    service = world.service
    clerk = world.clerks[person.name] = await a_clerk(service, name)
    person.values |= {"staff": name, "staff_password": STAFF_PASSWORD}
    if person.name == "anna":
        person.note("password of staff", STAFF_PASSWORD)
    person.note("session of staff", clerk.http.cookies["__Host-staff"])
    person.note("recovery code of staff", clerk.codes[0])
    link = await service.database.in_transaction(
        lambda s: staff.add_staff(s, f"new.{name}", "clerk", now=service.clock())
    )
    pending = await service.database.in_transaction(lambda s: staff.find_enrolment(s, link, now=service.clock()))
    person.note("enrolment link", link)
    person.note("sealed seed", pending.sealed_seed)
    person.values |= {"enrolment": link, "seed": pending.sealed_seed, "new_seed": pending.seed}


async def _fill_accounts(world: World, person: Person) -> None:
    """A customer who has signed in and agreed, and accounts to which something has happened."""
    service, caller = world.service, world.caller
    await forget_limits(service)
    person.accounts["main"] = await a_password(service, caller, person.email, person.password)
    await consent(service, caller, person.accounts["main"], person.email)
    for what in ("desk", "mover", "firm", "moved", "twin", "other", "stopped", "closed", "gone", "texter"):
        made = await caller.post("/v1/accounts", {"email": person.at(what)})
        person.accounts[what] = made.json()["user_id"]
    await deliver(service)
    await call(caller, "PUT", f"/v1/accounts/{person.accounts['firm']}/business", COMPANY)
    moved = f"/v1/accounts/{person.accounts['moved']}/email-changes"
    await caller.post(moved, {"email": person.at("moved2")})
    await confirm(service, person.at("moved2"), "Please confirm your new email address")
    await approve_change(service, person.accounts["stopped"], person.at("stopped2"))
    await call(caller, "POST", f"/v1/accounts/{person.accounts['closed']}/close")
    erased = await call(caller, "POST", f"/v1/accounts/{person.accounts['gone']}/erase")
    person.note("erasure receipt", erased.json()["receipt"])
    await deliver(service)
    service.clock.advance(seconds=1)
    browser = await sign_in(service, person.email, person.password)
    person.note("session of a customer", browser.http.cookies["__Host-session"])
    person.note("known browser", browser.http.cookies["__Host-known"])
    person.note("form token", re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1])
    person.note("password", person.password)
    await browser.open("/me/addresses")
    await browser.send("/me/addresses", email=person.at("more"))


async def _fill_factor(world: World, person: Person) -> None:
    """A customer with an app, who is about to replace it; and a sign-in of theirs that waits for its code."""
    service, address = world.service, person.at("factor")
    await forget_limits(service)
    person.accounts["factor"] = await a_password(service, world.caller, address, person.password)
    browser = await sign_in(service, address, person.password)
    seed = await begin_setup(browser)
    await browser.send(f"{SECOND_FACTOR}/confirm", code=shown(service, seed))
    pending = await begin_setup(browser)
    person.places["setting_up"] = {"cookie:__Host-session": browser.http.cookies["__Host-session"]}
    service.clock.advance(seconds=1)
    waiting = await sign_in(service, address, person.password)
    cookie = waiting.http.cookies["__Host-second-factor"]
    person.places["waiting"] = {"cookie:__Host-second-factor": cookie}
    person.note("sign-in that waits", cookie)
    await waiting.open("/signin/second-factor/lost")
    await waiting.send("/signin/second-factor/lost")
    person.values |= {"factor_seed": seed, "pending_seed": pending}


async def _fill_links(world: World, person: Person) -> None:
    """Ask for everything that a link or code of an email does."""
    service, caller, main = world.service, world.caller, person.accounts["main"]
    await forget_limits(service)
    watch = await ask(a_browser(service), person.email)
    person.places["reset"] = {"path:handle": watch.split("/")[2]}
    browser = a_browser(service)
    await browser.open(f"{watch}/elsewhere")
    await browser.send(f"{watch}/elsewhere", address=person.email)
    browser = a_browser(service)
    await browser.open("/signin")
    page = await browser.send("/signin/code", email=person.email)
    person.places["signin"] = {"path:handle": page.url.path.split("/")[2]}
    page = await browser.send(f"{page.url.path}/elsewhere", address=person.email)
    person.places["signin_elsewhere"] = {"path:handle": page.url.path.split("/")[2]}
    browser = a_browser(service)
    await browser.open("/")
    page = await browser.send("/", email=person.at("new"))
    person.places["address"] = {"path:handle": page.url.path.split("/")[2]}
    asked = {"granted": True, "wording": "phone-2026-11", "channel": "app"}
    await call(caller, "PUT", f"/v1/accounts/{main}/consents/phone", asked)
    await caller.post(f"/v1/accounts/{person.accounts['mover']}/email-changes", {"email": person.at("mover2")})
    await caller.post(f"/v1/accounts/{person.accounts['twin']}/merge", {"duplicate": person.accounts["other"]})
    await world.tool.put(f"/v1/accounts/{main}/business", COMPANY)
    for page in ("reset", "signin", "address"):
        person.note(f"handle of {page}", person.places[page]["path:handle"])


async def _fill_desk(world: World, person: Person) -> None:
    """A check by a desk tool, and one by a clerk at the console."""
    main, desk = person.accounts["main"], person.accounts["desk"]
    number = await world.tool.contact(main)
    check = (await world.tool.check(main, number))["id"]
    person.places["/v1/"] = {"path:user_id": main, "path:check_id": check}
    clerk = world.clerks[person.name]
    person.values["contact"] = await clerk.open_account(desk)
    check = await clerk.start_check(desk, person.values["contact"])
    person.places["/console/"] = {"path:user_id": desk, "path:check_id": check}


async def _fill_recovery(world: World, person: Person) -> None:
    """Somebody with a passkey and a recovery code, who has entered that and waits for the second proof; and a clerk's
    question on their screen."""
    service = world.service
    await forget_limits(service)
    user_id = person.accounts["recovering"] = await a_password(service, world.caller, person.at("recovering"))
    browser = await sign_in(service, person.at("recovering"), GOOD)
    await enrol(browser)
    await browser.open("/me/recovery-code")
    await browser.send("/me/recovery-code")
    person.note("recovery code", shown_code(browser))
    person.values["recovering"] = user_id
    await browser.open("/me/support")
    await browser.send("/me/support")
    person.note("support code", re.search(r'class="id" dir="ltr">([^<]+)<', browser.page.text)[1])
    entered = await enter(service, user_id, person.secrets["recovery code"])
    await entered.send("/recover/second-code/send")
    person.note("recovery session", entered.http.cookies["__Host-recovery"])
    person.places["recovery"] = {"cookie:__Host-recovery": person.secrets["recovery session"]}
    asked = await world.tool.check(user_id, await world.tool.contact(user_id), method="on_screen")
    person.note("digits on screen", asked["digits"])
    person.places["asked"] = {"cookie:__Host-session": browser.http.cookies["__Host-session"]}


async def _fill_number(world: World, person: Person) -> None:
    """A telephone number that waits for its code, and one that was asked to get a code for a new password."""
    service, last = world.service, {"anna": 1, "ben": 2}[person.name]
    number = PhoneNumber(f"+49151{last}2345678", "DE")
    added = await service.database.in_transaction(
        lambda s: phone_numbers.add_number(s, row_id(person.accounts["main"]), number, network="x", now=service.clock())
    )
    session = person.secrets["session of a customer"]
    texter, other = row_id(person.accounts["texter"]), PhoneNumber(f"+49152{last}2345678", "DE")
    old = {"added_at": service.clock(), "confirmed_at": service.clock(), "recovers_from": service.clock()}

    async def send(s: DatabaseSession) -> str:
        await s.execute(insert(AccountNumber).values(id=uuid.uuid4(), user_id=texter, number=other.e164, **old))
        first = OneTimeToken(user_id=texter)
        now = service.clock()
        return (await reset_texts.send_reset_text(s, first, other.e164, locale="en", network="y", now=now)).handle

    person.places["reset_text"] = {"path:handle": await service.database.in_transaction(send)}
    person.places["number"] = {"path:number_id": str(added.id), "cookie:__Host-session": session}


async def _read_messages(world: World, person: Person) -> None:
    """Note link, code and reference of the newest open token of each purpose, as its message tells them."""
    async with world.service.database.transaction() as session:
        texts = and_(
            Message.channel == "text", Message.user_id.in_([row_id(person.accounts[one]) for one in ("main", "texter")])
        )
        mine = or_(Message.recipient.like(f"{person.name}%"), texts)
        asked = select(OneTimeToken, Message).join(Message, Message.id == OneTimeToken.message_id)
        found = (await session.execute(asked.where(mine).order_by(OneTimeToken.requested_at))).all()
        for token, message in found:
            if token.used_at is not None:
                continue
            purpose = token.purpose
            person.note(f"link of {purpose}", f"v1.{token.handle}.{one_time_tokens.secret_of(session, token)}")
            person.note(f"code of {purpose}", token_rules.show_code(one_time_tokens.code_of(session, token)))
            person.note("reference of a message", token.reference)
            person.places[f"link_of_{purpose}"] = {"path:handle": token.handle}
            if purpose == "address":
                person.accounts["new"] = user_ids.show(token.user_id)
            if purpose == "number":
                person.note("digits for a number", digits.digits_of(session, token))
            if purpose == "caller_check":
                at = "a desk tool" if message.recipient == person.email else "the console"
                person.note(f"digits for {at}", checks.digits_of(session, token))
                person.note("words of a caller check", checks.phrase_of(session, token))
            person.note("tag of a return address", rendering.tag(message.id.hex, session.keys.internal()))
    for purpose in token_rules.LIFETIMES:
        for what in ("link", "code"):
            person.values[f"{what}_of_{purpose}"] = person.secrets[f"{what} of {purpose}"]


async def _fill_clients(world: World, person: Person) -> None:
    """A service with a secret and a token, and one with a key of its own."""
    service = world.service
    client = world.clients[person.name] = await service.caller(name=f"service of {person.name}")
    person.note("client secret", client.client_secret)
    person.note("access token of a client", client.token)
    key = a_key()
    made = await a_client(service, source=f"{person.name}_key", jwks=key_set(key))
    person.note("client assertion", assertion(service, made.client_id, key))
    person.values |= {
        "key client": made.client_id,
        "client_id": client.client_id,
        "assertion_type": ASSERTION_TYPE,
    }
    person.note("one-time code of staff", now_code(service, world.clerks[person.name].seed))
    person.note("one-time code of a customer", shown(service, person.values["factor_seed"], 1))
    person.note("first code of an app", shown(service, person.values["pending_seed"]))
    person.values["totp"] = person.secrets["one-time code of staff"]
    person.values["enrolling_code"] = now_code(service, person.values["new_seed"])
    if person.name == "anna":
        person.note("webhook secret", HOOK)


async def _fill_applications(world: World, person: Person) -> None:
    """An application at which the customer has signed in, with everything that travels on the way."""
    service = world.service
    shop = world.shops[person.name] = await a_shop(service, f"Shop of {person.name}")
    browser = await _signed_in(service, person)
    first, second = a_request(shop), a_request(shop)
    issued = await shop.redeem(answer_of(await travel(browser, first.path))["code"], first.verifier)
    told = issued.json()
    person.note("access token of a customer", told["access_token"])
    person.note("refresh token", told["refresh_token"])
    person.note("ID token", told["id_token"])
    person.note("authorization code", answer_of(await travel(browser, second.path))["code"])
    person.values |= {"verifier": second.verifier, "shop": shop.client_id}
    pushed, _ = await push(shop)
    person.note("request_uri", pushed.json()["request_uri"])
    stranger = Browser(service.app, BASE)
    waiting = a_request(shop)
    opened = await stranger.http.get(waiting.path, follow_redirects=False)
    request_id = opened.headers["location"].rpartition("/")[2]
    cookie = stranger.http.cookies["__Host-authorize"]
    person.note("authorization request", request_id)
    person.note("browser of a request", cookie)
    person.places |= {
        "browser": {"cookie:__Host-authorize": cookie}, "request_id": {"path:request_id": request_id},
        "request": {f"field:{name}": value for name, value in a_request(shop).query.items()},
    }  # fmt: skip
    keys = service.database.keys
    person.note("sealed logout request", logout.seal_request(keys, logout.LogoutRequest(None, None, None, None)))


async def _signed_in(service: Service, person: Person) -> Browser:
    browser = Browser(service.app, BASE)
    browser.http.cookies.set("__Host-session", person.secrets["session of a customer"])
    return browser


async def _fill_signed(world: World, person: Person) -> None:
    """What we sign: a receipt and a logout token as they are, and one of each other type."""
    service, now = world.service, world.service.clock()
    keys, issuer = service.database.keys, service.database.settings.issuer
    main = person.accounts["main"]
    person.note("receipt", (await world.caller.get(f"/v1/accounts/{main}/consents/receipt")).text)
    delivery = LogoutDelivery(client_id=world.shops[person.name].client_id, user_id=row_id(main), sid=uuid.UUID(int=7))
    key = keys.id_token_key("ES256", now)
    person.note(
        "logout token", signing.sign(deliveries._claims(delivery, issuer, now), key, typ=signing.LOGOUT_TOKEN_TYPE)
    )
    claims = {"iss": issuer, "sub": tokens.show_sub(row_id(main)), "aud": issuer, "iat": int(now.timestamp())}
    for typ in crossing.OTHER_TYPES:
        person.note(f"signed as {typ}", signing.sign(claims, keys.signing(now), typ=typ))
    await service.seal()
    for name in ("events", "messages"):
        listed = await world.caller.get(f"/v1/{name}?limit=1")
        person.note(f"cursor of {name}", listed.json()["next"])
