"""R29: permissions are answered from `consent_state`, and the database lets it say only what the ledger says.

Every statement here runs as the application's role, around the application.
"""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.console.given import an_account
from tests.life.given import audited, consent, merge

ANNA, BEN = "anna@example.org", "ben@example.org"
FORGERIES = {
    "a yes for everybody": "UPDATE consent_state SET decision = 'granted'",
    "a yes with a time of one's own": "UPDATE consent_state SET decision = 'granted', since = now()",
    "a yes where nothing was said": "INSERT INTO consent_state SELECT :ben, 'phone', 'granted', now()",
    "a yes after a proposal alone": "INSERT INTO consent_state SELECT :ben, 'post', 'granted', now()",
    "a yes by upsert": """INSERT INTO consent_state SELECT :ben, 'email', 'granted', now()
        ON CONFLICT (user_id, purpose) DO UPDATE SET decision = 'granted', since = now()""",
    "somebody else's yes": "UPDATE consent_state SET user_id = :ben, purpose = 'phone' WHERE user_id = :anna",
    "the yes to something else": "UPDATE consent_state SET purpose = 'phone' WHERE user_id = :anna",
    "an older yes": "UPDATE consent_state SET since = since - interval '1 year' WHERE user_id = :anna",
    "a no where there is a yes": "UPDATE consent_state SET decision = 'withdrawn' WHERE user_id = :anna",
    "a ledger of one's own": """CREATE TEMP TABLE consent_entry AS SELECT 99::bigint AS id,
        CAST(:ben AS text) AS user_id, 'email'::text AS purpose, 'granted'::text AS decision, s.since AS occurred_at
        FROM consent_state s WHERE s.user_id = :ben; SET LOCAL search_path = pg_temp, public;
        UPDATE consent_state SET decision = 'granted' WHERE user_id = :ben""",
    "by MERGE": """MERGE INTO consent_state s USING (SELECT 1) AS x ON true
        WHEN MATCHED THEN UPDATE SET decision = 'granted', since = now()""",
}
STATES = "SELECT user_id, purpose, decision, since FROM consent_state ORDER BY 1, 2"


@pytest.fixture
async def people(service, caller) -> dict[str, str]:
    """Anna, who agreed, and Ben, who withdrew and was proposed something else."""
    anna, ben = await an_account(caller, ANNA), await an_account(caller, BEN)
    await consent(service, caller, anna, ANNA)
    assert (await caller.put(f"/v1/accounts/{ben}/consents/email", {"granted": False})).status_code == 200
    asked = {"granted": True, "wording": "post-2026-11", "channel": "app"}
    assert (await caller.put(f"/v1/accounts/{ben}/consents/post", asked)).status_code == 202
    return {"anna": anna.replace("-", ""), "ben": ben.replace("-", "")}


@pytest.mark.parametrize("how", FORGERIES)
async def test_the_applications_role_cannot_say_what_the_ledger_does_not(service, people, how):
    """R29, AUD-03, NOM-03."""
    before = await service.rows(STATES)
    with pytest.raises(IntegrityError, match="the ledger does not say"):  # noqa: PT012
        async with service.database.transaction() as session:
            for statement in FORGERIES[how].split(";"):
                used = {name: value for name, value in people.items() if f":{name}" in statement}
                await session.execute(text(statement), used)
    assert await service.rows(STATES) == before


async def test_what_the_ledger_says_may_be_written_and_a_row_may_go(service, people):
    """R29: deriving the state again works; a missing row means silence, which allows nothing."""
    await service.rows("UPDATE consent_state SET since = since, decision = decision RETURNING 1")
    before = await service.rows(STATES)
    await service.rows("DELETE FROM consent_state RETURNING 1")
    async with service.database.transaction() as session:
        await session.execute(
            text("INSERT INTO consent_state VALUES (:u, :p, :d, :s)"),
            [{"u": row.user_id, "p": row.purpose, "d": row.decision, "s": row.since} for row in before],
        )
    assert await service.rows(STATES) == before


