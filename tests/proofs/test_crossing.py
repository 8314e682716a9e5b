"""ATT-66, the crossing table: every secret × every place that takes one × every owner it could belong to.

A secret works at its own place, for its own owner. Everywhere else it is refused, and nothing is spent, counted for
its owner or told: the rows of accounts, passwords, sessions, consents, tokens and tries are compared before and after.
"""

import re
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from identity_service.console import actions as staff
from identity_service.messages import rendering
from tests.browser import PAGE
from tests.console.given import a_clerk
from tests.contacts.given import a_tool
from tests.life.given import call, consent, link_to, merge, sign_in
from tests.proofs.test_secrets import a_confirmation, a_signin
from tests.resets.given import ANNA, GOOD, a_browser, a_password, a_reset, forget_limits

BEN, ZOE = "ben@example.org", "zoe@example.org"
KEPT = {
    "account": "user_id, kind, state, email, email_state, merged_into",
    "password": "user_id, phc",
    "sign_in_session": "id, user_id",
    "staff": "name, phc, enrol_hash",
    "staff_session": "staff_id, ended_at",
    "recovery_code": "staff_id, used_at",
    "consent_entry": "id, decision",
    "one_time_token": "id, used_at, opened_at, code_attempts",
    "caller_check": "*",
    "pending_change": "id, done_at, stopped_at",
    "client": "*",
    "revoked_token": "*",
}
"""What a secret could change: an opened link is recorded too, and so is a try of a code."""

Place = Callable[[str], Awaitable[httpx2.Response]]


