"""What a service stored belongs to its source: it outlives credentials, is shared by workers, and is nobody else's."""

import pytest

from identity_service.clients import actions as clients
from identity_service.clients import rules
from identity_service.clients.actions import Credentials
from tests.clients.given import a_client, status_with, token_of

ADD = ("client", "add")
EVERY = ("--scope", "accounts:write", "--scope", "accounts:read")


async def add(service, name, *, source=None, scopes=("events:read",)):
    return await service.database.in_transaction(
        lambda s: clients.add_client(s, name, list(scopes), desk=False, source=source, jwks=None, now=service.clock())
    )


async def change(service, client_id, **given):
    return await service.database.in_transaction(
        lambda s: clients.change_client(s, client_id, now=service.clock(), **given)
    )


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("shop", "shop"), ("Web Shop (DE)", "web_shop_de"), ("shop-worker", "shop_worker"), ("Büro 2", "buro_2"),
        ("a" * 80, "a" * 40), ("_shop_", "shop"),
    ],
)  # fmt: skip
async def test_a_client_alone_gets_a_source_of_its_name(service, name, source):
    assert (await add(service, name)).source == source


@pytest.mark.parametrize("name", ["日本", "42", "...", "2nd shop"])
async def test_a_name_without_letters_needs_a_source(service, name):
    with pytest.raises(rules.MalformedSource, match="--source"):
        await add(service, name)
    assert (await add(service, name, source="shop")).source == "shop"


@pytest.mark.parametrize("source", ["Shop", "web shop", "shop-1", "1shop", "", "a" * 41, "shop\n", "console"])
async def test_what_is_no_source_is_refused(service, source):
    with pytest.raises(rules.MalformedSource):
        rules.check_source_name(source)


async def test_a_second_client_of_the_name_must_say_whether_it_shares(service, command):
    """Sharing by accident would let a stranger write in the name of the first."""
    first = await add(service, "shop")
    refused = await command(*ADD, "Shop", *EVERY)
    assert (refused.status, refused.out) == (1, "")
    assert "There is a source 'shop' already. With --source shop" in refused.err
    assert await service.rows("SELECT id FROM client") == [(first.client_id,)]
    shared = await command(*ADD, "Shop", *EVERY, "--source", "shop", "--json")
    own = await command(*ADD, "Shop", *EVERY, "--source", "second_shop", "--json")
    assert [shared.json["source"], own.json["source"]] == ["shop", "second_shop"]
    listed = {row["source"]: row["clients"] for row in (await command("client", "sources", "--json")).json}
    assert listed == {
        "shop": [first.client_id, shared.json["client_id"]], "second_shop": [own.json["client_id"]]
    }  # fmt: skip


async def test_the_successor_of_a_closed_client_finds_every_reference_and_counts_no_order_twice(service, command):
    """The runbook's way after a leak: close, and add another one on the same source."""
    entry = {"reference": "O-1", "kind": "order", "occurred_at": "2026-01-02T03:04:05Z", "amount": "9.00"}
    entries = {"entries": [{**entry, "currency": "EUR"}]}
    leaked = await service.caller(source="shop")
    anna = (await leaked.post("/v1/accounts", {"external_ref": "cust-1"})).json()["user_id"]
    assert (await leaked.post(f"/v1/accounts/{anna}/history", entries)).status_code == 201
    assert (await command("client", "close", leaked.client_id)).status == 0
    await service.app.state.gate.reload()
    successor = await service.caller(source="shop")
    found = (await successor.post("/v1/accounts/search", {"external_ref": "cust-1"})).json()["items"]
    assert [(one["user_id"], one["external_refs"]) for one in found] == [(anna, ["cust-1"])]
    assert (await successor.post("/v1/accounts", {"external_ref": "cust-1"})).json()["user_id"] == anna
    again = (await successor.post(f"/v1/accounts/{anna}/history", entries)).json()["results"]
    assert [result["status"] for result in again] == ["there"]
    assert (await successor.get(f"/v1/accounts/{anna}/summary")).json()["amounts"] == {"EUR": "9.00"}


