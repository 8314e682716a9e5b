"""R26: a key that leaked: what it signed or derived since is not ours, another is used at once, the rest goes on."""

from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import text

from identity_service.audit import actions as audit
from identity_service.consents import receipts
from identity_service.console import actions as console
from identity_service.key_store import actions as key_store
from identity_service.keys import signing
from identity_service.messages import rendering
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.second_factors import actions as second_factors
from identity_service.values import user_ids
from tests.clients.given import status_with
from tests.clients.test_keys import kid_of
from tests.console.given import a_clerk, an_account, sign_in
from tests.life.given import link_to, press
from tests.second_factors.given import begin, shown, sign_in_with_app, with_an_app

ANNA = "anna@example.org"


@pytest.fixture(autouse=True)
async def ring_as_before(database, owner):
    """Put the key ring back: it is the one thing that the next test finds as this one left it."""
    async with owner.begin() as connection:
        before = (await connection.execute(text("SELECT id FROM encryption_key"))).scalars().all()
    yield
    async with owner.begin() as connection:
        await connection.execute(text("DELETE FROM encryption_key WHERE id <> ALL(:ids)"), {"ids": before})
        await connection.execute(text("UPDATE encryption_key SET revoked_since = NULL"))


async def revoke(service, purpose: str, **ago: float) -> tuple[str, str | None]:
    """Revoke the newest key of a purpose, as the command does; return its id and that of its successor."""
    ring, master, now = service.database.keys, service.database.settings.key(), service.clock()
    key_id = ring._newest(purpose).id

    async def work(session):
        _, successor = await key_store.revoke_key(session, master, key_id, since=now - timedelta(**ago), now=now)
        if purpose == "link":
            await one_time_tokens.end_tokens(session, now=now)
        if purpose == "internal":
            ring = await key_store.load_keys(session, master)
            await console.reseal_second_factors(session, ring)
            await second_factors.reseal(session, ring)
        return successor

    successor = await service.database.in_transaction(work)
    await service.app.state.gate.reload()
    return key_id, successor


async def receipt_of(caller, user_id: str) -> str:
    answer = await caller.get(f"/v1/accounts/{user_id}/consents/receipt")
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_a_revoked_signing_key_is_believed_by_nobody(service, caller):
    """Access tokens end at once, others sign from then on, and the key leaves the published set."""
    old = kid_of(caller.token)
    assert await status_with(service, caller.token) == 200
    key_id, successor = await revoke(service, "signing")
    assert key_id == old
    assert await status_with(service, caller.token) == 401
    jwks = (await service.http.get("/oauth/jwks.json")).json()["keys"]
    assert {key["kid"] for key in jwks} == {successor}
    again = await service.caller(name="another")
    assert kid_of(again.token) == successor
    assert await status_with(service, again.token) == 200


@pytest.mark.parametrize(("ago", "ours"), [({}, True), ({"seconds": 5}, True), ({"minutes": 30}, False)])
async def test_receipts_since_the_leak_are_not_ours_and_older_ones_are(service, caller, ago, ours):
    """The moment decides, to the second; a receipt of the new key is ours."""
    user_id = await an_account(caller, ANNA)
    receipt = await receipt_of(caller, user_id)
    service.clock.advance(minutes=10)
    await revoke(service, "signing", **ago)
    keys, issuer = service.database.keys.published(), service.database.settings.issuer
    fresh = await receipt_of(await service.caller(name="another"), user_id)
    receipts.check_receipt(fresh, keys, issuer=issuer, now=service.clock())
    if ours:
        receipts.check_receipt(receipt, keys, issuer=issuer, now=service.clock())
        return
    with pytest.raises(receipts.ReceiptOfRevokedKey):
        receipts.check_receipt(receipt, keys, issuer=issuer, now=service.clock())


@pytest.mark.parametrize("iat", [None, "yesterday", 10**10])
async def test_a_statement_of_a_revoked_key_without_a_moment_before_is_refused(service, iat):
    """For everything that is signed: it must say when, in seconds."""
    key = service.database.keys.signing(service.clock())
    await revoke(service, "signing")
    statement = signing.sign({"iss": "x"} if iat is None else {"iat": iat}, key, typ="anything+jwt")
    with pytest.raises(signing.SignedAfterRevocation):
        signing.verify(statement, service.database.keys.published(), typ="anything+jwt")


async def test_checkpoints_of_a_revoked_key_prove_nothing_and_are_counted(service):
    """The audit goes on, by those that nobody else could have signed."""
    for number in range(2):
        await an_account(await service.caller(name=f"of round {number}"), f"{number}@example.org")
        await service.seal()
        await service.database.in_transaction(lambda s: audit.publish_checkpoint(s, now=service.clock()))
        service.clock.advance(minutes=11)
    await revoke(service, "signing", minutes=12)
    walked = await service.database.in_transaction(audit.audit_events)
    assert walked.finding is None
    assert walked.checkpoints == 1
    assert any("1 checkpoints" in sentence and "prove nothing" in sentence for sentence in walked.explained)


