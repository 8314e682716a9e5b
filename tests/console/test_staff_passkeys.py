"""Passkeys of staff: add, sign in, remove; leads who need one; an enrolment that a lead renews."""

import asyncio
import re

import pytest

from identity_service.console import actions as staff
from identity_service.console import passkeys
from identity_service.console import rules as console
from tests.conftest import BASE
from tests.console.given import PASSWORD, Clerk, a_clerk, enrol, now_code, sign_in
from tests.passkeys.given import UP, UV, Authenticator, Key, answer, begin, use, without_address
from tests.resets.given import forget_limits

ME, SIGN_IN = "/console/passkeys", "/console/passkeys/sign-in"
VERIFIED = UP | UV
REFUSED = "sign you in with this passkey."


async def add(clerk: Clerk, device: Authenticator | None = None, name: str = "", **changed):
    """Add a passkey at the page of one's own; the device, and the answer."""
    device = device or Authenticator(flags=VERIFIED)
    begun = await begin(clerk, ME, ME)
    done = await answer(clerk, ME, begun, device.create(begun.options, **changed), name=name)
    return device, done


async def with_passkey(service, name: str = "ada", role: str = "clerk", **given) -> tuple[Clerk, Authenticator]:
    """Somebody of the staff, signed in with the passkey that they have just added."""
    clerk = await a_clerk(service, name, role)
    device, done = await add(clerk, Authenticator(flags=VERIFIED, **given))
    assert (done.status_code, done.headers.get("location")) == (303, f"{ME}?saved=added#saved"), done.text
    await clerk.open("/console")
    clerk.token = token_of(clerk)
    return clerk, device


def token_of(clerk: Clerk) -> str:
    return re.search(r'name="form_token" value="([^"]+)"', clerk.page.text)[1]


async def try_passkey(service, device: Authenticator, *, source: str = "198.51.100.21", page: str = "/console/signin",
                      **changed) -> tuple[Clerk, int]:  # fmt: skip
    """Sign in with a passkey in a browser of its own; that browser, and the status."""
    clerk = Clerk(service.app, BASE, source=source)
    begun = await begin(clerk, SIGN_IN, page)
    done = await answer(clerk, SIGN_IN, begun, device.get(begun.options, **changed))
    return clerk, done.status_code


async def fits(service, device: Authenticator, **changed) -> bool:
    clerk, status = await try_passkey(service, device, **changed)
    assert status in (303, 422)
    assert ((await clerk.open("/console")).url.path == "/console") == (status == 303)
    return status == 303


async def told(service, like: str = "staff.%") -> list[tuple]:
    rows = await service.rows("SELECT name, actor, data FROM event WHERE name LIKE :like ORDER BY id", like=like)
    return [(row.name, row.actor, row.data) for row in rows]


async def count(service) -> int:
    return (await service.rows("SELECT count(*) AS n FROM staff_passkey"))[0].n


@pytest.fixture
def needed(service):
    """IDENTITY_LEADS_NEED_PASSKEY"""
    settings = service.database.settings.model_copy(update={"leads_need_passkey": True})
    service.database.settings = settings
    return service


async def renew(service, lead: Clerk, name: str):
    return await lead.do(f"/console/staff/{name}/renew")


async def test_a_verified_passkey_alone_signs_in(service):
    """PKY-03, SFA-11: two factors in one; the older session ends, and the event says how they came in."""
    ada, device = await with_passkey(service)
    options = (await begin(Clerk(service.app, BASE), SIGN_IN, "/console/signin")).options
    assert (options["userVerification"], options["allowCredentials"]) == ("required", [])
    assert await fits(service, device)
    assert (await ada.open("/console")).url.path == "/console/signin"
    assert [data["by"] for _, _, data in await told(service, "staff.signed_in")] == ["code", "passkey", "passkey"]


async def test_a_passkey_that_asks_for_nothing_is_refused(service):
    """PKY-03: of staff each use is verified: neither added without, nor later used without."""
    ada = await a_clerk(service)
    begun = await begin(ada, ME, ME)
    selection = begun.options["authenticatorSelection"]
    assert (selection["userVerification"], selection["residentKey"]) == ("required", "required")
    _, done = await add(ada, Authenticator(flags=UP))
    assert (done.status_code, await count(service)) == (422, 0)
    device, done = await add(ada)
    assert done.status_code == 303
    assert not await fits(service, device, flags=UP)
    assert await fits(service, device)
    failed = await told(service, "staff.sign_in_failed")
    assert failed == [("staff.sign_in_failed", "staff", {"staff": None})]