class World:
    """Anna with a secret of every kind, Ben with open places of his own, and every place that takes a secret."""

    def __init__(self, service, caller) -> None:
        self.service, self.caller = service, caller
        self.secrets: dict[str, str] = {}
        self.own: dict[str, set[str]] = {}
        self.places: dict[str, Place] = {}

    def note(self, secret: str, value: str, *own: str) -> None:
        self.secrets[secret], self.own[secret] = value, set(own)

    async def rows(self) -> dict[str, list[str]]:
        found = {}
        for table, columns in KEPT.items():
            row = "t" if columns == "*" else f"ROW({columns})"
            rows = await self.service.rows(f"SELECT {row}::text AS r FROM {table} t ORDER BY 1")
            found[table] = [one.r for one in rows]
        return found

    async def fill(self) -> None:
        """Make every secret, by the pages and routes, and note the places where Anna's are taken."""
        service, caller = self.service, self.caller
        self.anna = await a_password(service, caller)
        self.ben = await a_password(service, caller, BEN)
        await forget_limits(service)
        anna = await sign_in(service, ANNA, GOOD)
        self.note("customer cookie", anna.http.cookies["__Host-session"], "session")
        self.note("form token", re.search(r'name="form_token" value="([^"]+)"', anna.page.text)[1])
        await consent(service, caller, self.anna, ANNA)
        await self.fill_services()
        await self.fill_links()
        await self.fill_desk()
        await forget_limits(service)

    async def fill_services(self) -> None:
        caller = self.caller
        self.note("client secret", caller.client_secret, "client secret")
        self.note("access token", caller.token, "bearer", "introspect", "revoke")
        self.note("receipt", (await caller.get(f"/v1/accounts/{self.anna}/consents/receipt")).text, "receipt")
        for name, path in (("messages", "/v1/messages?limit=1"), ("events", "/v1/events?limit=1")):
            await self.service.seal()
            self.note(f"cursor of {name}", (await caller.get(path)).json()["next"], f"cursor of {name}")

    async def fill_links(self) -> None:
        service, caller = self.service, self.caller
        reset = await a_reset(service)
        self.note("link of a reset", reset.link, "reset link", "reset opened")
        self.note("code of a reset", reset.code, "reset code")
        self.note("handle of a reset", reset.watch.split("/")[2])
        _, page, code = await a_signin(service)
        self.note("code to sign in", code, "signin code")
        self.note("handle of a sign-in", page.split("/")[2])
        self.signin_page, self.reset_page = page, reset.watch
        _, page, link, code, self.confirm_page = await a_confirmation(service, ZOE)
        self.note("link that confirms an address", link, "confirm link")
        self.note("code that confirms an address", code, "confirm code")
        self.note("handle of a registration", page.split("/")[2])
        asked = {"granted": True, "wording": "phone-2026-11", "channel": "app"}
        await call(caller, "PUT", f"/v1/accounts/{self.anna}/consents/phone", asked)
        self.consent_page, link = await link_to(service, ANNA, "Can we contact you?")
        self.note("link that agrees", link, "consent link")
        await caller.post(f"/v1/accounts/{self.anna}/email-changes", {"email": "anna.new@example.org"})
        _, link = await link_to(service, "anna.new@example.org", "Please confirm your new email address")
        self.note("link of a new address", link)
        row = (await service.rows("SELECT id FROM message ORDER BY created_at DESC LIMIT 1"))[0]
        self.note("tag of a return address", rendering.tag(row.id.hex, service.database.keys.internal()))

    async def fill_desk(self) -> None:
        service = self.service
        self.ada = await a_clerk(service)
        self.note("staff cookie", self.ada.http.cookies["__Host-staff"], "staff session")
        self.note("recovery code of staff", self.ada.codes[0])
        secret = await service.database.in_transaction(
            lambda s: staff.add_staff(s, "bob", "clerk", now=service.clock())
        )
        self.note("enrolment link", secret, "enrolment")
        self.tool = await a_tool(service)
        self.contact, self.other_contact = await self.tool.contact(self.anna), await self.tool.contact(self.ben)
        self.check = (await self.tool.check(self.anna, self.contact))["id"]
        await service.deliver()
        text = service.letter(ANNA, "Your code for your call with us")["text"]
        self.note("code of a caller check", re.search(r"\d{3} \d{3}", text)[0])

    async def send(self, path: str, fields: dict[str, str]) -> httpx2.Response:
        """Send a form from a stranger's browser, with a form token of that browser unless one is given."""
        browser = a_browser(self.service, "192.0.2.77")
        await browser.open("/signin")
        token = re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1]
        browser.http.follow_redirects = False
        return await browser.http.post(path, data={"form_token": token, **fields})

    def list_places(self) -> None:
        """Every place that takes a secret; a place of Ben's stands beside each of Anna's."""
        http, bearer = self.service.http, self.caller.headers
        me = {"headers": {**PAGE}}

        send = self.send

        async def get(path: str, **options):
            return await http.get(path, **options)

        self.places = {
            "reset link": lambda s: send("/reset/choose", {"link": s, "password": "nine rivers run uphill today"}),
            "reset opened": lambda s: send("/reset/opened", {"link": s}),
            "confirm link": lambda s: send(self.confirm_page, {"link": s, "code": ""}),
            "consent link": lambda s: send(self.consent_page, {"link": s, "code": ""}),
            "enrolment": lambda s: send("/console/enrol", {"link": s}),
            "staff sign-in": lambda s: send("/console/signin", {"name": "ada", "password": s, "code": s}),
            "password": lambda s: send("/signin", {"email": BEN, "password": s}),
            "session": lambda s: get("/me", headers={**PAGE, "Cookie": f"__Host-session={s}"}),
            "staff session": lambda s: get("/console", headers={**PAGE, "Cookie": f"__Host-staff={s}"}),
            "bearer": lambda s: get(f"/v1/accounts/{self.ben}", headers={"Authorization": f"Bearer {s}"}),
            "client secret": lambda s: http.post(
                "/oauth/token", data={"grant_type": "client_credentials"}, auth=(self.caller.client_id, s)
            ),
            "receipt": lambda s: send("/receipt", {"receipt": s}),
            "cursor of messages": lambda s: get("/v1/messages", params={"after": s}, headers=bearer),
            "cursor of events": lambda s: get("/v1/events", params={"after": s}, headers=bearer),
            "cursor of checkpoints": lambda s: get("/v1/audit/checkpoints", params={"after": s}),
            "cursor of approvals": lambda s: get("/v1/approvals", params={"after": s}, headers=bearer),
            "cursor of a history": lambda s: get(
                f"/v1/accounts/{self.ben}/history", params={"after": s}, headers=bearer
            ),
            "page of a reset": lambda s: get(f"/reset/{s}x", **me),
            "page of a sign-in": lambda s: get(f"/signin/{s}x", **me),
            "form token": lambda s: send("/signin/code", {"form_token": s, "email": BEN}),
        }

    def expected(self, secret: str, place: str) -> bool:
        return place in self.own[secret]


