"""How staff get in, and out: enrolment, two factors, recovery codes, sessions; no mail is needed for any of it."""

import asyncio
from collections import Counter

import httpx2
import pytest

from identity_service.console import actions as staff
from identity_service.console import rules
from identity_service.passwords import hashing
from identity_service.privacy.inventory import INVENTORY
from tests.browser import PAGE
from tests.conftest import BASE
from tests.consents.given import CODE, a_customer
from tests.console.given import PASSWORD, Clerk, a_clerk, enrol, now_code, sealed_seed, shown_seed, sign_in


async def sessions(service) -> int:
    return (await service.rows("SELECT count(*) AS n FROM staff_session"))[0].n


async def fifty(service, clerk, path: str, **fields: str) -> Counter:
    """Send one form fifty times at once; return how often each status came."""
    await clerk.open(path)
    token = clerk.page.text.partition('name="form_token" value="')[2].partition('"')[0]
    transport = httpx2.ASGITransport(service.app, raise_app_exceptions=False, client=("198.51.100.30", 1))
    async with httpx2.AsyncClient(
        transport=transport, base_url=BASE, headers=PAGE, cookies=clerk.http.cookies, timeout=60
    ) as http:
        answers = await asyncio.gather(*(http.post(path, data={"form_token": token, **fields}) for _ in range(50)))
    return Counter(answer.status_code for answer in answers)


async def test_the_password_alone_opens_nothing(service):
    """PHN-11: nor with an empty, a short, or somebody else's code; digits of other scripts are no failure of ours."""
    ada, bob = await enrol(service, "ada"), await enrol(service, "bob")
    for code in ("", "0", "000000", now_code(service, bob.seed), bob.codes[0], "٣٣٣٣٣٣", "🙂"):
        answer = await sign_in(service, ada, code or " ")
        assert answer.status_code == 422, code
    assert (await sign_in(service, ada, password="wrong " + PASSWORD)).status_code == 422
    assert await sessions(service) == 0


async def test_an_unknown_name_and_a_wrong_password_read_the_same(service):
    """PHN-11: after the same work."""
    ada = await enrol(service, "ada")
    wrong = await sign_in(service, ada, password="not this one at all")
    ada.name = "eve"
    unknown = await sign_in(service, ada)
    assert wrong.status_code == unknown.status_code == 422
    assert wrong.text.replace('"ada"', '"eve"').split("form_token")[0] == unknown.text.split("form_token")[0]


async def test_a_one_time_code_is_good_once(service):
    """PHN-11, RFC 6238 5.2: replayed within its half minute it opens nothing."""
    ada = await enrol(service, "ada")
    code = now_code(service, ada.seed)
    assert (await sign_in(service, ada, code)).url.path == "/console"
    assert (await sign_in(service, at_another_browser(service, ada), code)).status_code == 422
    assert await sessions(service) == 1


async def test_a_code_that_was_used_already_is_told_as_used_to_whoever_has_the_password(service):
    """K02, PHN-11: behind enrolling, too; a wrong password and an unknown name read as before."""
    ada = await enrol(service, "ada", wait=0)
    said = "This one-time code has already been used. Wait for the next code"
    code = now_code(service, ada.seed)
    again = await sign_in(service, ada, f"{code[:3]} {code[3:]}")
    assert (again.status_code, said in again.text) == (422, True)
    wrong = await sign_in(service, ada, code, password="not it, not at all")
    assert (wrong.status_code, said in wrong.text) == (422, False)
    service.clock.advance(seconds=30)
    assert (await sign_in(service, ada, now_code(service, ada.seed))).url.path == "/console"
    assert said in (await sign_in(service, at_another_browser(service, ada), now_code(service, ada.seed))).text
    ada.name = "eve"
    assert said not in (await sign_in(service, ada, code)).text