async def test_another_sources_reference_is_not_seen(service, caller):
    await caller.post("/v1/accounts", {"external_ref": "cust-1"})
    other = await service.caller()
    assert (await other.post("/v1/accounts/search", {"external_ref": "cust-1"})).json()["items"] == []


async def test_scopes_name_and_source_change_and_the_credentials_stay(service, command):
    made = await a_client(service, "events:read")
    changed = await command(
        "client", "change", made.client_id, "--name", "Shop 2", "--scope", "accounts:read", "--scope", "events:read",
        "--source", "second_shop", "--json",
    )  # fmt: skip
    assert changed.json == [
        {
            "client_id": made.client_id, "name": "Shop 2", "source": "second_shop", "brand": None,
            "scopes": ["accounts:read", "events:read"],
        }
    ]  # fmt: skip
    assert (await token_of(service, made)).json()["scope"] == "accounts:read events:read"
    ((actor, data),) = await service.rows("SELECT actor, data FROM event WHERE name = 'client.changed'")
    assert (actor, data) == (
        "operator",
        {
            "client_id": made.client_id, "fields": ["name", "scopes", "source"], "source": "second_shop",
            "scopes": ["accounts:read", "events:read"],
        },
    )  # fmt: skip
    same = await command("client", "change", made.client_id, "--name", "Shop 2")
    assert same.status == 0
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'client.changed'") == [(1,)]


async def test_a_token_with_what_the_client_lost_is_refused_and_any_other_holds(service, clock):
    """Within ten seconds, as after closing; who gained a scope keeps its token, and a new token holds at once."""
    made = await a_client(service, "events:read", "accounts:read")
    wide = (await token_of(service, made)).json()["access_token"]
    narrow = (await token_of(service, made, scope="events:read")).json()["access_token"]
    await change(service, made.client_id, scopes=["events:read"])
    fresh = (await token_of(service, made)).json()["access_token"]
    await service.app.state.gate.reload()
    assert [await status_with(service, token) for token in (wide, narrow, fresh)] == [401, 200, 200]
    clock.advance(seconds=1)
    await change(service, made.client_id, scopes=["events:read", "history:read"])
    gained = (await token_of(service, made)).json()["access_token"]
    assert [await status_with(service, token) for token in (narrow, gained)] == [200, 200]
    await service.app.state.gate.reload()
    assert [await status_with(service, token) for token in (narrow, gained)] == [200, 200]


async def test_a_token_of_the_former_source_is_refused(service, clock):
    made = await a_client(service, "events:read")
    token = (await token_of(service, made)).json()["access_token"]
    await change(service, made.client_id, source="elsewhere")
    await service.app.state.gate.reload()
    assert await status_with(service, token) == 401
    assert await status_with(service, (await token_of(service, made)).json()["access_token"]) == 200


REFUSED = {
    "nothing to change": (["client", "change", "cli_0"], 2, "--name"),
    "unknown": (["client", "change", "cli_0", "--name", "x"], 1, "There is no such client"),
}


@pytest.mark.parametrize(("words", "status", "reason"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_change_that_cannot_be_is_refused(command, service, words, status, reason):
    ended = await command(*words)
    assert (ended.status, ended.out) == (status, "")
    assert reason in ended.err


@pytest.mark.parametrize("given", [{"name": "a<b"}, {"scopes": ["nothing:read"]}, {"source": "Not One"}])
async def test_a_refused_change_changes_nothing(service, given):
    made: Credentials = await a_client(service, "events:read")
    with pytest.raises((rules.MalformedClientName, rules.UnknownScope, rules.MalformedSource)):
        await change(service, made.client_id, **{"name": "new", **given})
    assert await service.rows("SELECT name, scopes, source FROM client") == [("shop", ["events:read"], "shop")]
