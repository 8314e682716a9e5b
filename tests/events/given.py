"""Events through the action, in a transaction of their own or in one that the test holds open."""

from identity_service.events import actions, rules

SOMEBODY = "000000000000"


async def record(session, clock, *, name: str = "account.updated", user_id: str | None = SOMEBODY, **data) -> None:
    """Record an event whose data is free: what is sealed and read does not depend on its members."""
    rules.check_name(name)
    row = {"name": name, "user_id": user_id, "actor": "operator", "occurred_at": clock(), "data": data}
    await session.execute(actions._RECORD, row)


async def events(service, count: int, **options) -> None:
    """So many events, each committed by itself, numbered in `data`."""
    for number in range(count):
        await service.database.in_transaction(lambda s, n=number: record(s, service.clock, **{"number": n, **options}))


async def sealed_events(service, count: int, **options) -> None:
    await events(service, count, **options)
    assert await service.seal() >= count


async def follow(caller, path: str, **query) -> list[dict]:
    """Every event of a list, page by page, until there is nothing more."""
    found: list[dict] = []
    while True:
        answer = await caller.get(path, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next"] is None or not page["items"]:
            return found
        query["after"] = page["next"]
