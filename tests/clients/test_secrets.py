"""Secrets of clients: random, shown once, kept as a hash, two of them during rotation, and not to be guessed."""

import asyncio
import hashlib
import io
import logging

import pytest

from identity_service import logs
from identity_service.clients import actions as clients
from identity_service.clients import rules
from identity_service.keys import encoding
from tests.accounts.given import sql
from tests.clients.given import GRANT, a_client, a_key, assertion, key_set, proven_by, token_of


async def rotate(service, client_id: str) -> clients.Credentials:
    return await service.database.in_transaction(lambda s: clients.rotate_secret(s, client_id, now=service.clock()))


async def test_a_secret_is_random_and_only_its_hash_is_kept(service):
    """OAU-08: 256 bits; the whole database holds it nowhere."""
    made = [await a_client(service) for _ in range(20)]
    secrets = {one.client_secret for one in made}
    assert len(secrets) == 20
    for secret in secrets:
        assert secret.startswith("ids_")
        assert len(encoding.base64url_decode(secret.removeprefix("ids_"))) == 32
    kept = {row.secret_hash for row in await service.rows("SELECT secret_hash FROM client_secret")}
    assert kept == {hashlib.sha256(secret.encode()).digest() for secret in secrets}
    for table in ("client", "client_secret", "event"):
        dump = str(await service.rows(f"SELECT row_to_json(t)::text FROM {table} t"))
        assert not [secret for secret in secrets if secret in dump]


async def test_two_secrets_live_while_one_takes_over_from_the_other(service, clock):
    """OAU-08: a rotation without a gap, and not one day longer than it says."""
    made = await a_client(service)
    newer = await rotate(service, made.client_id)
    assert newer.client_id == made.client_id
    for _ in range(2):
        assert [(await token_of(service, one)).status_code for one in (made, newer)] == [200, 200]
        clock.advance(days=7, seconds=-1)
    clock.advance(days=-7, seconds=2)
    assert [(await token_of(service, one)).status_code for one in (made, newer)] == [401, 200]


async def test_there_are_never_three_secrets(service, clock):
    """OAU-08: rotating again because one has leaked ends the oldest at once."""
    made = await a_client(service)
    newer, newest = [(clock.advance(minutes=1), await rotate(service, made.client_id))[1] for _ in range(2)]
    assert [(await token_of(service, one)).status_code for one in (made, newer, newest)] == [401, 200, 200]


async def test_rotating_twice_in_one_moment_leaves_two(service):
    made = await a_client(service)
    newer, newest = await rotate(service, made.client_id), await rotate(service, made.client_id)
    answers = [(await token_of(service, one)).status_code for one in (made, newer, newest)]
    assert answers.count(200) == 2
    assert answers[-1] == 200


async def test_what_cannot_be_rotated_is_refused(service, clock):
    """A closed client gets no secret, nor does one that signs: no door would take it."""
    made, signer = await a_client(service), await a_client(service, jwks=key_set(a_key()))
    await service.database.in_transaction(lambda s: clients.close_client(s, made.client_id, now=clock()))
    for client_id, problem in (
        (made.client_id, rules.UnknownClient), ("cli_0", rules.UnknownClient),
        (signer.client_id, rules.ClientHasNoSecret),
    ):  # fmt: skip
        with pytest.raises(problem):
            await rotate(service, client_id)


async def test_the_last_use_is_noted(service, clock):
    """OAU-08: at most once an hour, so that a busy client does not write at every token."""
    made, idle = await a_client(service), await a_client(service)
    seen = []
    for hours in (0, 0, 2):
        clock.advance(hours=hours, microseconds=1)
        await token_of(service, made)
        rows = {row.id: row.last_used_at for row in await service.database.in_transaction(clients.list_clients)}
        assert rows[idle.client_id] is None
        seen.append(rows[made.client_id])
    assert seen[0] == seen[1]
    assert seen[2] == clock()