@pytest.mark.parametrize("theirs", ["withdrew", "said nothing"])
async def test_a_merged_accounts_stricter_word_cannot_be_passed_over(service, caller, people, theirs):
    """R29, PRV-17: the survivor agreed before the merge; the merged one withdrew, or never said a word."""
    other = "ben" if theirs == "withdrew" else "zoe"
    duplicate = people["ben"] if theirs == "withdrew" else (await an_account(caller, "zoe@example.org"))
    since = (await service.rows("SELECT since FROM consent_state WHERE decision = 'granted'"))[0].since
    service.clock.advance(seconds=2)
    await merge(service, caller, people["anna"], duplicate, ANNA, f"{other}@example.org")
    states = {(row.user_id, row.purpose): row.decision for row in await service.rows(STATES)}
    assert states.get((people["anna"], "email")) == ("withdrawn" if theirs == "withdrew" else None)
    with pytest.raises(IntegrityError, match="the ledger does not say"):
        await service.rows(
            "INSERT INTO consent_state VALUES (:u, 'email', 'granted', :s) ON CONFLICT (user_id, purpose) "
            "DO UPDATE SET decision = 'granted', since = :s RETURNING 1", u=people["anna"], s=since,
        )  # fmt: skip
    await audited(service)


@pytest.mark.parametrize(
    "change",
    [
        "restored_event_id = (SELECT max(id) FROM event)", "restored_event_id = 0", "epoch = epoch + 1",
        "restored_event_id = 9223372036854775807, epoch = 99",
    ],
)  # fmt: skip
async def test_the_applications_role_cannot_move_what_the_sealer_passes_over(service, people, change):
    """R29, AUD-02: events behind that id would never get a seal."""
    with pytest.raises(DBAPIError, match="permission denied"):
        await service.rows(f"UPDATE feed_state SET {change} RETURNING 1")
    for statement in ("DELETE FROM feed_state RETURNING 1", "INSERT INTO feed_state VALUES (2, 1, 5) RETURNING 1"):
        with pytest.raises(DBAPIError, match="permission denied"):
            await service.rows(statement)
    with pytest.raises(IntegrityError, match="one_row"):
        await service.rows("UPDATE feed_state SET id = 2 RETURNING 1")


FORGED = """
    INSERT INTO event (name, actor, occurred_at, data) VALUES ('feed.restored', 'operator', now(), '{}') RETURNING id
"""


@pytest.mark.parametrize(
    "how", ["an event that is no restore", "an older restore", "events without a seal", "others are connected"]
)
async def test_a_restore_is_recorded_only_when_there_is_one(service, people, owner, how):
    """R29: the function checks for itself, whoever calls it."""
    before = await service.rows("SELECT epoch, restored_event_id FROM feed_state")
    if how == "an older restore":
        older = (await service.rows(FORGED))[0].id
    while how != "events without a seal" and await service.seal():
        pass
    with pytest.raises(DBAPIError) as refused:  # noqa: PT012
        async with service.database.transaction() as other, service.database.transaction() as session:
            await other.execute(text("SELECT 1"))
            if how == "an event that is no restore":
                number = (await session.execute(text("SELECT max(id) FROM event"))).scalar_one()
            elif how == "an older restore":
                number = older
            else:
                number = (await session.execute(text(FORGED))).scalar_one()
            if how == "others are connected":
                await session.execute(
                    text("INSERT INTO sealed_event (position, event_id, seal) "
                         "SELECT max(position) + 1, :id, 'x' FROM sealed_event"), {"id": number},
                )  # fmt: skip
            await session.execute(text("SELECT record_restore(:id)"), {"id": number})
    said = str(refused.value.orig)
    wanted = {"events without a seal": "without a seal", "others are connected": "are connected"}
    assert wanted.get(how, "does not record a restore") in said
    assert await service.rows("SELECT epoch, restored_event_id FROM feed_state") == before
