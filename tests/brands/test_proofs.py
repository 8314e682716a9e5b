"""BRD-07: in production a brand's host serves, and its sender writes, once DNS has proven them."""

import asyncio
import re
from datetime import timedelta

import dns.rcode
import pytest
from pydantic import SecretStr

from identity_service.brand_records import flows, proofs
from identity_service.brands import proofs as rules
from identity_service.brands.files import read_brands
from identity_service.brands.proofs import Subject
from identity_service.cli import brands as commands
from identity_service.database.transactions import Database, database_now
from identity_service.web.security_txt import PATH
from tests.brands.given import ACME, write_brand
from tests.brands.test_faces import a_client, foreign, register, whole
from tests.browser import Browser
from tests.conftest import BASE
from tests.given import PRODUCTION, run
from tests.mail.name_server import listen, resolver_of

HOST = Subject("host", "id.acme.example")
SENDER = Subject("sender", "acme.example return=bounce.acme.example dkim=s1")
VALUE = rules.record_value(BASE, HOST.name)
HOST_RECORD = {(f"_identity-service.{HOST.name}.", "TXT"): ['"other=1"', f'"{VALUE}"']}
SENDER_RECORDS = {
    ("bounce.acme.example.", "TXT"): ['"v=spf1 include:relay.example -all"'],
    ("_dmarc.acme.example.", "TXT"): ['"v=DMARC1; p=reject"'],
    ("s1._domainkey.acme.example.", "TXT"): ['"v=DKIM1; k=rsa; p=MIIB"'],
}
CUSTOMER = "anna@kundin.de"


@pytest.fixture
def settings(settings, tmp_path):
    """Production: only there is anything to prove. Acme has a host and a sender, Plain has neither."""
    folder = tmp_path / "proven"
    write_brand(folder, "acme", f'{ACME}dkim_selector = "s1"\n')
    write_brand(folder, "plain", 'name = "Plain"\n')
    return settings.model_copy(update={"brands_dir": folder, "environment": "production"})


@pytest.fixture
async def zone():
    """What DNS has; a test adds records, or takes some away."""
    return {}


@pytest.fixture
async def resolver(zone):
    server = await listen(zone)
    yield resolver_of(server)
    server.close()


@pytest.fixture
def look(service, resolver):
    """Look subjects up as `brand prove` does, and let the process learn it as its loop does."""

    async def look(*subjects: Subject) -> list[bool | None]:
        seen = [await flows.prove(service.database, one, actor="operator", resolver=resolver) for one in subjects]
        await flows.load(service.database)
        return [one.found for one in seen]

    return look


async def page(service, host: str, path: str = "/", accept: str = "text/html"):
    return await service.http.get(path, headers={"Host": host, "Accept": accept})


async def test_a_host_serves_after_its_record_is_seen_and_not_before(service, zone, look):
    refused = await page(service, HOST.name)
    assert refused.status_code == 421
    assert "proves it in DNS" in refused.text
    assert foreign(refused.text, "default") == []
    told = await page(service, HOST.name, PATH, "application/json")
    assert (told.status_code, told.json()["code"]) == (421, "unproven_host")
    assert (await page(service, BASE.partition("//")[2])).status_code == 200
    assert await look(HOST) == [False]
    assert (await page(service, HOST.name)).status_code == 421
    zone |= HOST_RECORD
    assert await look(HOST) == [True]
    served = await page(service, HOST.name)
    assert served.status_code == 200
    assert "Acme" in served.text


@pytest.mark.parametrize("value", [
    rules.record_value("https://id.other.example", HOST.name), rules.record_value(BASE, "id.zeta.example"),
    VALUE[:-1], VALUE.upper(), f"{VALUE} x",
])  # fmt: skip
async def test_a_record_for_somebody_else_proves_nothing(service, zone, look, value):
    """Another installation's, another host's, or one that is not exactly ours."""
    zone[f"_identity-service.{HOST.name}.", "TXT"] = [f'"{value}"']
    assert await look(HOST) == [False]
    assert (await page(service, HOST.name)).status_code == 421