@pytest.mark.parametrize("form", ["{0}\u200b{1}", "{0} {1}", "code: {0}{1}", "\u2068{0}{1}\u2069", "full-width"])
async def test_a_one_time_code_is_read_as_it_is_pasted(service, form):
    ada = await enrol(service, "ada")
    code = now_code(service, ada.seed)
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
    typed = wide if form == "full-width" else form.format(code[:3], code[3:])
    assert (await sign_in(service, ada, typed)).url.path == "/console"


async def test_the_services_clock_says_which_code_is_good(service):
    """ASVS 6.5.8: a browser that tells another time is not asked."""
    ada = await enrol(service, "ada")
    code = now_code(service, ada.seed)
    ada.http.headers["Date"] = f"{service.clock():%a, %d %b %Y %H:%M:%S GMT}"
    service.clock.advance(minutes=2)
    assert (await sign_in(service, ada, code)).status_code == 422
    assert (await sign_in(service, ada, now_code(service, ada.seed))).url.path == "/console"


def at_another_browser(service, clerk) -> Clerk:
    """The same person at another browser."""
    other = Clerk(service.app, BASE, source="198.51.100.21")
    other.name, other.seed, other.codes = clerk.name, clerk.seed, clerk.codes
    return other


@pytest.mark.parametrize(
    ("given", "told"),
    [({"password": "not it, not at all"}, "ada"), ({"code": "000000"}, "ada"), ({"name": PASSWORD}, None)],
    ids=["password", "code", "a password in the field of the name"],
)
async def test_a_failed_sign_in_is_an_event(service, given, told):
    """PHN-11, LOG-04: the auditor sees who was tried; what was typed stands nowhere."""
    ada = await enrol(service, "ada")
    await ada.open("/console/signin")
    typed = {"name": "ada", "password": PASSWORD, "code": now_code(service, ada.seed), **given}
    assert (await ada.send("/console/signin", **typed)).status_code == 422
    events = await service.rows("SELECT data FROM event WHERE name = 'staff.sign_in_failed'")
    assert events == [({"staff": told},)]
    assert await sessions(service) == 0


@pytest.mark.parametrize("factor", ["one-time code", "recovery code"])
async def test_fifty_sign_ins_with_one_code_make_one_session(service, factor, monkeypatch):
    """PHN-11, REC-05: the limits aside, the row decides."""
    monkeypatch.setattr(hashing, "QUEUE_PER_THREAD", 50)
    monkeypatch.setattr(rules, "PER_NAME", "1000/minute")
    monkeypatch.setattr(rules, "PER_NAME_AND_NETWORK", "1000/minute")
    monkeypatch.setattr(rules, "PER_NETWORK", "1000/minute")
    ada = await enrol(service, "ada")
    code = now_code(service, ada.seed) if factor == "one-time code" else ada.codes[0]
    answers = await fifty(service, ada, "/console/signin", name="ada", password=PASSWORD, code=code)
    assert answers == {303: 1, 422: 49}
    assert await sessions(service) == 1


async def test_a_recovery_code_is_good_once_and_is_kept_as_a_hash(service):
    """REC-05: saved codes stand for the one-time code; ten of them, 64 bits each."""
    ada = await enrol(service, "ada")
    assert len(set(ada.codes)) == rules.RECOVERY_CODES
    assert (await sign_in(service, ada, ada.codes[3].upper())).url.path == "/console"
    other = at_another_browser(service, ada)
    assert (await sign_in(service, other, ada.codes[3])).status_code == 422
    assert (await sign_in(service, other, ada.codes[4].replace("-", " "))).url.path == "/console"
    kept = str(await service.rows("SELECT * FROM staff_recovery_code"))
    assert not any(code.replace("-", "") in kept for code in ada.codes)


