"""ATT-66: the crossing table (`crossing.txt`) is whole, and holds.

A secret works at its own place, for its own owner. Everywhere else it is refused, nothing is spent, counted or told,
and afterwards it still works where it should. The short form presents everything of one person, at their own places
and at those of another person that take secrets of the same kind; with `ABUSE_SECONDS` (`make abuse`) everything of
both is presented everywhere, and the rows of every table are compared after each try.
"""

import re
from collections.abc import Iterator

import pytest

from identity_service.clients import actions as clients
from identity_service.console import actions as staff
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.messages import rendering
from tests.abuse import budget, crossing
from tests.abuse.crossing import Line
from tests.abuse.crossing_tries import NONSENSE, Rows, Tries, own_line, told
from tests.abuse.crossing_world import Person, Secret, World, a_world
from tests.browser import PAGE
from tests.life.given import call, merge, row_id
from tests.resets.given import forget_limits

WHOLE = budget.SECONDS > 0
TAKEN_NOWHERE = {
    *(f"link of {purpose}" for purpose in ("signin", "signin_elsewhere", "caller_check", "recovery", "number")),
    "link of reset_text",
    "code of caller_check", "code of number", "support code",
    "words of a caller check", "reference of a message", "known browser", "form token", "logout token",
    "tag of a return address", *(f"signed as {typ}" for typ in crossing.OTHER_TYPES),
}  # fmt: skip
"""Read out, sent to others, or bound to one browser: no route lets anybody in by it."""


@pytest.fixture
async def world(service, caller) -> World:
    return await a_world(service, caller)


def test_every_place_that_takes_a_secret_has_its_line():
    """ATT-66: the routes of the application against the lines, in both directions."""
    listed = {line.place for line in crossing.LINES}
    derived = crossing.secret_inputs()
    assert derived - listed == set()
    by_name = {place for place in listed if place.rpartition(":")[2] in crossing.SECRET_FIELDS}
    of_protocols = {place for place in by_name if "/oauth/" in place or "/webhooks/" in place}
    assert by_name - of_protocols - derived == set()
    assert {place.rpartition(" ")[0] for place in listed} <= set(crossing.inputs_in_code())


def test_every_field_is_known_to_carry_a_secret_or_none():
    """ATT-66: whoever adds a field says which; of the protocols' fields, each that carries one has a place."""
    names = {where.partition(":")[2] for comes in crossing.inputs_in_code().values() for where in comes}
    protocols = crossing.protocol_fields()
    assert (names | protocols) - crossing.SECRET_FIELDS - crossing.PLAIN_FIELDS == set()
    assert protocols & crossing.SECRET_FIELDS <= {line.place.rpartition(":")[2] for line in crossing.LINES}


def test_every_header_is_known_to_carry_a_secret_or_none():
    """ATT-66: of those that carry one, each place where it is read has a line."""
    assert crossing.headers_in_code() == set(crossing.SECRET_HEADERS)
    assert set(crossing.SECRET_HEADERS.values()) <= {line.place for line in crossing.LINES}


def test_every_secret_that_the_code_makes_has_its_line():
    """ATT-66: columns, labels, cookies, signed types and settings, in both directions."""
    assert crossing.sources_in_code() - crossing.sources_in_table() == set()
    assert crossing.sources_in_table() - crossing.sources_in_code() == {"made by the client"}
    taken = {kind for line in crossing.LINES for kind in line.takes}
    assert crossing.kinds_in_table() == taken | TAKEN_NOWHERE


FAMILIES = ("link of", "code of", "signed as")
"""Kinds that differ in their purpose alone."""


def presented(world: World, line: Line, place: int, whose: Person) -> Iterator[Secret]:
    """The secrets that must be refused at a place; in the short form those of Anna, and of a family a part only where a
    place takes none of it, and a part only at the lists, whose cursors are all read by one function."""
    for number, secret in enumerate(world.secrets):
        takes = secret.kind in line.takes
        if takes and (line.of_anybody or secret.owner == whose.name):
            continue
        is_alike = takes or any(one.startswith(secret.kind[:7]) for one in line.takes)
        is_many = line.where == "query:after" or secret.kind.startswith(FAMILIES)
        if not WHOLE and (secret.owner != "anna" or (whose.name != "anna" and not takes)):
            continue
        if not WHOLE and is_many and not is_alike and (number + place) % 5:
            continue
        yield secret


async def test_every_secret_is_refused_at_every_place_but_its_own(world):
    """ATT-66: by the words of the table, with no more than it says, and with the secret as good as before."""
    tries, rows, wrong = Tries(world), Rows(world), []
    await tries.begin()
    await rows.look()
    for number, line in enumerate(crossing.LINES):
        for whose in world.people.values():
            secrets = list(presented(world, line, number, whose))
            wrong += [(line.place, whose.name, *one) for one in await cross(tries, rows, line, whose, secrets)]
    assert wrong == []
    assert {secret.kind for secret in world.secrets} == crossing.kinds_in_table()
    assert await unusable(world, tries) == []


