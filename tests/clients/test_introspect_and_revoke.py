"""A client learns of its own tokens alone, takes them back, and what is taken back is dead in every process."""

import asyncio

import pytest

from identity_service.clients import actions as clients
from identity_service.database.transactions import Database
from identity_service.key_store import actions as key_store
from identity_service.keys.signing import InvalidToken
from identity_service.web import authentication
from tests.clients.given import a_client, signed, status_with, token_of

INACTIVE = b'{"active":false}'
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


async def call(service, door: str, made, token: str, **form: str):
    return await service.http.post(f"/oauth/{door}", data={"token": token, **form}, auth=tuple(made))


async def fresh(service, made) -> str:
    return (await token_of(service, made)).json()["access_token"]


async def test_a_client_reads_its_own_token(service):
    """OAU-29, RFC 7662, 2.2: and the answer is kept nowhere."""
    made = await a_client(service, "events:read")
    answer = await call(service, "introspect", made, await fresh(service, made))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.json()
    assert said.keys() == {
        "active", "token_type", "iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope", "desk", "source",
    }  # fmt: skip
    assert (said["active"], said["client_id"], said["scope"]) == (True, made.client_id, "events:read")
    assert said["exp"] - said["iat"] == 600


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "something"])
async def test_a_hint_changes_nothing(service, hint):
    """RFC 7662, 2.1 and RFC 7009, 2.1: it helps to look, and we need no help."""
    made = await a_client(service)
    token = await fresh(service, made)
    assert (await call(service, "introspect", made, token, token_type_hint=hint)).json()["active"] is True
    assert (await call(service, "revoke", made, token, token_type_hint=hint)).status_code == 200
    assert (await call(service, "introspect", made, token)).content == INACTIVE


async def test_of_any_other_token_nothing_is_said(service, clock):
    """OAU-29: unknown, foreign, forged, expired, taken back: each the very same bytes."""
    made, another = await a_client(service), await a_client(service)
    mine, revoked, foreign = [await fresh(service, who) for who in (made, made, another)]
    await call(service, "revoke", made, revoked)
    key = service.database.keys.signing(clock())
    id_token = signed({"alg": "ES256", "kid": key.kid, "typ": "JWT"}, {"sub": made.client_id}, key)
    for token in (
        "x",
        foreign,
        revoked,
        mine[:-3] + "AAA",
        id_token,
        made.client_secret,
        "x" * 9000,
        "é",
        "a.b.c",
        "\x7f",
    ):
        answer = await call(service, "introspect", made, token)
        assert (answer.status_code, answer.content) == (200, INACTIVE), token[:40]
    assert (await call(service, "introspect", made, mine)).json()["active"] is True
    clock.advance(minutes=10)
    assert (await call(service, "introspect", made, mine)).content == INACTIVE


@pytest.mark.parametrize("door", ["introspect", "revoke"])
@pytest.mark.parametrize("form", [{}, {"token": ""}, {"tokens": "x"}], ids=["nothing", "empty", "another name"])
async def test_the_token_must_be_given(service, door, form):
    made = await a_client(service)
    answer = await service.http.post(f"/oauth/{door}", data={"a": "b", **form}, auth=tuple(made))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_looking_for_tokens_by_trying_is_limited(service, other):
    """OAU-29: per client; its own tokens and everybody else's questions are not counted."""
    made, another = await a_client(service), await a_client(service)
    mine = await fresh(service, another)
    answers = [await call(service, "introspect", made, f"guess-{number}") for number in range(140)]
    assert {answer.status_code for answer in answers[:100]} == {200}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert (await call(other, "introspect", made, "guess")).status_code == 429
    assert (await call(other, "introspect", another, mine)).json()["active"] is True
    assert (await call(other, "introspect", another, "guess")).content == INACTIVE


async def test_a_revoked_token_is_dead_in_a_process_that_has_just_taken_it(service, other, clock):
    """OAU-10, OAU-30: the second process looks every 5 s; its memory of the token does not help it."""
    made = await a_client(service)
    token, kept = await fresh(service, made), await fresh(service, made)
    for process in (service, other):
        assert await status_with(process, token) == await status_with(process, kept) == 200
    assert (await call(service, "revoke", made, token)).status_code == 200
    assert (await call(other, "introspect", made, token)).content == INACTIVE
    clock.advance(seconds=5)
    for process in (service, other):
        await process.app.state.gate.reload()
        assert await status_with(process, token) == 401
        assert await status_with(process, kept) == 200


async def test_a_closed_client_is_dead_in_a_process_that_has_just_taken_it(service, other, clock):
    """OAU-10, authentik CVE-2025-64521: no new token at once; the issued ones with the next look."""
    made, another = await a_client(service), await a_client(service)
    token, kept = await fresh(other, made), await fresh(other, another)
    assert await status_with(service, token) == await status_with(other, token) == 200
    await service.database.in_transaction(lambda s: clients.close_client(s, made.client_id, now=clock()))
    for process in (service, other):
        assert (await token_of(process, made)).status_code == 401
        assert (await call(process, "introspect", made, token)).status_code == 401
    clock.advance(seconds=5)
    for process in (service, other):
        await process.app.state.gate.reload()
        assert await status_with(process, token) == 401
        assert await status_with(process, kept) == 200


async def test_a_process_looks_every_five_seconds_and_goes_on_when_the_database_was_away(service, settings, clock):
    """OAU-10: taking back works by this look; one that fails must not be the last."""
    made = await a_client(service)
    token = await fresh(service, made)
    await call(service, "revoke", made, token)
    away = Database(settings, NOWHERE)
    gate = authentication.TokenVerifier(
        away, clock, load_clients=clients.load_states,
        load_keys=lambda session: key_store.load_keys(session, settings.key()),
    )  # fmt: skip
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            gate._database = service.database
        if len(paused) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await gate.keep_fresh(pause)
    assert paused == [5.0] * 4
    with pytest.raises(InvalidToken):
        gate.check(token)
    assert gate.check(await fresh(service, made)).client_id == made.client_id
    await away.close()


async def test_nobody_takes_back_the_token_of_another(service):
    """OAU-30, RFC 7009, 2.1: answered like an unknown one, and nothing happens."""
    made, another = await a_client(service), await a_client(service)
    token = await fresh(service, made)
    answers = [await call(service, "revoke", another, text) for text in (token, "x", token[:-3] + "AAA")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"{}")}
    await service.app.state.gate.reload()
    assert await status_with(service, token) == 200
    assert await service.rows("SELECT count(*) FROM revoked_token") == [(0,)]


async def test_taking_back_twice_or_at_once_is_the_same(service):
    """OAU-30."""
    made = await a_client(service)
    token = await fresh(service, made)
    answers = await asyncio.gather(*(call(service, "revoke", made, token) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert await service.rows("SELECT count(*) FROM revoked_token") == [(1,)]


async def test_what_is_taken_back_is_remembered_until_it_would_have_ended(service, clock, owner):
    """OAU-30: upkeep forgets nothing that could still be used."""
    made = await a_client(service)
    token = await fresh(service, made)
    await call(service, "revoke", made, token)
    await service.database.in_transaction(clients.purge_tokens)
    await service.app.state.gate.reload()
    assert await status_with(service, token) == 401
    ((expires_at,),) = await service.rows("SELECT expires_at FROM revoked_token")
    assert expires_at.timestamp() == int(clock().timestamp()) + 600