async def test_a_mailbox_and_the_authenticator_are_no_way_in(service, caller):
    """REC-04, REC-08: no letter stands for the password of somebody of the staff, nor has he an address for one."""
    ada = await enrol(service, "ada")
    private = await a_customer(caller, service)
    await private.sign_in()
    mailed = CODE.search(service.mailbox.letters(private.email)[0]["text"])[1]
    assert (await private.browser.open("/console")).url.path == "/console/signin"
    assert (await sign_in(service, ada, password=mailed)).status_code == 422
    await private.browser.open("/reset")
    assert (await private.browser.send("/reset", email="ada")).status_code == 422
    await service.deliver()
    assert {to for letter in service.mailbox.letters() for to in letter["to"]} == {private.email}
    assert not [name for name in INVENTORY["staff"].columns if "mail" in name or "addr" in name]
    assert await sessions(service) == 0


async def test_an_enrolment_link_is_good_once(service):
    """PHN-11: fifty at once make one person, with one set of recovery codes."""
    secret = await service.database.in_transaction(lambda s: staff.add_staff(s, "ada", "clerk", now=service.clock()))
    ada = Clerk(service.app, BASE)
    await ada.open("/console/enrol")
    await ada.send("/console/enrol", link=secret)
    found = await service.database.in_transaction(lambda s: staff.find_enrolment(s, secret, now=service.clock()))
    token = ada.page.text.partition('name="form_token" value="')[2].partition('"')[0]
    code = now_code(service, found.seed)
    given = {"form_token": token, "link": secret, "seed": found.sealed_seed, "password": PASSWORD, "code": code}
    answers = await asyncio.gather(*(ada.http.post("/console/enrolled", data=given) for _ in range(50)))
    counted = Counter(answer.status_code for answer in answers)
    assert counted[200] == 1
    # Fifty hashes at once are more than are waited for (FACT-9).
    assert counted[410] + counted[503] == 49
    assert (await service.rows("SELECT count(*) AS n FROM staff_recovery_code"))[0].n == rules.RECOVERY_CODES
    await ada.open("/console/enrol")
    assert (await ada.send("/console/enrol", link=secret)).status_code == 410


@pytest.mark.parametrize("wrong", ["unknown", "after a day", "code", "weak password"])
async def test_enrolling_refuses(service, wrong):
    """PHN-11: nothing is spent by a refusal; the link works still, but for the day."""
    secret = await service.database.in_transaction(lambda s: staff.add_staff(s, "ada", "clerk", now=service.clock()))
    found = await service.database.in_transaction(lambda s: staff.find_enrolment(s, secret, now=service.clock()))
    if wrong == "after a day":
        service.clock.advance(hours=24)
    ada = Clerk(service.app, BASE)
    await ada.open("/console/enrol")
    answer = await ada.send(
        "/console/enrolled", link="x" * 43 if wrong == "unknown" else secret, seed=found.sealed_seed,
        password="short" if wrong == "weak password" else PASSWORD,
        code="٣٣٣٣٣٣" if wrong == "code" else now_code(service, found.seed),
    )  # fmt: skip
    assert answer.status_code == (410 if wrong in ("unknown", "after a day") else 422), ada.text
    assert (await service.rows("SELECT phc FROM staff")) == [(None,)]


async def begin(service, secret: str, source: str = "198.51.100.20") -> tuple[Clerk, str]:
    """Open an enrolment link; return the browser, and the sealed seed of its form."""
    one = Clerk(service.app, BASE, source=source)
    await one.open("/console/enrol")
    await one.send("/console/enrol", link=secret)
    one.seed = shown_seed(one)
    return one, sealed_seed(one)


async def test_each_view_of_an_enrolment_link_shows_another_seed(service):
    """R27: whoever saw the link, before or after, has seen no seed that anybody enrols with."""
    secret = await service.database.in_transaction(lambda s: staff.add_staff(s, "ada", "clerk", now=service.clock()))
    assert await service.rows("SELECT totp_sealed FROM staff") == [(None,)]
    thief, _ = await begin(service, secret, "203.0.113.9")
    ada, sealed = await begin(service, secret)
    late, _ = await begin(service, secret, "203.0.113.10")
    assert len({thief.seed, ada.seed, late.seed}) == 3
    wrong = await ada.send(
        "/console/enrolled", link=secret, seed=sealed, password=PASSWORD, code=now_code(service, thief.seed)
    )
    assert wrong.status_code == 422
    assert shown_seed(ada) == ada.seed, "a refused form keeps the seed that the authenticator has already"
    code = now_code(service, ada.seed)
    done = await ada.send("/console/enrolled", link=secret, seed=sealed, password=PASSWORD, code=code)
    assert done.status_code == 200, ada.text
    service.clock.advance(seconds=40)
    ada.name = "ada"
    for other in (thief, late):
        assert (await sign_in(service, ada, now_code(service, other.seed))).status_code == 422
    assert (await sign_in(service, ada)).url.path == "/console"