async def test_every_wrong_response_is_refused_alike(service):
    """PKY-01, 02, 04, 06: unknown, another's handle, wrong key, site, challenge; a customer's passkey at the console,
    and one of staff at the customers' page."""
    (_, hers), (_, his) = await with_passkey(service), await with_passkey(service, "bob")
    _, _, customer = await without_address(service)
    stranger = Authenticator(flags=VERIFIED)
    stranger.handle = hers.handle
    wrong = [
        (stranger, {}), (customer, {}), (hers, {"handle": his.handle}), (hers, {"signer": Key()}),
        (hers, {"credential_id": his.credential_id}), (hers, {"rp_id": "example.com"}),
        (hers, {"said": {"origin": "https://evil.example"}}), (hers, {"said": {"challenge": "A" * 43}}),
    ]  # fmt: skip
    pages = set()
    for device, changed in wrong:
        await forget_limits(service)
        clerk = Clerk(service.app, BASE, source="198.51.100.21")
        begun = await begin(clerk, SIGN_IN, "/console/signin")
        done = await answer(clerk, SIGN_IN, begun, device.get(begun.options, **changed))
        assert (done.status_code, REFUSED in done.text) == (422, True), changed
        pages.add(re.sub(r'[\w-]{22}"|[0-9a-f]{32}', "", done.text))
        # Used up: the good response after it is too late.
        assert (await answer(clerk, SIGN_IN, begun, hers.get(begun.options))).status_code == 422
    assert len(pages) == 1
    browser = Clerk(service.app, BASE)
    assert (await use(browser, hers)).status_code == 422
    assert await fits(service, hers)


async def test_a_challenge_is_of_its_person_browser_and_purpose(service):
    """PKY-01: what Ada was asked, Bob does not answer, in her browser or his; nor by signing in."""
    ada, bob = await a_clerk(service), await a_clerk(service, "bob")
    begun, device = await begin(ada, ME, ME), Authenticator(flags=VERIFIED)
    await bob.open(ME)
    stolen = await answer(bob, ME, begun._replace(token=token_of(bob)), device.create(begun.options))
    assert (stolen.status_code, await count(service)) == (422, 0)
    begun = await begin(ada, ME, ME)
    crossed = await answer(ada, SIGN_IN, begun, device.create(begun.options))
    assert (crossed.status_code, await count(service)) == (422, 0)
    device, done = await add(ada)
    assert done.status_code == 303
    asked = await begin(Clerk(service.app, BASE), SIGN_IN, "/console/signin")
    other = Clerk(service.app, BASE)
    await other.open("/console/signin")
    swapped = await answer(other, SIGN_IN, asked._replace(token=token_of(other)), device.get(asked.options))
    assert swapped.status_code == 422


async def test_of_fifty_at_once_one_wins(service):
    """PKY-01: one statement takes the challenge."""
    _, device = await with_passkey(service)
    clerk = Clerk(service.app, BASE, source="198.51.100.21")
    begun = await begin(clerk, SIGN_IN, "/console/signin")
    response = device.get(begun.options)
    done = await asyncio.gather(*(answer(clerk, SIGN_IN, begun, response) for _ in range(50)))
    codes = [one.status_code for one in done]
    assert (codes.count(303), set(codes) - {303, 422, 429, 503}) == (1, set())


async def test_challenges_end_and_are_forgotten(service):
    """PKY-01"""
    _, device = await with_passkey(service)
    clerk = Clerk(service.app, BASE)
    begun = await begin(clerk, SIGN_IN, "/console/signin")
    service.clock.advance(seconds=300)
    assert (await answer(clerk, SIGN_IN, begun, device.get(begun.options))).status_code == 422
    assert await service.rows("SELECT 1 FROM staff_passkey_challenge") != []
    await service.rows("UPDATE staff_passkey_challenge SET expires_at = now() - interval '1 second' RETURNING 1")
    await service.forget()
    assert await service.rows("SELECT 1 FROM staff_passkey_challenge") == []


