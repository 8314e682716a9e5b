"""AUD-06: a change and its event are committed together, or neither is; no change is silent."""

from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from identity_service.clients import actions as clients
from identity_service.messages import actions as messages
from identity_service.messages import suppressions
from identity_service.messages.tables import Message
from identity_service.values import email_addresses
from tests.accounts.given import an_account

REFUSE = "CREATE FUNCTION refuse_for_a_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$"
AT_ONCE = """
    CREATE TRIGGER for_a_test BEFORE INSERT ON event FOR EACH ROW WHEN (NEW.name = '{name}')
    EXECUTE FUNCTION refuse_for_a_test()
"""
AT_COMMIT = """
    CREATE CONSTRAINT TRIGGER for_a_test AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.name = '{name}') EXECUTE FUNCTION refuse_for_a_test()
"""
TOLD = ("event", "account", "external_reference", "message", "client", "client_secret", "idempotency_key")
COUNT = "SELECT count(*) FROM event WHERE name = :name"
EVENTS = "SELECT name, user_id, actor, data FROM event ORDER BY id"


@asynccontextmanager
async def refused(owner, trigger: str, name: str):
    """For a while no event of this name can be written."""
    async with owner.begin() as connection:
        await connection.execute(text(REFUSE))
        await connection.execute(text(trigger.format(name=name)))
    try:
        yield
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("DROP FUNCTION refuse_for_a_test CASCADE"))


async def whole(service) -> list:
    """Everything that a change could leave behind."""
    return [await service.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in TOLD]


async def register(service, caller, user_id):
    return await caller.post("/v1/accounts", {"email": "anna@example.com", "external_ref": "17"})


async def register_with_a_key(service, caller, user_id):
    return await caller.post("/v1/accounts", {"email": "anna@example.com"}, headers={"Idempotency-Key": "k1"})


async def add_email(service, caller, user_id):
    return await caller.post(f"/v1/accounts/{user_id}/email-changes", {"email": "anna@example.com"})


async def change(service, caller, user_id):
    return await caller.patch(f"/v1/accounts/{user_id}", {"display_name": "Anna"})


DOORS = [
    (register, "account.registered"),
    (register, "mail.queued"),
    (register_with_a_key, "account.registered"),
    (add_email, "account.email_added"),
    (add_email, "mail.queued"),
    (change, "account.updated"),
]


@pytest.mark.parametrize("when", [AT_ONCE, AT_COMMIT], ids=["at the event", "at the commit"])
@pytest.mark.parametrize(("door", "name"), DOORS, ids=lambda x: getattr(x, "__name__", x))
async def test_where_the_event_cannot_be_written_nothing_is(service, caller, owner, door, name, when):
    """AUD-06, REL-02: the answer is no success, nothing is half there, and sent again it is done once."""
    user_id = await an_account(caller)
    before, count = await whole(service), await service.rows(COUNT, name=name)
    async with refused(owner, when, name):
        assert (await door(service, caller, user_id)).status_code == 500
        assert await whole(service) == before
    assert (await door(service, caller, user_id)).status_code in (200, 201, 202)
    assert await service.rows(COUNT, name=name) == [(count[0][0] + 1,)]


@pytest.mark.parametrize("name", ["client.added", "client.rotated", "client.closed"])
async def test_a_client_is_not_changed_in_silence(service, caller, owner, name):
    """AUD-06."""
    verbs = {
        "client.added": lambda s: clients.add_client(
            s, "x", ["events:read"], desk=False, jwks=None, now=service.clock()
        ),
        "client.rotated": lambda s: clients.rotate_secret(s, caller.client_id, now=service.clock()),
        "client.closed": lambda s: clients.close_client(s, caller.client_id, now=service.clock()),
    }
    before = await whole(service)
    async with refused(owner, AT_ONCE, name):
        with pytest.raises(Exception, match="no room"):
            await service.database.in_transaction(verbs[name])
        assert await whole(service) == before
    await service.database.in_transaction(verbs[name])
    assert (await service.rows(EVENTS))[-1].name == name