REFUSED = {400, 401, 403, 404, 405, 410, 414, 415, 422}


def is_refused(answer: httpx2.Response, place: str) -> bool:
    if place == "reset opened":
        return answer.status_code == 204  # the page reports that it was opened, and is told nothing
    if place in ("password", "staff sign-in") and answer.status_code == 429:
        return True  # each is a wrong password of somebody, and counts as one
    if place in ("session", "staff session", "password", "staff sign-in"):
        return answer.status_code in REFUSED or (
            answer.status_code == 303 and answer.headers["location"].endswith("/signin")
        )
    return answer.status_code in REFUSED


@pytest.fixture
async def world(service, caller) -> World:
    found = World(service, caller)
    await found.fill()
    found.list_places()
    return found


async def test_every_secret_at_every_other_place_is_refused_and_nothing_is_spent(world):
    """ATT-66: not by mistake, not as a prefix, not with another purpose."""
    before = await world.rows()
    wrong = []
    for secret, value in world.secrets.items():
        for place, use in world.places.items():
            if world.expected(secret, place):
                continue
            await forget_limits(world.service)  # a limit would refuse for another reason
            answer = await use(value)
            if not is_refused(answer, place):
                wrong.append((secret, place, answer.status_code, answer.headers.get("location")))
            elif len(value) > 8 and value in answer.text and place not in ("receipt", "staff sign-in", "password"):
                wrong.append((secret, place, "repeats it"))
    assert wrong == [], wrong
    assert await world.rows() == before


ENDS = ("closed", "erased", "merged")


async def end_anna(world: World, how: str) -> None:
    """End Anna's account in one of the ways; Ben is who she is merged into."""
    caller = world.caller
    if how == "merged":
        await merge(world.service, caller, world.ben, world.anna, BEN, ANNA)
    else:
        ended = await caller.post(f"/v1/accounts/{world.anna}/{'close' if how == 'closed' else 'erase'}")
        assert ended.status_code == 200, ended.text
    world.service.clock.advance(seconds=1)


@pytest.mark.parametrize("how", ENDS)
async def test_at_its_own_place_no_secret_outlives_its_owner(world, how):
    """ATT-66, ATT-19: links, codes, cookies and calls of an account that was closed, erased or merged since."""
    await end_anna(world, how)
    kept = ("account", "password", "sign_in_session", "consent_entry")
    before = {table: rows for table, rows in (await world.rows()).items() if table in kept}
    new = {"password": "nine rivers run uphill today"}
    uses = {
        "link of a reset": ("/reset/choose", {"link": world.secrets["link of a reset"], **new}),
        "code of a reset": (f"{world.reset_page}/code", {"code": world.secrets["code of a reset"], **new}),
        "code to sign in": (world.signin_page, {"code": world.secrets["code to sign in"]}),
        "link that agrees": (world.consent_page, {"link": world.secrets["link that agrees"], "code": ""}),
    }
    went = {name: (await world.send(*use)).status_code for name, use in uses.items()}
    assert {name: status for name, status in went.items() if status not in REFUSED} == {}
    cookie = {**PAGE, "Cookie": f"__Host-session={world.secrets['customer cookie']}"}
    assert is_refused(await world.service.http.get("/me", headers=cookie), "session")
    answered = await world.tool.answer(world.anna, world.check, world.secrets["code of a caller check"])
    assert answered.status_code in {*REFUSED, 409}, answered.text
    now = {table: rows for table, rows in (await world.rows()).items() if table in kept}
    assert now == before