@pytest.mark.parametrize("bent", ["missing", "of another link", "altered", "not base64url", "a plain seed"])
async def test_a_seed_that_was_not_sealed_for_this_link_is_refused(service, bent):
    """R27: the form cannot bring its own seed, or somebody else's; nothing is spent."""
    mine, theirs = [
        await service.database.in_transaction(lambda s, n=name: staff.add_staff(s, n, "clerk", now=service.clock()))
        for name in ("ada", "bob")
    ]
    ada, sealed = await begin(service, mine)
    bob, other = await begin(service, theirs)
    bad = {
        "missing": "", "of another link": other, "altered": sealed[:-4] + ("AAAA" if sealed[-4:] != "AAAA" else "BBBB"),
        "not base64url": "=?", "a plain seed": ada.seed,
    }[bent]  # fmt: skip
    seed = bob.seed if bent == "of another link" else ada.seed
    given = {"link": mine, "password": PASSWORD, "code": now_code(service, seed)}
    assert (await ada.send("/console/enrolled", seed=bad, **given)).status_code == 422
    assert "Open the link again" in ada.text
    assert await service.rows("SELECT phc FROM staff") == [(None,), (None,)]
    ada, sealed = await begin(service, mine)
    given["code"] = now_code(service, ada.seed)
    assert (await ada.send("/console/enrolled", seed=sealed, **given)).status_code == 200, ada.text


@pytest.mark.parametrize("where", ["the same browser", "another browser"])
async def test_a_new_sign_in_ends_the_older_session(service, where):
    """R27, ASVS 7.2.4: the old cookie opens nothing; other people stay signed in."""
    ada, bob = await a_clerk(service), await a_clerk(service, "bob")
    old = dict(ada.http.cookies)
    service.clock.advance(seconds=40)
    again = ada if where == "the same browser" else at_another_browser(service, ada)
    assert (await sign_in(service, again)).url.path == "/console"
    thief = Clerk(service.app, BASE, source="203.0.113.9")
    thief.http.cookies.update(old)
    await thief.open("/console")
    assert thief.page.url.path == "/console/signin" or thief.page.status_code == 401
    for one in (again, bob):
        assert (await one.open("/console")).url.path == "/console"
        assert one.page.status_code == 200


async def test_all_mail_is_down_and_staff_get_in(service, box):
    """PHN-11: when mail is down they are needed."""
    service.database.settings = service.database.settings.model_copy(update={"relays": ()})
    ada = await a_clerk(service)
    assert ada.page.url.path == "/console"
    assert await service.rows("SELECT 1 FROM message") == []


@pytest.mark.parametrize(("hours", "minutes", "good"), [(0, 29, True), (0, 30, False)])
async def test_a_session_ends_when_nobody_uses_it(service, hours, minutes, good):
    """SES-04, PHN-11: half an hour idle."""
    ada = await a_clerk(service)
    service.clock.advance(hours=hours, minutes=minutes)
    assert (await ada.open("/console")).url.path == ("/console" if good else "/console/signin")


async def test_a_session_ends_after_eight_hours_of_work(service):
    """SES-04, PHN-11: whoever works on and on signs in again."""
    ada = await a_clerk(service)
    for _ in range(23):
        service.clock.advance(minutes=20)
        assert (await ada.open("/console")).url.path == "/console"
    service.clock.advance(minutes=20)
    assert (await ada.open("/console")).url.path == "/console/signin"