async def cross(tries: Tries, rows: Rows, line: Line, whose: Person, secrets: list[Secret]) -> list[tuple[str, str]]:
    """Present secrets at a place of somebody; return what is wrong, by the secret's kind and owner."""
    found: list[tuple[str, str]] = []
    quiet = await tries.present(line, whose, NONSENSE) if secrets else None
    for count, secret in enumerate(secrets):
        if line.counted or count % 20 == 0:
            await rows.put_back(line)
            if WHOLE:
                await rows.look()
        why = await tries.why_wrong(line, whose, secret, quiet)
        changes = await rows.changes(line) if WHOLE else []
        found += [(f"{secret.kind} of {secret.owner}", one) for one in (why, *changes) if one]
    await rows.put_back(line)
    if WHOLE:
        await rows.look()
    elif secrets:
        found += [("all of them", change) for change in await rows.changes(line)]
    return found


LAST = (
    "code of signin", "code of signin_elsewhere", "one-time code of staff", "recovery code of staff", "sealed seed",
    "one-time code of a customer", "first code of an app", "reset", "address_undo",
)  # fmt: skip
"""What ends other secrets when it is used."""


async def unusable(world: World, tries: Tries) -> list[str]:
    """Use every secret where it belongs: Anna's links, and Ben's codes, because one uses up the other."""
    left = [secret for secret in world.secrets if secret.kind not in TAKEN_NOWHERE]
    unused = {("anna", "code of"), ("ben", "link of")}
    left = [secret for secret in left if (secret.owner, secret.kind[:7]) not in unused]
    # Used up by the reset of the same account; that it works is shown in tests/addresses/test_elsewhere.py.
    left = [secret for secret in left if not secret.kind.endswith("reset_elsewhere")]
    # It is used beside the one-time code, which is good once.
    left = [secret for secret in left if secret.kind != "password of staff"]
    order = {
        secret: next((place for place, end in enumerate(LAST, 1) if secret.kind.endswith(end)), 0) for secret in left
    }
    found = []
    for secret in sorted(left, key=order.__getitem__):
        failed = await tries.use(secret)
        found += [f"{secret.kind} of {secret.owner}: {failed}"] if failed else []
    return found


OF_A_CUSTOMER = (
    r"(link|code) of .*|session of a customer|password|digits for .*|authorization code|refresh token|"
    "access token of a customer|recovery code|recovery session|digits on screen"
)
OF_STAFF = "session of staff|one-time code of staff|recovery code of staff|enrolment link|sealed seed"
OF_A_CLIENT = (
    "client secret|client assertion|access token of .*|authorization code|refresh token|request_uri|"
    "authorization request|browser of a request"
)
ENDS = {
    "closed": OF_A_CUSTOMER, "erased": OF_A_CUSTOMER, "merged": OF_A_CUSTOMER, "clerk removed": OF_STAFF,
    "client closed": OF_A_CLIENT,
}  # fmt: skip
"""How an owner ends, and the secrets that end with them."""
WAYS_BACK = {"link of withdraw", "link of stop", "link of email_undo", "link of address_undo", "link of reopen"}
OUTLIVE = {"closed": WAYS_BACK, "merged": WAYS_BACK | {"link of address", "link of keep_factor"}, "erased": set()}
"""Ways back, which work as long as there is somebody to come back (RST-16): a thief may have closed or merged the
account, and may have said that its app is lost. The account of the link that reopens was closed before the others are
merged, and one without a mailbox cannot be merged."""


async def end_anna(world: World, how: str) -> None:
    """End all that Anna's secrets belong to."""
    service, (anna, ben) = world.service, world.people.values()
    now = service.clock()
    if how == "clerk removed":
        for name in (anna.values["staff"], f"new.{anna.values['staff']}"):
            await service.database.in_transaction(lambda s, one=name: staff.remove_staff(s, one, now=now))
    elif how == "client closed":
        for client_id in (anna.values[one] for one in ("client_id", "shop", "key client")):
            await service.database.in_transaction(lambda s, one=client_id: clients.close_client(s, one, now=now))
        await service.app.state.gate.reload()
    else:
        left = {"gone", "other", *{"closed": ("closed",), "merged": ("closed", "new")}.get(how, ())}
        for number, (what, user_id) in enumerate(anna.accounts.items()):
            if what not in left and how == "merged":
                # Two of them, because one mailbox gets no more than its share of messages.
                into = ("main", "desk")[number % 2]
                await merge(
                    service, world.caller, ben.accounts[into], user_id, ben.mailbox_of(into), anna.mailbox_of(what)
                )
            elif what not in left:
                ended = await call(world.caller, "POST", f"/v1/accounts/{user_id}/{how.removesuffix('d')}")
                assert ended.status_code == 200, ended.text
    await forget_limits(service)


