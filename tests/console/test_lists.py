"""What a desk reads of a customer on the account page and the pages behind it: every message, every order, in words."""

import re
from datetime import timedelta

import pytest

from identity_service import translations
from identity_service.messages import actions as messages
from identity_service.messages import descriptions, kinds
from identity_service.messages.rules import MessageState
from identity_service.values import email_addresses, user_ids
from tests.console.given import a_clerk, an_account

ANNA = "anna@example.org"
MESSAGES, HISTORY = "All messages", "All 61 entries"


@pytest.fixture
async def anna(caller) -> str:
    return await an_account(caller, ANNA, locale="de-AT")


@pytest.fixture
async def ada(service):
    return await a_clerk(service)


async def many_codes(service, caller, user_id: str, n: int) -> None:
    """A reset, and later so many codes for calls, each a minute after the other."""
    service.clock.advance(minutes=1)
    assert (await caller.post("/v1/resets", {"email": ANNA})).status_code == 202
    async with service.database.transaction() as session:
        for _ in range(n):
            service.clock.advance(minutes=1)
            await messages.enqueue(
                session, "caller_check", to=email_addresses.parse(ANNA), user_id=user_id.replace("-", ""), locale="de",
                cause="caller.check_requested", actor="staff:ada", now=service.clock(),
            )  # fmt: skip


async def report(service, caller, user_id: str, n: int) -> None:
    """So many orders, one a day until today, and a refund, which is the newest."""
    entries = [
        {"reference": f"A-{i}", "kind": "order", "occurred_at": (service.clock() - timedelta(days=i)).isoformat(),
         "amount": "12.50", "currency": "EUR"} for i in range(1, n + 1)
    ]  # fmt: skip
    entries.append({
        "reference": "R-1", "kind": "refund", "occurred_at": service.clock().isoformat(), "amount": "2.50",
        "currency": "EUR", "link": "https://shop.example/refunds/R-1",
    })  # fmt: skip
    answer = await caller.post(f"/v1/accounts/{user_id}/history", {"entries": entries})
    assert answer.status_code == 201, answer.text


