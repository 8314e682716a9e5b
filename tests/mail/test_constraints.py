"""What the database itself refuses, whoever asks: states and steps, leases, attempts, feedback, kinds of letter.

Everything here goes around our code, by SQL, as the application's role and as the owner.
"""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from identity_service import app as web
from identity_service.messages import rules as message_rules
from tests.mail.rows import (
    NOW,
    a_feedback,
    a_message,
    a_suppression,
    an_attempt,
    an_event,
    change,
    insert,
    shape,
    without_triggers,
)


@pytest.fixture(params=["application", "owner"])
def role(request, service, owner):
    """An engine as one of the two roles; both find the same tables."""
    return service.database.engine if request.param == "application" else owner


async def refused(connection, work) -> str:
    """Do what must be refused; return the refusal's words."""
    with pytest.raises(DBAPIError) as refusal:
        async with connection.begin_nested():
            await work
    return str(refusal.value)


@pytest.mark.parametrize("old", message_rules.TRANSITIONS)
async def test_the_database_allows_the_steps_of_the_rules_and_no_others(service, owner, old):
    message = a_message(**shape(old))
    async with without_triggers(owner) as connection:
        await insert(connection, "message", message)
    allowed, refusals = [], []
    async with service.database.engine.begin() as connection:
        for new in message_rules.TRANSITIONS:
            try:
                async with connection.begin_nested() as step:
                    await change(connection, message, **shape(new))
                    allowed.append(new)
                    await step.rollback()
            except IntegrityError as refusal:
                refusals.append(str(refusal.orig).rpartition(": ")[2])
    assert set(allowed) == {*message_rules.TRANSITIONS[old], old}
    assert refusals == [
        f"a message cannot go from {old} to {new}" for new in message_rules.TRANSITIONS if new not in allowed
    ]


@pytest.mark.parametrize("state", [state for state in message_rules.TRANSITIONS if state != "queued"])
async def test_a_message_is_born_queued(role, state):
    async with role.begin() as connection:
        words = await refused(connection, insert(connection, "message", a_message(**shape(state))))
    assert "a message begins as queued" in words


KINDS = "fk_message_kind_purpose"
SAME = uuid.UUID(int=7)
IN_STATE = [
    ("queued", {"next_attempt_at": None}, "next_attempt"),
    ("queued", {"attempts": 1}, "queued_is_untried"),
    ("queued", {"lease_token": "00000000-0000-0000-0000-000000000001"}, "lease_token"),
    ("queued", {"lease_until": NOW}, "lease_until"),
    ("sending", {"lease_token": None}, "lease_token"),
    ("sending", {"lease_until": None}, "lease_until"),
    ("sending", {"next_attempt_at": NOW}, "next_attempt"),
    ("sending", {"attempts": 0}, "tried"),
    ("deferred", {"next_attempt_at": None}, "next_attempt"),
    ("deferred", {"attempts": 0}, "tried"),
    ("accepted", {"accepted_at": None}, "accepted_at"),
    ("accepted", {"attempts": 0}, "tried"),
    ("accepted", {"next_attempt_at": NOW}, "next_attempt"),
    ("delivered", {"accepted_at": None}, "accepted_at"),
    ("expired", {"possibly_sent": True}, "expired_is_certain"),
    ("unconfirmed", {"possibly_sent": False}, "unconfirmed_is_not"),
    ("queued", {"kind": "newsletter"}, KINDS),
    ("queued", {"purpose": "marketing"}, KINDS),
    ("queued", {"purpose": "security"}, KINDS),
    ("queued", {"priority": 1}, "priority"),
    ("queued", {"deadline_at": NOW}, "deadline"),
    ("queued", {"deadline_at": NOW - timedelta(seconds=1)}, "deadline"),
]


@pytest.mark.parametrize(("state", "columns", "constraint"), IN_STATE)
async def test_a_message_that_contradicts_itself_is_refused(role, owner, state, columns, constraint):
    message = a_message(**shape(state))
    async with without_triggers(owner) as connection:
        await insert(connection, "message", message)
    async with role.begin() as connection:
        words = await refused(connection, change(connection, message, **columns))
    assert f'"{constraint}"' in words or f'"ck_message_{constraint}"' in words


async def test_a_state_that_is_none_is_refused(role):
    message = a_message()
    async with role.begin() as connection:
        await insert(connection, "message", message)
        words = await refused(connection, change(connection, message, state="sent", next_attempt_at=None))
    assert "cannot go from queued to sent" in words


@pytest.mark.parametrize(("event_id", "words"), [(None, "null value"), (0, '"fk_message_event_id')])
async def test_a_message_without_the_event_that_caused_it_is_refused(role, event_id, words):
    """NOM-03: nothing is written to anybody for no reason."""
    async with role.begin() as connection:
        assert words in await refused(connection, insert(connection, "message", a_message(event_id=event_id)))


async def test_an_event_causes_one_message(role):
    """NOM-03: nobody hangs a second letter on a reason that was used."""
    async with role.begin() as connection:
        event_id = await an_event(connection)
        await insert(connection, "message", a_message(event_id=event_id))
        words = await refused(connection, insert(connection, "message", a_message(event_id=event_id)))
    assert '"uq_message_event_id"' in words


TWICE = [
    # The Message-ID is made of the id.
    ("message", a_message(id=SAME), a_message(id=SAME), "pk_message"),
    ("message", a_message(pending_key="ask:1"), a_message(pending_key="ask:1"), "uq_message_pending_key"),
    ("feedback", a_feedback(), a_feedback(type="bounced"), "uq_feedback_source"),
    ("suppression", a_suppression(), a_suppression(reason="complaint"), "uq_suppression_live"),
]