@pytest.mark.parametrize("how", ENDS)
async def test_no_secret_outlives_its_owner(world, how):
    """ATT-66, ATT-19: at its own place, when the account was closed, erased or merged, the clerk removed, or the client
    closed: refused, and no row is changed by it; but for the ways back."""
    tries, rows, wrong = Tries(world), Rows(world), []
    await end_anna(world, how)
    await tries.begin()
    for secret in world.secrets:
        if secret.owner != "anna" or secret.kind in TAKEN_NOWHERE or not re.fullmatch(ENDS[how], secret.kind):
            continue
        line = own_line(secret.kind)
        await rows.put_back(line)
        await rows.look()
        answer = await tries.present(line, world.people["anna"], secret.value)
        worked = answer.status_code < 400 and not answer.headers.get("location", "").endswith(("/signin", "/recover"))
        changes = await rows.changes(line)
        if (
            secret.kind == "authorization code"
        ):  # its application's first try uses it up, whatever else is wrong (OID-11)
            changes = [one for one in changes if not one.startswith("oauth_grant")]
        if secret.kind in OUTLIVE.get(how, ()):
            assert worked, (secret.kind, told(answer))
        elif worked or changes:
            wrong.append((secret.kind, answer.status_code, told(answer), changes))
    assert wrong == []
    if ENDS[how] == OF_A_CUSTOMER:
        await pages_tell_nothing(world)


async def pages_tell_nothing(world: World) -> None:
    """Whoever keeps the address of a tracking page sees a message, and neither address nor User ID."""
    anna = world.people["anna"]
    pages = ("/reset/{reset}", "/reset/{reset}/code", "/signin/{signin}")
    handles = {page: anna.secrets[f"handle of {page}"] for page in ("reset", "signin")}
    for path in (page.format(**handles) for page in pages):
        answer = await world.service.http.get(path, headers=PAGE)
        assert answer.status_code in (200, 404, 410), (path, answer.text)
        assert [one for one in (anna.email, *anna.accounts.values()) if one in answer.text] == []


async def test_what_no_route_takes_alone_is_bound_to_its_own(world):
    """ATT-66: the code of a call to its contact and clerk, a browser's name to its account, the tag of a return address
    to its message, a cursor to what the client may read."""
    await check_call(world)
    check_known_browser(world)
    await check_tag(world)
    await check_cursor(world)


async def check_call(world: World) -> None:
    """The right code and check in another contact of the clerk, and by another clerk: refused, and no try is
    counted; where it belongs it matches."""
    anna = world.people["anna"]
    clerk, stranger = world.clerks["anna"], world.clerks["ben"]
    at, code, own = anna.places["/console/"], anna.secrets["digits for the console"], anna.values["contact"]
    path = f"/console/accounts/{at['path:user_id']}/check/{at['path:check_id']}"
    another = await clerk.open_account(anna.accounts["firm"])
    for who, contact in ((clerk, another), (stranger, own)):
        await who.do(path, contact=contact, code=code)
        assert who.page.status_code in (403, 404, 409), who.text
    assert await world.service.rows("SELECT sum(tries) FROM caller_check") == [(0,)]
    await clerk.do(path, contact=own, code=code)
    assert "Verified at" in clerk.text


def check_known_browser(world: World) -> None:
    """The cookie of a browser that signed in as Anna is no name at Ben's account, nor anything else of hers."""
    anna, ben = world.people.values()
    key = world.service.database.keys.internal()
    valid = {secret.value for secret in world.secrets if secret.kind == "known browser" and secret.owner == "ben"}
    for secret in world.secrets:
        name = KnownBrowser(key, secret.value).name_for(row_id(ben.accounts["main"]), None)
        assert (name is not None) == (secret.value in valid), secret.kind
    assert KnownBrowser(key, anna.secrets["known browser"]).name_for(row_id(anna.accounts["main"]), None)


async def check_tag(world: World) -> None:
    """Over SMTP, where strangers write to `b+<message>.<tag>@…`; the server asks this very question."""
    keys = world.service.database.keys.internal()
    ids = [row.id.hex for row in await world.service.rows("SELECT id FROM message ORDER BY created_at")]
    tags = {one: rendering.tag(one, keys) for one in ids}
    for secret in [*(one.value for one in world.secrets), *(tags[one] for one in ids[:-1])]:
        assert rendering.tag_is_ours(ids[-1], secret, keys) == (secret == tags[ids[-1]])
    assert rendering.tag_is_ours(ids[-1], tags[ids[-1]], keys)


async def check_cursor(world: World) -> None:
    """A cursor is a position, not a permission."""
    stranger = await world.service.caller("accounts:verify", name="stranger")
    for name in ("messages", "events"):
        cursor = world.people["anna"].secrets[f"cursor of {name}"]
        answer = await stranger.get(f"/v1/{name}", params={"after": cursor})
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope"), name