async def test_several_are_named_and_removed(service):
    """PKY-07, 09: each with its dates; what is removed signs nobody in; nobody removes a colleague's."""
    ada, first = await with_passkey(service)
    second, done = await add(ada, name="The key in the drawer")
    assert done.status_code == 303
    page = (await ada.open(ME)).text
    assert "The key in the drawer" in page
    assert page.count("Added:") == 2
    assert await fits(service, second)
    ada, _ = await try_passkey(service, first)
    page = (await ada.open(ME)).text
    assert page.count("Last used:") == 2
    bob, _ = await with_passkey(service, "bob")
    rows = await service.rows("SELECT id FROM staff_passkey WHERE label LIKE 'The key%'")
    assert (await bob.do(f"{ME}/{rows[0].id}/remove")).status_code == 404
    ada.token = token_of(ada)
    await ada.do(f"{ME}/{rows[0].id}/remove")
    assert "The passkey is removed." in ada.text
    assert not await fits(service, second)
    assert await fits(service, first)
    changes = [(name, actor, data["staff"]) for name, actor, data in await told(service, "staff.passkey%")]
    assert changes.count(("staff.passkey_removed", "staff:ada", "ada")) == 1
    assert len(changes) == 4


@pytest.mark.parametrize("path", [ME, f"{ME}/options", f"{ME}/6f0f8dbf-6d61-4b0e-8b8a-9a5c6d1f3f6e/remove"])
async def test_it_takes_a_sign_in_of_the_last_ten_minutes(service, path):
    """PKY-07: an older session is led to sign in, and back."""
    ada = await a_clerk(service)
    service.clock.advance(minutes=10, seconds=1)
    assert (await ada.do(path)).status_code == 401
    page = await ada.open(ME)
    assert (page.url.path, page.url.query) == ("/console/signin", b"next=/console/passkeys")
    done = await ada.send("/console/signin?next=/console/passkeys", name="ada", password=PASSWORD,
                          code=now_code(service, ada.seed))  # fmt: skip
    assert (done.status_code, done.url.path) == (200, ME)


async def test_a_sign_in_leads_to_pages_of_ours_alone(service):
    ada = await enrol(service, "ada")
    await ada.open("/console/signin?next=https://evil.example")
    done = await ada.send("/console/signin?next=//evil.example", name="ada", password=PASSWORD,
                          code=now_code(service, ada.seed))  # fmt: skip
    assert str(done.url) == f"{BASE}/console"


async def test_there_are_ten_at_most(service):
    """PKY-07: of several at once at nine one is stored."""
    ada, _ = await with_passkey(service)
    for _ in range(8):
        await forget_limits(service)
        assert (await add(ada))[1].status_code == 303
    begun = [await begin(ada, ME, ME), await begin(ada, ME), await begin(ada, ME)]
    made = [Authenticator(flags=VERIFIED).create(one.options) for one in begun]
    done = await asyncio.gather(*(answer(ada, ME, *one) for one in zip(begun, made, strict=True)))
    assert [one.status_code for one in done].count(303) == 1
    assert await count(service) == 10
    assert len(await service.rows("SELECT DISTINCT user_handle FROM staff_passkey")) == 1


async def test_a_counter_that_went_back_is_recorded_and_shown(service):
    """PKY-10: with its date; it locks nobody out."""
    ada, device = await with_passkey(service, counter=5)
    assert "may be a copy" not in (await ada.open(ME)).text
    ada, status = await try_passkey(service, device, counter=3)
    assert status == 303
    assert "may be a copy" in (await ada.open(ME)).text
    assert [actor for _, actor, _ in await told(service, "staff.passkey_counter%")] == ["staff:ada"]
    ada, _ = await try_passkey(service, device, counter=9)
    assert "may be a copy" in (await ada.open(ME)).text


@pytest.mark.parametrize("how", ["removed", "renewed"])
async def test_what_ends_the_person_ends_the_passkeys(service, how):
    """PKY-13, ATT-64: at once; an open ceremony adds nothing any more."""
    lead = await a_clerk(service, "bob", "lead")
    ada, device = await with_passkey(service)
    begun = await begin(ada, ME, ME)
    if how == "removed":
        await service.database.in_transaction(lambda s: staff.remove_staff(s, "ada", now=service.clock()))
    else:
        assert (await renew(service, lead, "ada")).status_code == 200
    assert await count(service) == 0
    assert not await fits(service, device)
    late = await answer(ada, ME, begun, Authenticator(flags=VERIFIED).create(begun.options))
    assert late.status_code in (401, 403)
    assert (await ada.open("/console")).url.path == "/console/signin"
    assert await count(service) == 0


