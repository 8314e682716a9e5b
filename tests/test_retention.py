"""What is kept for a time alone is forgotten by itself: by any worker, each class after its own period."""

import pytest

from tests.accounts.given import an_account, sql
from tests.console.given import a_clerk
from tests.resets.given import a_reset

SESSION = """
    INSERT INTO sign_in_session (id, cookie_hash, user_id, method, proven_at, browser, created_at, seen_at, expires_at)
    SELECT gen_random_uuid(), 'a', user_id, 'password', now(), 'Firefox', now(), now(), now() FROM account LIMIT 1
    """
PLANTED = {
    "sign_in_session": SESSION,
    "password_attempt": "INSERT INTO password_attempt (subject, updated_at) VALUES ('a', now())",
    "idempotency_key": "INSERT INTO idempotency_key VALUES ('cli', 'route', 'key', 'a', NULL, NULL, now())",
    "rate_limit_counter": "INSERT INTO rate_limit_counter VALUES ('planted', 1, now())",
    "inbound_mail": (
        "INSERT INTO inbound_mail VALUES (gen_random_uuid(), NULL, now(), 'smtp', NULL, NULL, 'read', '{}', 'x')"
    ),
    "import_job": (
        "WITH job AS (INSERT INTO import_job (id, name, done_line) VALUES (gen_random_uuid(), 'a file', 0) "
        "RETURNING id) INSERT INTO import_row SELECT id, 2, '{}' FROM job"
    ),
    "worker": "INSERT INTO worker VALUES ('planted', now(), now(), 0)",
    "relay_state": "INSERT INTO relay_state VALUES ('first', 'planted', 'closed', NULL, 0, NULL, NULL, now())",
    "used_assertion": "INSERT INTO used_assertion VALUES ('cli', 'jti', now())",
    "revoked_token": "INSERT INTO revoked_token VALUES ('jti', 'cli', now())",
}
"""Rows that no few steps leave; those of tracking_link and staff_session are made by a reset and a sign-in."""
PERIODS = {
    "tracking_link.expires_at": "0 s",
    "sign_in_session.expires_at": "7 days",
    "staff_session.created_at": "7 days",
    "password_attempt.updated_at": "30 days",
    "idempotency_key.expires_at": "0 s",
    "rate_limit_counter.expires_at": "0 s",
    "inbound_mail.received_at": "7 days",
    "import_job.begun_at": "30 days",
    "worker.seen_at": "1 hour",
    "relay_state.updated_at": "1 hour",
    "used_assertion.expires_at": "0 s",
    "revoked_token.expires_at": "0 s",
}
"""From the moment in the column; `docs/protection.md` tells what they are for."""


@pytest.fixture
async def full(service, caller, owner):
    """A database in which each of the tables has a row."""
    await an_account(caller, email="anna@example.org")
    await a_reset(service, "anna@example.org")
    await a_clerk(service)
    for statement in PLANTED.values():
        await sql(owner, statement)
    return service


@pytest.mark.parametrize("column", PERIODS)
async def test_what_has_had_its_time_is_forgotten_and_nothing_before(full, owner, column):
    """PRV-14, ASVS 14.2.7: by the worker, without anybody asking; a minute before its time it is still there."""
    table, _, moment = column.partition(".")
    for minutes, left in (("+ interval '1 min'", True), ("- interval '1 s'", False)):
        await sql(owner, f"UPDATE {table} SET {moment} = now() - interval '{PERIODS[column]}' {minutes}")
        await full.forget()
        assert bool(await full.rows(f"SELECT 1 FROM {table}")) is left