async def follow(clerk, name: str) -> str:
    """Follow the link with this text, and return the HTML of the page."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>{name}</a>', clerk.page.text)
    await clerk.open(found[1].replace("&amp;", "&"))
    assert clerk.page.status_code == 200, clerk.text
    return clerk.page.text


def kinds_shown(html: str) -> list[str]:
    return re.findall(r"<summary>([^·<]+) ·", html)


def test_every_kind_and_state_of_a_message_has_a_name():
    assert set(descriptions.KIND_NAMES) == set(kinds.KINDS)
    assert set(descriptions.STATE_NAMES) == set(MessageState)


async def test_codes_do_not_push_the_reset_out_of_sight(service, caller, ada, anna):
    await many_codes(service, caller, anna, 12)
    await ada.open_account(anna)
    shown = kinds_shown(ada.page.text)
    assert shown == ["Code for a call"] * 4 + ["Password reset"]
    assert "caller_check" not in ada.text
    assert "waiting to be sent" in ada.text


async def test_every_message_is_reached_page_by_page(service, caller, ada, anna):
    await many_codes(service, caller, anna, 12)
    await ada.open_account(anna)
    first = kinds_shown(await follow(ada, MESSAGES))
    second = kinds_shown(await follow(ada, "Older emails"))
    assert (len(first), set(first)) == (10, {"Code for a call"})
    assert second == ["Code for a call", "Code for a call", "Password reset", "Welcome, with the User ID"]
    assert "Older emails" not in ada.text
    assert ANNA not in ada.page.text


@pytest.mark.parametrize(
    ("wanted", "shown"), [
        ({"kind": "reset", "state": ""}, ["Password reset"]), ({"kind": "", "state": "accepted"}, []),
        ({"kind": "welcome", "state": "queued"}, ["Welcome, with the User ID"]),
        ({"kind": "no such", "state": "no such"}, []),
    ]
)  # fmt: skip
async def test_messages_are_filtered_by_kind_and_state(service, caller, ada, anna, wanted, shown):
    await many_codes(service, caller, anna, 1)
    number = await ada.open_account(anna)
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    await ada.open(f"/console/accounts/{anna}/messages?contact={number}&{query}")
    assert kinds_shown(ada.page.text) == shown


async def test_the_orders_themselves_are_shown_and_their_links(service, caller, ada, anna):
    """Newest first; a refund is money that went back."""
    await report(service, caller, anna, 60)
    await ada.open_account(anna)
    assert re.search(r"refund R-1 .{0,40}-€2\.50", ada.text)
    assert 'href="https://shop.example/refunds/R-1"' in ada.page.text
    assert "A-3" in ada.text
    assert "A-4" not in ada.text
    html = await follow(ada, HISTORY)
    assert len(re.findall(r"<tr><td>", html)) == 50
    html = await follow(ada, "Older entries")
    assert len(re.findall(r"<tr><td>", html)) == 11
    assert "A-60" in ada.text


@pytest.mark.parametrize("page", ["messages", "history"])
async def test_the_lists_open_for_whoever_opened_the_account_in_this_contact(service, caller, ada, anna, page):
    """PHN-13, PHN-14, ATT-50: a reason of one's own, as on the account page; another customer's contact opens nothing,
    nor does one that is closed."""
    number = await ada.open_account(anna)
    path = f"/console/accounts/{anna}/{page}"
    bob = await a_clerk(service, "bob")
    assert (await bob.open(f"{path}?contact={number}")).status_code == 404
    ben = await an_account(caller, "ben@example.org")
    other = await ada.open_account(ben)
    assert (await ada.open(f"{path}?contact={other}")).status_code == 404
    assert (await ada.open(f"{path}?contact={number}")).status_code == 200
    await ada.do(f"/console/contacts/{number}/close", note="")
    assert (await ada.open(f"{path}?contact={number}")).status_code == 404


@pytest.mark.parametrize("page", ["messages", "history"])
async def test_a_cursor_of_another_list_is_refused(service, caller, ada, anna, page):
    await report(service, caller, anna, 60)
    await many_codes(service, caller, anna, 12)
    number = await ada.open_account(anna)
    other = "history" if page == "messages" else "messages"
    await ada.open(f"/console/accounts/{anna}/{other}?contact={number}")
    cursor = re.search(r"after=([^\"&]+)", ada.page.text)[1]
    answer = await ada.open(f"/console/accounts/{anna}/{page}?contact={number}&after={cursor}")
    assert answer.status_code == 400


async def test_the_id_is_spelled_in_the_callers_language(ada, anna, caller):
    """Large on the account page and on the contact's; the clerk's browser asks for English."""
    number, german = await ada.open_account(anna), translations.catalogue("de").gettext
    for path in (f"/console/accounts/{anna}?contact={number}", f"/console/contacts/{number}"):
        await ada.open(path)
        spelled = re.search(r'<dl class="spoken" lang="de-AT">(.*?)</dl>', ada.page.text)[1]
        said = re.findall(r"<span>(.*?)</span>", spelled)
        words = [re.sub(r"<[^>]+>", "", one).removesuffix(" ·") for one in said]
        assert words == [word for group in user_ids.spell_groups(anna.replace("-", ""), german) for word in group]
        assert words != user_ids.spell(anna.replace("-", ""))
    ben = await an_account(caller, "ben@example.org", locale="en")
    await ada.open_account(ben)
    assert '<dl class="spoken" lang="en">' in ada.page.text


@pytest.mark.parametrize("kind", ["business", "consumer"])
async def test_the_reason_for_the_desk_is_a_sentence(ada, caller, kind):
    """And the promise tells the clerk of the customer, whom it does not call "you"."""
    user_id = await an_account(caller, "zoe@gmail.com")
    if kind == "business":
        await caller.put(f"/v1/accounts/{user_id}/business", {"company_name": "Berg GmbH", "country": "DE"})
    await ada.open_account(user_id)
    account = "business" if kind == "business" else "private"
    assert f"because this customer has a {account} account" in ada.text
    assert "This customer gets no marketing from us" in ada.text


async def test_a_reason_is_not_asked_for_twice(ada, anna):
    """Whoever has opened the account in a contact goes back to it by a link; a colleague says why, too."""
    number = await ada.open_account(anna)
    await ada.open(f"/console/contacts/{number}")
    assert f'href="/console/accounts/{anna}?contact={number}"' in ada.page.text
    assert "Reason, which the customer can read" not in ada.text


async def test_an_order_is_found_by_its_reference(service, caller, ada, anna):
    await report(service, caller, anna, 2)
    await ada.do("/console/find", typed="A-2")
    assert f"{anna} found by order at" in ada.text
    await ada.do("/console/find", typed="A-20")
    assert anna not in ada.text


async def test_what_a_closed_account_asked_for_is_listed_with_it(service, caller, ada, anna):
    """The reset that its owner cannot find is there, on the account page and in the list, and can be sent again."""
    assert (await caller.post(f"/v1/accounts/{anna}/close")).status_code == 200
    assert (await caller.post("/v1/resets", {"email": ANNA})).status_code == 202
    assert (await caller.post("/v1/resets", {"email": "ben@example.org"})).status_code == 202
    number = await ada.open_account(anna)
    asked = "Password reset for an address without an open account"
    assert kinds_shown(ada.page.text).count(asked) == 1
    again = re.search(r'action="(/console/accounts/[^"]+/retry)"', ada.page.text)[1]
    assert kinds_shown(await follow(ada, MESSAGES)).count(asked) == 1
    assert (await ada.do(again, contact=number, relay="")).status_code == 200
    ((of_ben,),) = await service.rows("SELECT id FROM message WHERE recipient = 'ben@example.org'")
    refused = await ada.do(f"/console/accounts/{anna}/messages/{of_ben}/retry", contact=number, relay="")
    assert refused.status_code == 403