@pytest.mark.parametrize(("table", "first", "second", "index"), TWICE)
async def test_what_there_is_once_is_not_there_twice(role, table, first, second, index):
    async with role.begin() as connection:
        await insert(connection, table, first)
        assert f'"{index}"' in await refused(connection, insert(connection, table, second))


@pytest.mark.parametrize("state", message_rules.TRANSITIONS)
async def test_one_message_per_thing_is_pending_and_any_number_has_ended(role, owner, state):
    async with without_triggers(owner) as connection:
        await insert(connection, "message", a_message(**shape(state), pending_key="ask:1"))
    async with role.begin() as connection:
        again = insert(connection, "message", a_message(pending_key="ask:1"))
        if state in message_rules.PENDING:
            assert '"uq_message_pending_key"' in await refused(connection, again)
        else:
            await again


CLOSED = {"finished_at": NOW, "outcome": "accepted"}
ATTEMPTS = [
    ({}, {"attempt_no": 2}, "uq_attempt_open"),
    (CLOSED, {"attempt_no": 2, **CLOSED}, "uq_attempt_accepted"),
    (CLOSED, {"attempt_no": 1, "finished_at": NOW, "outcome": "transient"}, "pk_attempt"),
    (CLOSED, {"attempt_no": 2, "finished_at": NOW}, "ck_attempt_finished"),
    (CLOSED, {"attempt_no": 2, "outcome": "transient"}, "ck_attempt_finished"),
    (CLOSED, {"attempt_no": 2, "finished_at": NOW, "outcome": "fine"}, "ck_attempt_outcome"),
    (CLOSED, {"attempt_no": 2, "phase": "lunch"}, "ck_attempt_phase"),
]


@pytest.mark.parametrize(("first", "second", "constraint"), ATTEMPTS)
async def test_attempts_are_open_one_at_a_time_and_accepted_once(role, first, second, constraint):
    message = a_message()
    async with role.begin() as connection:
        await insert(connection, "message", message)
        await insert(connection, "attempt", an_attempt(message, **first))
        words = await refused(connection, insert(connection, "attempt", an_attempt(message, **second)))
    assert f'"{constraint}"' in words


async def test_a_late_acceptance_stands_beside_the_one_that_counts(role):
    message = a_message()
    async with role.begin() as connection:
        await insert(connection, "message", message)
        await insert(connection, "attempt", an_attempt(message, **CLOSED))
        late = {"attempt_no": 2, "finished_at": NOW, "outcome": "late_accepted"}
        await insert(connection, "attempt", an_attempt(message, **late))


async def test_an_attempt_is_about_a_message_there_is(role):
    async with role.begin() as connection:
        words = await refused(connection, insert(connection, "attempt", an_attempt(a_message())))
    assert "fk_attempt_message_id" in words


@pytest.mark.parametrize(
    ("table", "row", "constraint"),
    [
        ("feedback", a_feedback(type="opened"), "ck_feedback_type"),
        ("feedback", a_feedback(type="clicked"), "ck_feedback_type"),
        ("suppression", a_suppression(scope="all"), "ck_suppression_scope"),
        ("suppression", a_suppression(reason="full"), "ck_suppression_reason"),
    ],
)
async def test_what_is_no_word_of_ours_is_refused(role, table, row, constraint):
    async with role.begin() as connection:
        assert f'"{constraint}"' in await refused(connection, insert(connection, table, row))


@pytest.mark.parametrize("statement", ["UPDATE feedback SET type = 'bounced'", "DELETE FROM feedback"])
async def test_feedback_is_only_ever_added(role, statement):
    async with role.begin() as connection:
        await insert(connection, "feedback", a_feedback())
        words = await refused(connection, connection.execute(text(statement)))
    assert "append-only" in words or "permission denied" in words


@pytest.mark.parametrize("kind", ["newsletter", "offer", "survey", "", "WELCOME"])
async def test_a_kind_of_letter_that_is_marketing_cannot_be_written_down(role, kind):
    """NOM-01: kinds are a list in the database, and none of them is marketing."""
    async with role.begin() as connection:
        words = await refused(connection, insert(connection, "message", a_message(kind=kind)))
    assert f'"{KINDS}"' in words


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE message DROP CONSTRAINT fk_message_kind_purpose",
        "ALTER TABLE message_kind DROP CONSTRAINT ck_message_kind_purpose",
        "ALTER TABLE message ADD COLUMN subject text",
        "ALTER TABLE message DISABLE TRIGGER message_step",
        "DROP TRIGGER message_step ON message",
        "CREATE OR REPLACE FUNCTION message_step() RETURNS trigger LANGUAGE sql AS ''",
        "SET session_replication_role = replica",
        "CREATE TABLE letter (body text)",
    ],
)
async def test_the_application_cannot_change_what_letters_there_are(service, statement):
    """NOM-02: by SQL, as the application's role."""
    async with service.database.engine.begin() as connection:
        with pytest.raises((ProgrammingError, DBAPIError), match=r"must be owner|permission denied"):
            await connection.execute(text(statement))


async def test_no_door_takes_words_for_a_letter(service):
    """NOM-02: sending takes no free text; no request of ours has a subject, a body or a template."""
    schema = web.openapi_schema(service.app)
    asked = set()
    for path in schema["paths"].values():
        for operation in path.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                asked |= set(_names(schema, content["schema"]))
    assert "email" in asked
    assert not asked & {"subject", "body", "text", "html", "template", "message", "content", "letter"}


def _names(document: dict, schema: dict) -> list[str]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    inner = [*schema.get("anyOf", []), *schema.get("properties", {}).values()]
    inner += [schema["items"]] if "items" in schema else []
    return [*schema.get("properties", {}), *(name for part in inner for name in _names(document, part))]
