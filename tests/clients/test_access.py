"""The gate before every door: where a token stands, which scope opens what, and that nothing stands in for a token."""

import json
import re

import pytest
from fastapi.routing import iter_route_contexts

from identity_service.web import scopes as web_scopes
from tests.clients.given import a_client, token_of

USER_ID = "3W08-K7QX-M1C4"


async def test_a_remembered_token_ends_with_the_second_it_names(service, clock):
    """OAU-12."""
    token = (await token_of(service, await a_client(service))).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    clock.now = clock.now.replace(microsecond=0)
    assert (await service.http.get("/v1/events", headers=headers)).status_code == 200
    clock.advance(seconds=599)
    assert (await service.http.get("/v1/events", headers=headers)).status_code == 200
    clock.advance(seconds=1)
    assert (await service.http.get("/v1/events", headers=headers)).status_code == 401


ELSEWHERE = {
    "nowhere": {},
    "query": {"params": {"access_token": "TOKEN"}},
    "cookie": {"headers": {"Cookie": "access_token=TOKEN"}},
    "another header": {"headers": {"X-Access-Token": "TOKEN"}},
    "no scheme": {"headers": {"Authorization": "TOKEN"}},
    "scheme alone": {"headers": {"Authorization": "Bearer "}},
    "two tokens": {"headers": {"Authorization": "Bearer TOKEN TOKEN"}},
    "list": {"headers": {"Authorization": "Bearer TOKEN, Bearer TOKEN"}},
    "basic": {"headers": {"Authorization": "Basic TOKEN"}},
    "DPoP": {"headers": {"Authorization": "DPoP TOKEN"}},
    "two headers": {"headers": [("Authorization", "Bearer TOKEN"), ("Authorization", "Bearer TOKEN")]},
}


@pytest.mark.parametrize("place", ELSEWHERE)
async def test_a_token_stands_in_one_header_alone(service, caller, place):
    """OAU-28, RFC 6750, 2: and `Bearer` in any case."""
    options = json.loads(json.dumps(ELSEWHERE[place]).replace("TOKEN", caller.token))
    if isinstance(options.get("headers"), list):
        options["headers"] = [tuple(pair) for pair in options["headers"]]
    refused = await service.http.get("/v1/events", **options)
    if place == "query":
        # That such a parameter does not exist is said to everybody, before anything is asked of a token.
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_parameter")
    else:
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    in_body = {"access_token": caller.token, "user_ids": [USER_ID]}
    assert (await service.http.post("/v1/accounts/verifications", json=in_body)).status_code == 401
    good = await service.http.get("/v1/events", headers={"Authorization": f"bearer {caller.token}"})
    assert good.status_code == 200


OPEN = ["/v1/audit/checkpoints", "/v1/wordings", "/v1/wordings/{wording_id}"]
"""Doors under /v1 without a token: whoever keeps our checkpoints, or reads what people agree to, need not be known."""


def guarded(app):
    """Yield every door for services as the OpenAPI document tells of it: its scopes, and a request that fits it."""
    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            if path.startswith("/v1/") and path not in OPEN:
                (requirement,) = operation["security"]
                body = {"json": {"user_id": USER_ID, "client_id": "cli_0"}} if "requestBody" in operation else {}
                yield (method.upper(), filled(path), body, set(requirement["clientCredentials"]))


async def test_every_door_for_services_asks_for_a_token(service):
    """ATT-52, OAU-28: whoever is named in the body is not thereby the caller."""
    found = list(guarded(service.app))
    assert len(found) > 10
    for method, path, body, _ in found:
        refused = await service.http.request(method, path, **body)
        assert (refused.status_code, refused.json()["code"]) == (401, "missing_token"), (method, path)
        assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", OPEN)
async def test_what_is_open_asks_for_nothing_and_says_so(service, path):
    """ATT-52: open on purpose, and only to be read."""
    assert [(method, told["security"]) for method, told in service.app.openapi()["paths"][path].items()] == [
        ("get", [])
    ]
    assert (await service.http.get(path.format(wording_id="email-2026-11"))).status_code == 200


async def test_every_route_under_v1_is_among_them(service):
    """ATT-52: a door that is left out of the document would be left out of the test above."""
    told = {path for path in service.app.openapi()["paths"] if path.startswith("/v1/")}
    known = {route.path for route in iter_route_contexts(service.app.routes) if route.path and route.methods}
    assert {path for path in known if path.startswith("/v1")} == told


async def test_every_door_refuses_who_lacks_its_scope_and_names_it(service):
    """OAU-28, ATT-51: with all other scopes together it stays shut; sentence and header say which is missing."""
    for method, path, body, scopes in guarded(service.app):
        assert scopes, (method, path)
        assert scopes <= web_scopes.SCOPES.keys()
        for scope in scopes:
            caller = await service.caller(*(web_scopes.SCOPES.keys() - {scope}))
            refused = await service.http.request(method, path, headers=caller.headers, **body)
            assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope"), (method, path)
            assert refused.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
            assert refused.json()["scope"] == scope
            assert scope in refused.json()["detail"]


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "00000000-0000-4000-8000-000000000000", path.replace("{user_id}", USER_ID))


async def test_nobody_grants_himself_a_scope(service):
    """ATT-51: not in the form, not in a body, not by asking again with what he has."""
    caller = await service.caller("accounts:write")
    given = {"scopes": ["events:read"], "scope": "events:read", "role": "admin"}
    refused = await caller.post("/v1/accounts", {"email": "anna@example.com", **given})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")
    form = {"grant_type": "client_credentials", "scopes": "events:read", "role": "admin"}
    again = await service.http.post("/oauth/token", data=form, auth=(caller.client_id, caller.client_secret))
    assert again.json()["scope"] == "accounts:write"
