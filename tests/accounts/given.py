"""Accounts in states that no verb leads to yet: the owner of the database writes them down."""

from sqlalchemy import text

EMPTY = "email = NULL, email_ascii = NULL, email_key = NULL, email_state = 'none'"
MERGED = (
    f"UPDATE account SET state = 'merged', merged_into = :into, merged_at = now(), {EMPTY} WHERE user_id = :user_id"
)
CLOSED = "UPDATE account SET state = 'closed' WHERE user_id = :user_id"
ERASED = f"UPDATE account SET state = 'erased', display_name = NULL, {EMPTY} WHERE user_id = :user_id"


async def an_account(caller, **given) -> str:
    """Register through the door; return the User ID as it is shown."""
    made = await caller.post("/v1/accounts", given)
    assert made.status_code == 201, made.text
    return made.json()["user_id"]


async def sql(engine, statement: str, **values):
    """Run one statement in a transaction of its own."""
    async with engine.begin() as connection:
        return await connection.execute(text(statement), values)


async def merge(owner, user_id: str, into: str) -> None:
    await sql(owner, MERGED, user_id=user_id.replace("-", ""), into=into.replace("-", ""))


async def close(owner, user_id: str) -> None:
    await sql(owner, CLOSED, user_id=user_id.replace("-", ""))


async def erase(owner, user_id: str) -> None:
    await sql(owner, ERASED, user_id=user_id.replace("-", ""))