async def test_every_change_of_a_client_is_an_event_without_its_secret(service, clock):
    made = await a_client(service, "events:read")
    newer = await rotate(service, made.client_id)
    await service.database.in_transaction(lambda s: clients.close_client(s, made.client_id, now=clock()))
    rows = await service.rows("SELECT name, actor, data FROM event ORDER BY id")
    assert [row.name for row in rows] == ["client.added", "client.rotated", "client.closed"]
    assert {row.actor for row in rows} == {"operator"}
    assert {row.data["client_id"] for row in rows} == {made.client_id}
    assert made.client_secret not in str(rows)
    assert newer.client_secret not in str(rows)


@pytest.mark.parametrize("way", ["basic", "post", "assertion"])
async def test_guessing_is_limited_for_the_client_that_is_guessed_at(service, other, way):
    """OAU-09: in whatever way it is done; the right client elsewhere, and every other one here, go on."""
    key = a_key()
    made = await a_client(service, jwks=key_set(key) if way == "assertion" else None)
    bystander = await a_client(service)
    wrong = a_key()

    def guess(client_id: str) -> dict:
        match way:
            case "basic":
                return {"data": GRANT, "auth": (client_id, "guess")}
            case "post":
                return {"data": {**GRANT, "client_id": client_id, "client_secret": "guess"}}
            case _:
                return {"data": {**GRANT, **proven_by(assertion(service, client_id, wrong))}}

    answers = [await service.http.post("/oauth/token", **guess(made.client_id)) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert (await service.http.post("/oauth/token", **guess(bystander.client_id))).status_code == 401
    assert (await token_of(service, bystander)).status_code == 200
    form = proven_by(assertion(service, made.client_id, key)) if way == "assertion" else {}
    auth = None if way == "assertion" else tuple(made)
    assert (await other.http.post("/oauth/token", data={**GRANT, **form}, auth=auth)).status_code == 200


async def test_guessing_is_limited_for_the_network_it_comes_from(service, other, owner):
    """OAU-09: a thousand names are no way around it."""
    answers = [
        (await service.http.post("/oauth/token", data=GRANT, auth=(f"cli_{number}", "x"))).status_code
        for number in range(121)
    ]
    assert answers == [401] * 120 + [429]
    assert (await other.http.post("/oauth/token", data=GRANT, auth=("cli_1", "x"))).status_code == 401
    await sql(owner, "UPDATE rate_limit_counter SET count = 1000 WHERE key LIKE '%198.51.100.7/1000/%'")
    refused = await service.http.post("/oauth/token", data=GRANT, auth=("cli_x", "x"))
    assert refused.status_code == 429


async def test_many_guesses_at_once_hold_nobody_up(service):
    """OAU-09: what is counted is counted with no connection in hand, or a few dozen guesses would take them all."""
    made = await a_client(service)
    many = 4 * service.database.settings.database_pool_size
    guesses = (service.http.post("/oauth/token", data=GRANT, auth=(made.client_id, "x")) for _ in range(many))
    good, *answers = await asyncio.gather(token_of(service, made), *guesses)
    assert good.status_code == 200
    assert sorted(answer.status_code for answer in answers) == [401] * 30 + [429] * (many - 30)


async def test_nothing_secret_is_logged_even_where_everything_is(service):
    """OAU-08, LOG-03: Authlib writes tokens, secrets and assertions at DEBUG; none of it reaches our log."""
    stream = io.StringIO()
    logs.configure("json", level=logging.DEBUG, stream=stream)
    try:
        key = a_key()
        made, signer = await a_client(service), await a_client(service, jwks=key_set(key))
        text = assertion(service, signer.client_id, key)
        got = [await token_of(service, made)]
        got.append(await service.http.post("/oauth/token", data={**GRANT, **proven_by(text)}))
        issued = [answer.json()["access_token"] for answer in got]
        for door in ("introspect", "revoke"):
            await service.http.post(f"/oauth/{door}", data={"token": issued[0]}, auth=tuple(made))
        wrong = {**GRANT, "client_id": made.client_id, "client_secret": "canary-secret"}
        await service.http.post("/oauth/token", data=wrong)
        await service.http.post("/oauth/token", data={**GRANT, **proven_by(text[:-2] + "AA")})
    finally:
        logs.configure("json")
    said = stream.getvalue()
    assert said.count("request.answered") == 6
    for hidden in (*issued, text, made.client_secret, "canary", issued[0].split(".")[1], text.split(".")[1]):
        assert hidden not in said