async def test_a_ceremony_that_a_renewal_overtakes_adds_nothing(service):
    """SFA-11: also where the request was let in before."""
    lead, ada = await a_clerk(service, "bob", "lead"), await a_clerk(service)
    begun, device = await begin(ada, ME, ME), Authenticator(flags=VERIFIED)
    cookie = ada.http.cookies["__Host-staff"]
    who = await service.database.in_transaction(lambda s: staff.find_staff_session(s, cookie, now=service.clock()))
    await renew(service, lead, "ada")
    with pytest.raises(console.StaffPasskeyNotAdded):
        await passkeys.add_passkey(
            service.database, who, begun.ceremony, _json(device.create(begun.options)), "", browser=cookie,
            now=service.clock(),
        )  # fmt: skip
    assert await count(service) == 0


def _json(response) -> str:
    import json

    return json.dumps(response)


async def test_a_lead_renews_an_enrolment_with_a_link_good_once(service):
    """SFA-11: no mail; nothing of before opens anything; the colleague enrols again and is the same person."""
    lead, ada = await a_clerk(service, "bob", "lead"), await a_clerk(service)
    old = {"name": "ada", "password": PASSWORD, "code": ada.codes[0]}
    page = await renew(service, lead, "ada")
    link = re.search(rf"{BASE}/console/enrol#([\w-]{{43}})", page.text)[1]
    assert link not in (await lead.open("/console/staff")).text
    assert (await ada.open("/console")).url.path == "/console/signin"
    assert (await ada.send("/console/signin", **old)).status_code == 422
    again = Clerk(service.app, BASE, source="198.51.100.20")
    again.name = "ada"
    await again.open("/console/enrol")
    await again.send("/console/enrol", link=link)
    again.seed = re.search(r"\b(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}\b", again.text)[0].replace(" ", "")
    seed = re.search(r'name="seed" value="([^"]+)"', again.page.text)[1]
    given = {"link": link, "seed": seed, "password": PASSWORD, "code": now_code(service, again.seed)}
    assert (await again.send("/console/enrolled", **given)).status_code == 200
    await again.open("/console/enrol")
    assert (await again.send("/console/enrol", link=link)).status_code == 410
    service.clock.advance(seconds=40)
    assert (await sign_in(service, again)).url.path == "/console"
    assert await told(service, "staff.enrolment_renewed") == [
        ("staff.enrolment_renewed", "staff:bob", {"staff": "ada"})
    ]
    assert len(await service.rows("SELECT 1 FROM staff WHERE name = 'ada'")) == 1
    assert await service.rows("SELECT 1 FROM message") == []


@pytest.mark.parametrize(("name", "role", "status"), [("bob", "", 403), ("jo", "auditor", 403), ("nobody", "", 404)])
async def test_whose_enrolment_a_lead_does_not_renew(service, name, role, status):
    """SFA-11: not their own, nor that of an auditor, who looks at what leads do."""
    lead = await a_clerk(service, "bob", "lead")
    if role:
        await enrol(service, name, role)
    page = await lead.open("/console/staff")
    assert f"/console/staff/{name}/renew" not in page.text
    assert (await renew(service, lead, name)).status_code == status
    assert await told(service, "staff.enrolment_renewed") == []


@pytest.mark.parametrize("role", ["clerk", "auditor"])
async def test_only_leads_renew_and_only_freshly(service, role):
    """SFA-11, PHN-11"""
    await enrol(service, "eve")
    who, lead = await a_clerk(service, "ada", role), await a_clerk(service, "bob", "lead")
    assert (await who.open("/console/staff")).status_code == 403
    assert (await renew(service, who, "eve")).status_code == 403
    service.clock.advance(minutes=11)
    assert (await renew(service, lead, "eve")).status_code == 401
    assert await told(service, "staff.enrolment_renewed") == []