async def test_a_secret_of_one_is_nothing_at_the_place_of_another(world):
    """ATT-66: another account, another client, another contact; the owner's own use still works afterwards."""
    service, tool, code = world.service, world.tool, world.secrets["code of a caller check"]
    other = await service.caller(name="another shop")
    before = await world.rows()
    theirs = await a_reset(service, BEN, source="192.0.2.50")
    _, page, _ = await a_signin(service, BEN)
    reset_code, new = world.secrets["code of a reset"], "nine rivers run uphill today"
    wrong = [
        (await world.send(f"{theirs.watch}/code", {"code": reset_code, "password": new})).status_code,
        (await world.send(page, {"code": world.secrets["code to sign in"]})).status_code,
        (await tool.answer(world.ben, world.check, code)).status_code,
        (await tool.of("eve").answer(world.anna, world.check, code)).status_code,
        (await service.http.post(
            "/oauth/token", data={"grant_type": "client_credentials"},
            auth=(other.client_id, world.caller.client_secret),
        )).status_code,
    ]  # fmt: skip
    assert [status for status in wrong if status not in REFUSED] == []
    revoked = await service.http.post(
        "/oauth/revoke", data={"token": world.caller.token}, auth=(other.client_id, other.client_secret)
    )
    assert revoked.status_code == 200, "RFC 7009: the same as for a token that never was"
    told = await service.http.post(
        "/oauth/introspect", data={"token": world.caller.token}, auth=(other.client_id, other.client_secret)
    )
    assert told.json().get("active") is False
    assert (await world.caller.get(f"/v1/accounts/{world.anna}")).status_code == 200
    now = await world.rows()
    for table in ("account", "password", "sign_in_session", "consent_entry", "pending_change", "revoked_token"):
        assert now[table] == before[table], table
    spent = "SELECT count(*) FROM one_time_token WHERE user_id = :u AND code_attempts > 0"
    assert await service.rows(spent, u=world.anna.replace("-", "")) == [(0,)]
    assert (await tool.answer(world.anna, world.check, code)).json()["result"] == "match"


HANDLES = {"handle of a reset": "/reset/{}", "handle of a sign-in": "/signin/{}"}


@pytest.mark.parametrize("how", ENDS)
async def test_the_page_of_a_handle_tells_nothing_of_an_owner_who_is_gone(world, how):
    """ATT-66: whoever keeps the address of a tracking page sees a message, and neither address nor User ID."""
    await end_anna(world, how)
    for secret, path in HANDLES.items():
        for place in (path, f"{path}/code"):
            answer = await world.service.http.get(place.format(world.secrets[secret]), headers=PAGE)
            assert answer.status_code in (200, 404, 410), (place, answer.text)
            assert ANNA not in answer.text
            assert world.anna not in answer.text


async def test_the_cookie_of_removed_staff_opens_nothing(world):
    """ATT-66: at once, at every page of the console, and for forms, too."""
    service = world.service
    await service.database.in_transaction(lambda s: staff.remove_staff(s, "ada", now=service.clock()))
    cookie = {**PAGE, "Cookie": f"__Host-staff={world.secrets['staff cookie']}"}
    for path in ("/console", "/console/approvals", "/console/operations", f"/console/contacts/{world.contact}"):
        assert is_refused(await service.http.get(path, headers=cookie), "staff session"), path
    before = await world.rows()
    assert is_refused(await world.places["staff sign-in"](world.secrets["recovery code of staff"]), "staff sign-in")
    assert await world.rows() == before


async def test_a_cursor_gives_another_client_nothing_that_its_scopes_do_not(world):
    """ATT-66: a cursor is a position, not a permission."""
    service = world.service
    stranger = await service.caller("accounts:verify", name="stranger")
    for name, path in (("messages", "/v1/messages"), ("events", "/v1/events")):
        answer = await stranger.get(f"{path}?after={world.secrets[f'cursor of {name}']}")
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope"), name


async def test_the_tag_of_one_message_is_nothing_in_the_address_of_another(world):
    """ATT-66: over SMTP, where strangers write to `b+<message>.<tag>@…`; the server asks this very question."""
    keys = world.service.database.keys
    ids = [row.id.hex for row in await world.service.rows("SELECT id FROM message ORDER BY created_at")]
    tags = {one: rendering.tag(one, keys.internal()) for one in ids}
    assert len(set(tags.values())) == len(ids) > 2
    for one in ids[:-1]:
        assert not rendering.tag_is_ours(one, tags[ids[-1]], keys.internal())
    assert rendering.tag_is_ours(ids[-1], tags[ids[-1]], keys.internal())