async def test_what_a_page_fetches_by_itself_keeps_no_session_alive(service):
    """SES-04: an open account page asks every two seconds; nobody is at the desk."""
    ada = await a_clerk(service)
    for _ in range(3):
        service.clock.advance(minutes=9)
        assert (await ada.http.get("/console", headers={"Sec-Fetch-Mode": "cors"})).url.path == "/console"
    service.clock.advance(minutes=4)
    assert (await ada.open("/console")).url.path == "/console/signin"


@pytest.mark.parametrize("how", ["removed", "signed out"])
async def test_the_session_is_dead_at_once(service, how):
    """SES-04, ATT-64, ASVS 6.5.6: the same cookie, in any process; and no factor signs a removed person in."""
    ada = await a_clerk(service)
    kept = ada.http.cookies.get("__Host-staff")
    if how == "removed":
        await service.database.in_transaction(lambda s: staff.remove_staff(s, "ADA", now=service.clock()))
    else:
        await ada.do("/console/signout")
    ada.http.cookies.set("__Host-staff", kept, domain="id.example.com")
    assert (await ada.open("/console")).url.path == "/console/signin"
    assert (await ada.do("/console/find", typed="anna@example.org")).status_code == 401
    if how == "removed":
        service.clock.advance(seconds=40)
        for code in ("", ada.codes[0]):
            assert (await sign_in(service, at_another_browser(service, ada), code)).status_code == 422


async def test_the_cookie_is_bound_to_this_host_and_means_nothing_in_a_dump(service):
    """SES-01, SES-02, SES-05: opaque, 256 bits, kept as a hash."""
    ada = await enrol(service, "ada")
    ada.http.follow_redirects = False
    await ada.open("/console/signin")
    answer = await ada.send("/console/signin", name="ada", password=PASSWORD, code=now_code(service, ada.seed))
    (line,) = [c for c in answer.headers.get_list("set-cookie") if c.startswith("__Host-staff=")]
    value = line.partition("=")[2].partition(";")[0]
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= {part.strip() for part in line.split(";")}
    assert len(value) == 43
    assert value not in str(await service.rows("SELECT * FROM staff_session"))


async def test_guessing_the_second_factor_is_limited_by_name(service):
    """PHN-11, PHN-12: ten tries in ten minutes from one network, counted before the check; 500 a day from all."""
    ada = await enrol(service, "ada")
    answers = []
    for n in range(11):
        other = Clerk(service.app, BASE, source="203.0.113.1")
        other.name, other.seed = "ADA " if n % 2 else "ada", ada.seed
        answers.append((await sign_in(service, other, "000000")).status_code)
    assert answers == [422] * 10 + [429]


@pytest.mark.parametrize("name", ["a", "x" * 61, "ada<b>", "a b", "ädä"])
async def test_a_name_that_no_log_could_carry_is_refused(service, name):
    with pytest.raises(rules.MalformedStaffName):
        await service.database.in_transaction(lambda s: staff.add_staff(s, name, "clerk", now=service.clock()))


async def test_a_name_is_one_person(service):
    """PHN-11: no shared account; whoever has left does not block the name."""
    await service.database.in_transaction(lambda s: staff.add_staff(s, "ada", "clerk", now=service.clock()))
    with pytest.raises(rules.StaffNameTaken):
        await service.database.in_transaction(lambda s: staff.add_staff(s, "Ada", "lead", now=service.clock()))
    await service.database.in_transaction(lambda s: staff.remove_staff(s, "ada", now=service.clock()))
    await service.database.in_transaction(lambda s: staff.add_staff(s, "ada", "lead", now=service.clock()))


async def test_seeds_and_passwords_are_sealed_or_hashed(service):
    """PHN-11: a stolen table signs nobody in."""
    ada = await enrol(service, "ada")
    kept = str(await service.rows("SELECT * FROM staff"))
    assert ada.seed not in kept
    assert PASSWORD not in kept