async def test_a_letter_is_not_sent_again_in_silence(service, caller, owner):
    """AUD-06."""
    await an_account(caller, email="anna@example.com")
    ((message_id,),) = await service.rows("SELECT id FROM message")
    before = await whole(service)
    async with refused(owner, AT_ONCE, "mail.retried"):
        asked = await caller.post(f"/v1/messages/{message_id}/retry", {"relay": "first"})
        assert asked.status_code == 500
        assert await whole(service) == before
    assert (await caller.post(f"/v1/messages/{message_id}/retry", {"relay": "first"})).status_code == 202
    assert (await service.rows(EVENTS))[-1].name == "mail.retried"


async def test_a_change_tells_who_made_it_and_what(service, caller):
    user_id = await an_account(caller)
    await caller.patch(f"/v1/accounts/{user_id}", {"display_name": "Anna", "locale": "de"})
    await caller.post(f"/v1/accounts/{user_id}/email-changes", {"email": "anna@example.com"})
    plain, actor = user_id.replace("-", ""), f"client:{caller.client_id}"
    told = [row for row in await service.rows(EVENTS) if row.user_id == plain]
    assert {row.actor for row in told} == {actor}
    assert [(row.name, row.data) for row in told if row.name != "mail.queued"] == [
        ("account.registered", {"kind": "consumer", "by": "nothing", "marketing": "never"}),
        ("account.updated", {"fields": ["display_name", "locale"]}),
        ("account.email_added", {}),
    ]


async def test_what_changes_nothing_tells_nothing(service, caller):
    user_id = await an_account(caller, email="anna@example.com", locale="de")
    before = await service.rows(EVENTS)
    await caller.patch(f"/v1/accounts/{user_id}", {"locale": "de"})
    await caller.post(f"/v1/accounts/{user_id}/email-changes", {"email": "ANNA@example.com"})
    await caller.post("/v1/accounts", {"email": "anna@example.com"})
    assert await service.rows(EVENTS) == before


async def a_suppression(service) -> None:
    """As when the newest letter has just been refused for good."""
    async with service.database.transaction() as session:
        newest = "SELECT id FROM message ORDER BY created_at DESC, id DESC LIMIT 1"
        message = await session.get(Message, await session.scalar(text(newest)))
        await suppressions.suppress_address(session, message, feedback_id=None, now=service.clock())


async def test_a_letter_that_is_not_tried_any_more_says_so(service, caller):
    """AUD-06: an address found dead stops the letters that wait for it; each is told."""
    user_id = await an_account(caller, email="anna@example.com")
    await a_suppression(service)
    assert await service.rows("SELECT state FROM message") == [("suppressed",)]
    told = (await service.rows(EVENTS))[-1]
    assert (told.name, told.user_id, told.actor) == ("mail.suppressed", user_id.replace("-", ""), "worker")
    assert told.data["kind"] == "welcome"


async def test_an_address_that_takes_mail_again_says_so(service, caller):
    """AUD-06: lifted by a delivery as by a clerk."""
    await an_account(caller, email="anna@example.com")
    await a_suppression(service)
    address = email_addresses.parse("anna@example.com", special_use=True)
    async with service.database.transaction() as session:
        await messages.enqueue(
            session, "test", to=address, user_id=None, locale="en", anyway=True, cause="mail.test_requested",
            actor="operator", now=service.clock(),
        )  # fmt: skip
    await service.deliver()
    assert await service.rows("SELECT lifted_by FROM suppression") == [("delivery",)]
    (told,) = [row for row in await service.rows(EVENTS) if row.name == "mail.suppression_lifted"]
    assert (told.actor, told.user_id, set(told.data)) == ("worker", None, {"suppression_id", "scope"})
