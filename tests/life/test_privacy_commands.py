"""What an authority asks for, on the command line: the record of what is held, and who was touched by a breach."""

from datetime import timedelta

import pytest

from identity_service.privacy.inventory import INVENTORY
from tests.life.given import an_entry, append

KINDS = ("id", "fact", "personal", "proving", "kept")


async def test_the_record_has_every_column_with_its_kind_and_what_erasing_does(command):
    """PRV-15: made from the map that export and erasure go by, so it cannot tell anything else."""
    told = (await command("privacy", "inventory", "--json")).json
    assert [row["table"] for row in told] == list(INVENTORY)
    for row in told:
        held = {column: kind for kind in KINDS for column in row[kind]}
        assert (held, row["erasing"]) == (INVENTORY[row["table"]].columns, INVENTORY[row["table"]].erase)
    (account,) = [row for row in told if row["table"] == "account"]
    assert {"email", "display_name"} <= set(account["personal"])


def moment(at) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
async def breach(service):
    """A client that got out, within an hour: it wrote to Anna alone; Ben came before, Carl was somebody else's."""
    service.clock.now = service.clock.now.replace(microsecond=0)
    thief, other = [await service.caller(name=name) for name in ("thief", "other")]
    register = [(await other.post("/v1/accounts", {})).json()["user_id"] for _ in range(3)]
    assert (await append(thief, register[1], an_entry("b1"))).status_code == 201
    service.clock.advance(minutes=4)
    since = service.clock.now
    await append(thief, register[0], an_entry("a1"))
    await append(other, register[2], an_entry("c1"))
    service.clock.advance(minutes=4)
    assert (await append(thief, register[1], an_entry("b2"))).status_code == 201
    return thief, register, since, service.clock.now


async def test_who_was_touched_within_a_time_and_by_whom(command, breach):
    """PRV-16: from the events; the beginning belongs to it, the end does not."""
    thief, (anna, _, carl), since, until = breach
    told = (await command("privacy", "affected", moment(since), moment(until), "--json")).json
    assert {row["user_id"] for row in told} == {anna, carl}
    actor = f"client:{thief.client_id}"
    (row,) = (await command("privacy", "affected", moment(since), moment(until), "--actor", actor, "--json")).json
    assert (row["user_id"], row["events"], row["actors"]) == (anna, ["history.appended"], [actor])
    assert row["first_at"] == row["last_at"] == since.isoformat()


async def test_nobody_was_touched(command, breach):
    """PRV-16: another time, and a client whose name merely begins alike."""
    thief, _, since, until = breach
    late = moment(until + timedelta(days=1))
    assert (await command("privacy", "affected", late, late, "--json")).json == []
    cut = f"client:{thief.client_id[:-1]}"
    assert (await command("privacy", "affected", moment(since), late, "--actor", cut, "--json")).json == []


async def test_a_moment_that_cannot_be_read_is_wrong_usage(command):
    assert (await command("privacy", "affected", "yesterday", "today")).status == 2