async def test_every_process_learns_a_proof_while_it_runs(service, urls, zone, look):
    other = Database(service.database.settings, urls.application)
    rounds = 0

    async def pause(_: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            raise asyncio.CancelledError

    zone |= HOST_RECORD
    await look(HOST)
    assert not other.proves(HOST)
    with pytest.raises(asyncio.CancelledError):
        await flows.keep_fresh(other, pause)
    assert other.proves(HOST)
    await other.close()


async def a_message(service, brand: str) -> None:
    headers = await a_client(service, brand)
    await register(service, headers, CUSTOMER)
    await service.deliver()


async def test_no_message_leaves_from_a_sender_that_is_not_proven_and_none_is_lost(service, zone, look, log):
    """It waits in the outbox and says why; when DNS has the records, it leaves at once."""
    await a_message(service, "acme")
    assert service.mailbox.letters(CUSTOMER) == []
    ((message_id, state),) = await service.rows("SELECT id, state FROM message")
    assert state == "deferred"
    assert [(line["event"], line["brand"]) for line in log.lines if "not_proven" in line["event"]] == [
        ("mail.sender_not_proven", "acme")
    ]
    caller = await service.caller()
    said = (await caller.get(f"/v1/messages/{message_id}")).json()
    assert "Our sender address isn't set up completely, so we're holding the email back." in said["sentence"]
    assert [entry["kind"] for entry in said["timeline"]] == ["queued", "aborted"]
    assert await look(SENDER) == [False]
    await service.deliver()
    assert service.mailbox.letters(CUSTOMER) == []
    zone |= SENDER_RECORDS
    assert await look(SENDER) == [True]
    service.clock.now = max(service.clock.now, await service.database.in_transaction(database_now))
    await service.deliver()
    (letter,) = service.mailbox.letters(CUSTOMER)
    assert letter["headers"]["From"] == "Acme <konto@acme.example>"


@pytest.mark.parametrize("record", SENDER_RECORDS)
async def test_each_of_spf_dkim_and_dmarc_must_be_seen(zone, look, record):
    zone |= {name: texts for name, texts in SENDER_RECORDS.items() if name != record}
    assert await look(SENDER) == [False]


async def test_a_return_domain_of_somebody_else_is_not_aligned(service, zone, resolver):
    """RFC 7489, 3.1: SPF is looked up there, and would count for nothing."""
    folder = service.database.settings.brands_dir
    strange = ACME.replace("bounce.acme.example", "bounce.post.example")
    write_brand(folder, "beta", f'{strange}dkim_selector = "s1"\n'.replace("id.acme.example", "id.beta.example"))
    zone |= SENDER_RECORDS | {("bounce.post.example.", "TXT"): ['"v=spf1 include:relay.example -all"']}
    brands = read_brands(folder, "Shop", "service@identity.example", "", "", "UTC")
    subject = Subject("sender", "acme.example return=bounce.post.example dkim=s1")
    (brand,) = rules.needed(brands)[subject]
    seen = await flows.look_up(service.database.settings, subject, brand, resolver)
    assert seen.found is False
    assert any("SPF counts for nothing" in line for line in seen.sentences)


async def test_a_brand_without_a_sender_writes_from_that_of_the_settings(service):
    """It is the installation's own, and needs no proof: without it not even a warning could be sent."""
    await a_message(service, "plain")
    (letter,) = service.mailbox.letters(CUSTOMER)
    assert letter["headers"]["From"] == "Plain <service@identity.example>"


async def test_links_of_a_host_that_is_not_proven_lead_to_the_issuer(service, zone, look):
    """As when a week without its record has passed since somebody registered there."""
    zone |= HOST_RECORD | SENDER_RECORDS
    await look(HOST, SENDER)
    browser = Browser(service.app, f"https://{HOST.name}")
    await browser.open("/")
    await browser.send("/", email=CUSTOMER)
    service.database.proofs = frozenset({SENDER})
    await service.deliver()
    (letter,) = service.mailbox.letters(CUSTOMER)
    assert f"{BASE}/confirm/" in whole(letter)
    assert HOST.name not in whole(letter)


async def test_a_proven_host_leads_through_registration_to_its_own_confirmation(service, zone, look):
    zone |= HOST_RECORD | SENDER_RECORDS
    await look(HOST, SENDER)
    browser = Browser(service.app, f"https://{HOST.name}")
    await browser.open("/")
    await browser.send("/", email=CUSTOMER)
    await service.deliver()
    (letter,) = service.mailbox.letters(CUSTOMER)
    link = re.search(rf"https://{HOST.name}(/confirm/\S+)#", letter["text"])[1]
    await browser.open(link)
    assert browser.page.status_code == 200


async def test_a_proof_that_is_lost_holds_for_a_week_and_is_told_from_the_first_day(service, zone, look, resolver, log):
    """A mistake in a zone takes nothing down before somebody has read the alarm."""
    zone |= HOST_RECORD
    await look(HOST)
    zone.clear()
    await service.rows("UPDATE brand_proof SET checked_at = now() - interval '25 hours' RETURNING name")
    assert await flows.prove_due(service.database, resolver) == 2
    await flows.load(service.database)
    assert (await page(service, HOST.name)).status_code == 200
    said = [(line["what"], line["subject"]) for line in log.lines if line["event"] == "brand.not_proven"]
    assert said == [tuple(HOST), tuple(SENDER)]
    assert await states(service) == {("host", "lost"): 1, ("sender", "missing"): 1}
    ((lost_at,),) = await service.rows("SELECT lost_at FROM brand_proof WHERE what = 'host'")
    for days, holds in ((6.9, True), (7, False)):
        now = lost_at + timedelta(days=days)
        found = await service.database.in_transaction(lambda session, at=now: proofs.load(session, now=at))
        assert (HOST in found) is holds
    assert await events(service) == ["brand.proven", "brand.proof_lost"]


async def test_a_second_look_up_without_it_does_not_begin_the_week_again(service, zone, look):
    zone |= HOST_RECORD
    await look(HOST)
    zone.clear()
    await look(HOST)
    before = await service.rows("SELECT proven_at, lost_at FROM brand_proof")
    await look(HOST)
    assert await service.rows("SELECT proven_at, lost_at FROM brand_proof") == before
    zone |= HOST_RECORD
    await look(HOST)
    ((proven_at, lost_at),) = await service.rows("SELECT proven_at, lost_at FROM brand_proof")
    assert (proven_at, lost_at) == (before[0][0], None)
    assert await events(service) == ["brand.proven", "brand.proof_lost", "brand.proven"]


async def test_a_name_server_that_does_not_answer_takes_nothing_away_and_proves_nothing(service, zone, look):
    zone |= HOST_RECORD
    await look(HOST)
    silent = await listen({}, rcode=dns.rcode.SERVFAIL)
    for subject in (HOST, SENDER):
        seen = await flows.prove(service.database, subject, actor="worker", resolver=resolver_of(silent))
        assert seen.found is None
        assert "DNS cannot be asked from here" in seen.sentences[0]
    silent.close()
    assert await states(service) == {("host", "proven"): 1, ("sender", "missing"): 1}


async def states(service) -> dict:
    now = await service.database.in_transaction(database_now)
    counted = await service.database.in_transaction(lambda session: proofs.count_states(session, now=now))
    return {key: count for key, count in counted.items() if count}


async def events(service) -> list[str]:
    return [name for (name,) in await service.rows("SELECT name FROM event WHERE name LIKE 'brand.%' ORDER BY id")]


async def test_an_event_says_what_was_proven_and_is_sealed(service, zone, look):
    """Only readers of the audit see it."""
    zone |= SENDER_RECORDS
    await look(SENDER)
    ((data, actor),) = await service.rows("SELECT data, actor FROM event WHERE name = 'brand.proven'")
    assert (data, actor) == ({"what": "sender", "name": SENDER.name, "brands": ["acme"]}, "operator")
    await service.seal()
    everybody, auditors = await service.caller("events:read"), await service.caller("events:read", "audit:read")
    for caller, sees in ((everybody, False), (auditors, True)):
        feed = (await caller.get("/v1/events")).json()["items"]
        assert ("brand.proven" in {event["type"] for event in feed}) is sees


async def test_workers_look_up_what_is_due_and_one_of_them_alone(service, zone, resolver):
    zone |= HOST_RECORD
    due = [await flows.prove_due(service.database, resolver) for _ in range(2)]
    assert due == [2, 0]
    wanted, now = (HOST, SENDER), await service.database.in_transaction(database_now)
    for minutes, claimed in ((9, []), (11, [SENDER]), (12, []), (24 * 60 + 1, [HOST, SENDER])):
        at = now + timedelta(minutes=minutes)
        found = await service.database.in_transaction(lambda session, at=at: proofs.claim(session, wanted, now=at))
        assert list(found) == claimed, minutes


async def test_prometheus_is_told_how_many_are_missing(service, zone, look):
    app = service.app
    zone |= HOST_RECORD
    await look(HOST)
    now = await service.database.in_transaction(database_now)
    counted = await service.database.in_transaction(lambda session: proofs.count_states(session, now=now))
    assert counted == {
        ("host", "proven"): 1, ("host", "lost"): 0, ("host", "missing"): 0,
        ("sender", "proven"): 0, ("sender", "lost"): 0, ("sender", "missing"): 1,
    }  # fmt: skip
    assert app.state.database.proves(HOST)


async def test_development_needs_no_proof(settings, urls):
    """Hosts like id.acme.localhost have no DNS."""
    relaxed = settings.model_copy(update={"environment": "development"})
    database = Database(relaxed, urls.application)
    assert database.proves(HOST)
    await flows.load(database)
    assert database.proves(HOST)
    assert await flows.prove_due(database) == 0
    await flows.keep_fresh(database)
    await database.close()


def test_another_return_domain_or_key_needs_a_proof_of_its_own(tmp_path):
    subjects = set()
    for more in ('dkim_selector = "s1"', 'dkim_selector = "s2"', 'dkim_selector = "s1"\nrelays = ["a"]'):
        folder = tmp_path / str(len(subjects)) / more[-4:-1].strip('["')
        write_brand(folder, "acme", f"{ACME}{more}\n")
        brands = read_brands(folder, "Shop", "service@identity.example", "", "", "UTC")
        subjects.add(rules.sender_subject(brands.find("acme"), brands))
    assert {subject.name.partition("dkim=")[2] for subject in subjects} == {"s1", "s2"}


async def prove(settings, urls, *words: str) -> tuple[int, str]:
    """Run the command as an operator does; whatever this machine's name server says, `.example` proves nothing."""
    given = PRODUCTION | {"DATABASE_URL": urls.application, "IDENTITY_BRANDS_DIR": str(settings.brands_dir)}
    ended = await asyncio.to_thread(run, "brand", "prove", *words, folder=settings.data_dir, **given)
    return ended.returncode, ended.stdout + ended.stderr


async def test_the_command_prints_the_record_that_a_host_needs_and_ends_with_1_before_it_is_there(
    database, settings, urls
):
    status, out = await prove(settings, urls)
    assert status == 1, out
    assert f"missing  host {HOST.name} of acme" in out
    assert f"needs: _identity-service.{HOST.name} TXT {VALUE}" in out
    assert f"missing  sender {SENDER.name} of acme" in out
    status, out = await prove(settings, urls, "plain")
    assert (status, out) == (0, "")
    status, out = await prove(settings, urls, "nobody")
    assert status == 1
    assert "There is no brand 'nobody'" in out


async def test_the_command_ends_with_0_where_everything_is_proven(
    database, settings, urls, zone, resolver, monkeypatch, capsys
):
    zone |= HOST_RECORD | SENDER_RECORDS
    monkeypatch.setattr(flows, "_resolver", lambda: resolver)
    stored = settings.model_copy(update={"database_url": SecretStr(urls.application)})
    rows = await commands._prove(stored, "acme")
    assert [(row["what"], row["state"], row["brands"]) for row in rows] == [
        ("host", "proven", ["acme"]), ("sender", "proven", ["acme"]),
    ]  # fmt: skip
    for row in rows:
        commands._print_proof(row)
    assert f"seen: _identity-service.{HOST.name}: {VALUE}" in capsys.readouterr().out