async def test_a_lead_who_needs_a_passkey_can_only_add_one(needed):
    """PKY-15: password and code open the page of passkeys and the way out, nothing else."""
    service = needed
    lead = await enrol(service, "bob", "lead")
    await sign_in(service, lead)
    assert lead.page.url.path == ME
    assert "Add yours now" in lead.page.text
    lead.token = token_of(lead)
    for path in ("/console", "/console/operations", "/console/approvals", "/console/staff"):
        assert (await lead.open(path)).url.path == ME, path
    for path in ("/console/find", "/console/contacts", "/console/operations/limits", "/console/staff/ada/renew"):
        assert (await lead.do(path)).status_code == 403, path
    device, done = await add(lead)
    assert done.status_code == 303
    for path in ("/console", "/console/operations", "/console/staff"):
        assert (await lead.open(path)).url.path == path
    assert await fits(service, device)
    clerk = await a_clerk(service)
    assert clerk.page.url.path == "/console", "others need none"


@pytest.mark.parametrize("weaker", ["code", "recovery code", "wrong code"])
async def test_a_lead_with_a_passkey_has_no_weaker_route(needed, weaker):
    """PKY-15: posted directly: refused, no session, and the code is not even used up."""
    service = needed
    lead = await enrol(service, "bob", "lead")
    await sign_in(service, lead)
    _, done = await add(lead)
    assert done.status_code == 303
    service.clock.advance(seconds=40)
    before = await service.rows("SELECT count(*) FROM staff_session")
    code = {"code": now_code(service, lead.seed), "recovery code": lead.codes[0], "wrong code": "000000"}[weaker]
    other = Clerk(service.app, BASE, source="203.0.113.5")
    await other.open("/console/signin")
    refused = await other.send("/console/signin", name="bob", password=PASSWORD, code=code)
    assert refused.status_code == (422 if weaker == "wrong code" else 403)
    assert ("Sign in with your passkey." in refused.text) == (weaker != "wrong code")
    assert (await other.open("/console")).url.path == "/console/signin"
    assert await service.rows("SELECT count(*) FROM staff_session") == before
    assert await service.rows("SELECT 1 FROM recovery_code WHERE used_at IS NOT NULL") == []


async def test_the_setting_counts_for_who_is_signed_in_already(service):
    """PKY-15: a session by code from before neither works on nor adds another passkey."""
    lead = await enrol(service, "bob", "lead")
    await sign_in(service, lead)
    device, _ = await add(lead)
    service.clock.advance(seconds=40)
    await sign_in(service, lead)
    begun = await begin(lead, ME, ME)
    service.database.settings = service.database.settings.model_copy(update={"leads_need_passkey": True})
    late = await answer(lead, ME, begun, Authenticator(flags=VERIFIED).create(begun.options))
    assert late.status_code == 403
    page = await lead.open("/console")
    assert (page.url.path, page.url.query) == ("/console/signin", b"next=/console/passkeys")
    assert await count(service) == 1
    assert await fits(service, device)


async def test_the_last_passkey_of_a_lead_stays(needed):
    """PKY-09, 15: of two at once one goes; the operator can take the last one, and the lead begins again."""
    service = needed
    lead = await enrol(service, "bob", "lead")
    await sign_in(service, lead)
    await add(lead)
    await add(lead)
    rows = await service.rows("SELECT id FROM staff_passkey")
    await lead.open(ME)
    lead.token = token_of(lead)
    send = {"data": {"form_token": lead.token}, "follow_redirects": False}
    done = await asyncio.gather(*(lead.http.post(f"{ME}/{row.id}/remove", **send) for row in rows))
    assert sorted(one.status_code for one in done) == [303, 409]
    (left,) = await service.rows("SELECT id FROM staff_passkey")
    await service.database.in_transaction(lambda s: passkeys.remove_passkey(s, "bob", left.id, now=service.clock()))
    assert (await lead.open("/console")).url.path == "/console/signin"
    service.clock.advance(seconds=40)
    await sign_in(service, lead)
    assert lead.page.url.path == ME


async def test_a_dump_signs_nobody_in(service):
    """SES-01: the ceremony's name and cookies are hashed."""
    clerk, _ = await with_passkey(service)
    begun = await begin(clerk, ME, ME)
    kept = str(await service.rows("SELECT * FROM staff_passkey_challenge"))
    assert begun.ceremony not in kept
    assert clerk.http.cookies["__Host-staff"] not in kept
