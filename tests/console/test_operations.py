"""The operations page: relays and limits in words, whose limit it is for a lead alone, and how one is found."""

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from identity_service import app, translations
from identity_service.brands.rules import DEFAULT
from identity_service.console import limits
from identity_service.messages import descriptions
from identity_service.web import rate_limits
from tests.console.given import a_clerk, an_account
from tests.resets.given import a_browser

ANNA = "anna@example.org"
NOW = datetime(2026, 11, 25, 15, 30, tzinfo=UTC)
NETWORK = "203.0.113.9"


def in_source() -> set[str]:
    """The names of all limits: the first argument of `hit`, `hit_network` and `wait`; purposes are filled in."""
    found: set[str] = set()
    for path in Path(app.__file__).parent.rglob("*.py"):
        if path.name == "rate_limits.py":
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("hit", "hit_network", "wait"):
                name = ast.unparse(call.args[0]) if call.args else ""
                for purpose in ("reset", "signin"):
                    read = name.replace("{purpose}", purpose).removeprefix("f").strip("'")
                    found |= {read} if re.fullmatch("[a-z-]+", read) else set()
    return found


def test_every_limit_is_named_in_words():
    assert in_source() == {*limits.LIMITS, *limits.ALARMS}


@pytest.mark.parametrize(
    ("breaker", "until", "reply", "said"), [
        ("closed", None, "250 ok", ("good", "Healthy.")),
        ("open", 11, "421 busy", ("bad", "Not used until 15:41:00 UTC, because the last attempts failed: 421 busy")),
        ("open", 11, None, ("bad", "Not used until 15:41:00 UTC, because it didn't respond.")),
        ("open", -1, "421 busy", ("wait", "Trying again.")), ("half_open", -1, None, ("wait", "Trying again.")),
    ]
)  # fmt: skip
def test_the_health_of_a_relay_is_a_sentence(breaker, until, reply, said):
    opened_until = None if until is None else NOW + timedelta(minutes=until)
    assert descriptions.describe_relay(breaker, opened_until, reply, now=NOW) == said


async def ask_for_resets(service, times: int = 6) -> None:
    """Somebody at the pages asks for more resets than one address may cause."""
    browser = a_browser(service, NETWORK)
    for _ in range(times):
        await browser.open("/reset")
        await browser.send("/reset", email=ANNA)


async def test_a_limit_in_force_is_shown_once_and_one_that_still_counts_is_not(service):
    """Two full windows of one owner are one line; windows that have ended, or have room, are none."""
    windows = {"a/10/1/minute": 10, "a/100/1/hour": 100, "b/10/1/minute": 9, "c/10/1/minute": 10}
    async with service.database.transaction() as session:
        for key, count in windows.items():
            ends = "now() - interval '1 s'" if key.startswith("c") else "now() + interval '1 hour'"
            planted = f"INSERT INTO rate_limit_counter VALUES ('LIMITER/staff-name/' || :key, :count, {ends})"
            await session.execute(text(planted), {"key": key, "count": count})
        found = await rate_limits.list_in_force(session)
    assert [(one.name, one.who) for one in found] == [("staff-name", ("a",))]


@pytest.mark.parametrize("who", [("2001:db8::/64",), ("2001:db8::/64", "ada"), ("reset", "0a" * 32)])
async def test_whose_limit_it_is_is_read_from_its_key(service, who):
    """The prefix of a network is part of it."""
    limiter = rate_limits.RateLimiter(service.database)
    await limiter.hit("code", "1/hour", *who, "")
    async with service.database.transaction() as session:
        (found,) = await rate_limits.list_in_force(session, [who[-1]])
        assert await rate_limits.list_in_force(session, ["2001:db8:1::/64", "ad", "%"]) == []
    assert found.who == who


@pytest.mark.parametrize("typed", [ANNA, " ANNA@Example.org ", "the User ID"])
async def test_a_lead_finds_the_limit_of_an_address_and_lifts_it(service, caller, typed):
    """By the same keyed hash; the address stands in no key."""
    anna = await an_account(caller, ANNA)
    await ask_for_resets(service)
    lead = await a_clerk(service, "bob", "lead")
    await lead.do("/console/operations/limits", typed=anna if typed == "the User ID" else typed)
    assert "Password resets for one address an address (only its hash is stored)" in lead.text
    (key,) = re.findall(r'name="key" value="(LIMITER/reset-address/[^"]+)"', lead.page.text)
    assert "anna" not in key
    await lead.do("/console/operations/lift-limit", key=key)
    await lead.do("/console/operations/limits", typed=ANNA)
    assert "Password resets for one address" not in lead.text


@pytest.mark.parametrize("typed", ["ben@example.org", "198.51.100.77", "nobody", "%", "/", "a@", "0000-0000-0000"])
async def test_whatever_else_is_typed_finds_nothing(service, typed):
    await ask_for_resets(service)
    lead = await a_clerk(service, "bob", "lead")
    assert (await lead.do("/console/operations/limits", typed=typed)).status_code == 200
    assert 'name="key"' not in lead.page.text


async def test_a_clerk_sees_that_a_limit_is_in_force_and_not_whose(service):
    """Networks and names are for whoever may lift a limit."""
    limiter = rate_limits.RateLimiter(service.database)
    await limiter.hit("reset-network", "1/hour", NETWORK)
    for role, sees in (("clerk", False), ("auditor", False), ("lead", True)):
        who = await a_clerk(service, role, role)
        await who.open("/console/operations")
        assert "Password resets from one network" in who.text
        assert (NETWORK in who.page.text) is sees
        assert ("Yes, lift it" in who.page.text) is sees


async def test_erased_messages_are_no_domain(service, caller):
    """Their domain is empty."""
    await an_account(caller, ANNA)
    async with service.database.transaction() as session:
        await session.execute(text("UPDATE message SET recipient_domain = ''"))
    ada = await a_clerk(service)
    await ada.open("/console/operations")
    assert re.search(r"<tr><td></td>", ada.page.text) is None


async def test_what_changes_the_world_is_asked_twice(service, caller):
    """Without a script: the button stands in `details` that somebody has to open."""
    anna = await an_account(caller, ANNA)
    ada = await a_clerk(service)
    await ada.open_account(anna)
    folded = re.search(r"<details[^>]*><summary>End all sessions</summary>(.*?)</details>", ada.page.text, re.S)[1]
    assert f'action="/console/accounts/{anna}/sessions/end"' in folded
    assert ada.page.text.count("/sessions/end") == 1


async def test_times_are_in_the_zone_of_the_service(service, caller, monkeypatch):
    """IDENTITY_TIME_ZONE, as on the customer's pages."""
    anna = await an_account(caller, ANNA)
    ada = await a_clerk(service)
    known = service.database.settings.brands.by_key
    monkeypatch.setitem(known, DEFAULT, known[DEFAULT].model_copy(update={"time_zone": "Asia/Tokyo"}))
    number = await ada.open_account(anna)
    for path in ("/console", "/console/operations", f"/console/contacts/{number}",
                 f"/console/accounts/{anna}?contact={number}"):  # fmt: skip
        await ada.open(path)
        assert "UTC" not in ada.text, path
    assert translations.zone_name(NOW, "en", "Asia/Tokyo") in ada.text