async def test_links_of_a_revoked_key_are_dead_and_new_ones_work(service, caller):
    """Undo and stop links too, which outlive everything else."""
    anna = await an_account(caller, ANNA)
    asked = {"granted": True, "wording": "email-2026-11", "channel": "app"}
    assert (await caller.put(f"/v1/accounts/{anna}/consents/email", asked)).status_code == 202
    company = {"company_name": "Berg GmbH", "country": "DE"}
    assert (await caller.put(f"/v1/accounts/{anna}/business", company)).status_code == 200
    links = [await link_to(service, ANNA, subject) for subject in ("Can we contact you?", "business account")]
    await revoke(service, "link")
    service.clock.advance(seconds=1)
    for link in links:
        browser = await press(service, link)
        assert browser.page.status_code == 410, browser.text
    assert (await service.rows("SELECT kind FROM account")) == [("business",)]
    other = await an_account(caller, "ben@example.org")
    assert (await caller.put(f"/v1/accounts/{other}/consents/email", asked)).status_code == 202
    browser = await press(service, await link_to(service, "ben@example.org", "Can we contact you?"))
    assert browser.page.url.path == "/confirmed/consent", browser.text


async def test_what_a_revoked_internal_key_made_is_refused_and_staff_still_sign_in(service, caller):
    """Cursors and tags of return addresses end; seeds are sealed with the new key."""
    for number in range(3):
        await an_account(caller, f"{number}@example.org")
    ada = await a_clerk(service)
    cursor = (await caller.get("/v1/messages?limit=1")).json()["next"]
    old = service.database.keys.internal()
    before = await service.rows("SELECT totp_sealed FROM staff")
    await revoke(service, "internal")
    assert (await caller.get(f"/v1/messages?limit=1&after={cursor}")).json()["code"] == "invalid_cursor"
    new = service.database.keys.internal()
    assert not rendering.tag_is_ours("0" * 32, rendering.tag("0" * 32, old), new)
    assert await service.rows("SELECT totp_sealed FROM staff") != before
    service.clock.advance(seconds=40)
    assert (await sign_in(service, ada)).url.path == "/console"


async def test_customers_sign_in_with_their_apps_after_a_leak_of_the_internal_key(service, caller):
    """SFA-02: the seeds in use, and one that is being set up, are sealed again; the revoked key opens none."""
    anna = await with_an_app(service, caller)
    pending = await begin(anna.browser)
    sealed = "SELECT seed_sealed FROM second_factor UNION ALL SELECT seed_sealed FROM second_factor_setup"
    before, ring = {row[0] for row in await service.rows(sealed)}, service.database.keys
    await revoke(service, "internal")
    after = {row[0] for row in await service.rows(sealed)}
    assert (len(before & after), len(after)) == (0, 2)
    for one in after:
        with pytest.raises(InvalidTag):
            ring.unseal(f"second factor {user_ids.parse(anna.user_id)}", one)
    browser = await sign_in_with_app(service, anna.seed)
    await browser.open("/me/second-factor")
    await browser.send("/me/second-factor/confirm", code=shown(service, pending))
    assert "Your app is set up." in browser.text


async def test_revoking_again_moves_the_moment_back_only(service):
    now = service.clock()
    key_id, successor = await revoke(service, "signing", minutes=5)
    master = service.database.settings.key()
    for minutes, wanted in ((1, 5), (9, 9), (3, 9)):
        at = now - timedelta(minutes=minutes)
        _, another = await service.database.in_transaction(
            lambda s, at=at: key_store.revoke_key(s, master, key_id, since=at, now=now)
        )
        assert another is None, "its successor is there"
        ((kept,),) = await service.rows("SELECT revoked_since FROM encryption_key WHERE id = :k", k=key_id)
        assert kept == now - timedelta(minutes=wanted)
    assert successor is not None


@pytest.mark.parametrize("which", ["unknown", "the key of addresses"])
async def test_what_cannot_be_revoked_says_why(service, which):
    key_id = "nothing" if which == "unknown" else service.database.keys._newest("address").id
    error = key_store.UnknownKey if which == "unknown" else key_store.KeyNotRevocable
    with pytest.raises(error):
        await service.database.in_transaction(
            lambda s: key_store.revoke_key(
                s, service.database.settings.key(), key_id, since=service.clock(), now=service.clock()
            )
        )
    assert await service.rows("SELECT 1 FROM encryption_key WHERE revoked_since IS NOT NULL") == []
