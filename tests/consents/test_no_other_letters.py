"""NOM-01 to NOM-03: this service cannot send marketing, not even by SQL as its own role or as the database's owner."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from identity_service.messages import kinds
from tests.accounts.given import an_account

LETTER = """
    INSERT INTO message (id, kind, purpose, user_id, recipient, recipient_ascii, recipient_hash, recipient_domain,
    locale, facts,
        brand, priority, state_changed_at, created_at, next_attempt_at, deadline_at, event_id)
    SELECT gen_random_uuid(), CAST(:kind AS text), CAST(:purpose AS text), user_id, email, email_ascii, NULL,
        'example.com', 'en', '{}', 'default', 5, now(), now(), now(), now() + interval '1 h', %s
    FROM account ORDER BY user_id
"""
QUEUED = """
    INSERT INTO event (name, actor, occurred_at, data)
    VALUES ('mail.queued', 'operator', now(), '{"kind": "newsletter"}') RETURNING id
"""
REFUSED = ("23503", "23514")
"""The foreign key to `message_kind`, or a check."""
PAIRS = {(name, kind.purpose) for name, kind in kinds.KINDS.items()}
FOREIGN = [
    ("newsletter", "marketing"), ("newsletter", "account"), ("welcome", "marketing"), ("Welcome", "account"),
    ("welcome ", "account"), ("", "account"), ("welcome", ""), ("welcome", "security"), ("test", "privacy"),
]  # fmt: skip


@pytest.fixture(params=["application", "owner"])
def role(request, service, owner):
    return service.database.engine if request.param == "application" else owner


async def refused(engine, *statements: tuple[str, dict]) -> str:
    """Run statements in one transaction, which must fail; return the state that PostgreSQL names."""

    async def run() -> None:
        async with engine.begin() as connection:
            for statement, values in statements:
                await connection.execute(text(statement), values)

    with pytest.raises(DBAPIError) as refusal:
        await run()
    return refusal.value.orig.sqlstate


@pytest.mark.parametrize(("kind", "purpose"), FOREIGN)
async def test_no_letter_of_another_class_or_kind_can_be_written(service, caller, role, kind, purpose):
    """NOM-01: with a true event of its own, as application and as owner; the database refuses it."""
    await an_account(caller, email="anna@example.com")
    own_event = LETTER % "(SELECT max(id) FROM event)"
    assert await refused(role, (QUEUED, {}), (own_event, {"kind": kind, "purpose": purpose})) in REFUSED


async def test_every_kind_that_there_is_has_one_class_and_none_is_marketing(service, caller, owner):
    """NOM-01: what the database takes is exactly what the code knows."""
    assert {purpose for _, purpose in PAIRS} <= {"security", "account", "privacy"}
    await an_account(caller, email="anna@example.com")
    taken = set()
    for kind in kinds.KINDS:
        for purpose in (*kinds.PURPOSES, "marketing"):
            try:
                async with owner.begin() as connection:
                    await connection.execute(text(QUEUED))
                    statement = LETTER % "(SELECT max(id) FROM event)"
                    await connection.execute(text(statement), {"kind": kind, "purpose": purpose})
                taken.add((kind, purpose))
            except DBAPIError:
                continue
    assert taken == PAIRS


@pytest.mark.parametrize("change", ["kind = 'newsletter'", "purpose = 'marketing'", "kind = 'reset'"])
async def test_a_letter_that_stands_there_does_not_become_another(service, caller, role, change):
    """NOM-01."""
    await an_account(caller, email="anna@example.com")
    assert await refused(role, (f"UPDATE message SET {change}", {})) in REFUSED


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE message DROP CONSTRAINT fk_message_kind_purpose",
        "ALTER TABLE message_kind DROP CONSTRAINT ck_message_kind_purpose",
        "ALTER TABLE message DISABLE TRIGGER ALL",
        "CREATE TABLE more_kinds (kind text)",
    ],
)
async def test_the_application_cannot_write_kinds(service, statement):
    """NOM-02: only a migration can, by another role."""
    assert await refused(service.database.engine, (statement, {})) == "42501"


@pytest.mark.parametrize(
    ("event", "state"),
    [("NULL", "23502"), ("0", "23503"), ("(SELECT max(id) + 1000 FROM event)", "23503")],
    ids=["none", "no such", "not yet"],
)
async def test_a_letter_without_its_event_cannot_be_written(service, caller, role, event, state):
    """NOM-03."""
    await an_account(caller, email="anna@example.com")
    assert await refused(role, (LETTER % event, {"kind": "welcome", "purpose": "account"})) == state


async def test_one_event_does_not_carry_letters_to_many(service, caller, role):
    """NOM-03: a bulk insert that names one event for all is refused as a whole."""
    for name in ("anna", "ben", "carl"):
        await an_account(caller, email=f"{name}@example.com")
    before = await service.rows("SELECT count(*) FROM message")
    bulk = LETTER % "(SELECT max(id) FROM event)"
    assert await refused(role, (QUEUED, {}), (bulk, {"kind": "welcome", "purpose": "account"})) == "23505"
    assert await service.rows("SELECT count(*) FROM message") == before


async def test_every_letter_names_the_event_that_told_of_it(service, caller):
    """NOM-03: and the event names the letter, its kind and what caused it."""
    await an_account(caller, email="anna@example.com")
    told = await service.rows(
        """
        SELECT e.name, e.data->>'message_id' = m.id::text, e.data->>'kind' = m.kind, e.data->>'cause'
        FROM message m JOIN event e ON e.id = m.event_id
        """
    )
    assert told == [("mail.queued", True, True, "account.registered")]


def shapes_taken(document: dict) -> set[str]:
    """Return the name of every field that some door takes in a body."""
    schemas = document["components"]["schemas"]
    todo = [o["requestBody"] for path in document["paths"].values() for o in path.values() if "requestBody" in o]
    found: set[str] = set()
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo += part
        elif isinstance(part, dict):
            found |= set(part.get("properties", {}))
            todo += part.values()
            todo += [schemas[name.rpartition("/")[2]] for name in [part.get("$ref")] if isinstance(name, str)]
    return found


def test_nothing_that_a_caller_sends_becomes_the_words_of_a_letter(service):
    """NOM-02: no door takes a subject, a page of HTML, a template, a header or a sender."""
    taken = shapes_taken(service.app.openapi())
    assert {"email", "display_name", "evidence"} <= taken
    assert not taken & {"subject", "html", "template", "headers", "reply_to", "from", "sender", "attachments"}
