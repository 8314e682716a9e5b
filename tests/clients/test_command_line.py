"""The operator's commands, run as processes of their own beside the service: what they print, do and refuse."""

import json
import re
import shlex

import pytest

from identity_service.clients.actions import Credentials
from tests.clients.given import a_key, assertion, key_set, proven_by, status_with, token_of
from tests.mail.given import a_letter
from tests.source import ROOT

NEW_MASTER = "o5cRZiNgXXbM-rhyWsRGbP_UytsD5Jt1W2tGcExDhhk"


async def added(command, *words: str) -> Credentials:
    ended = await command("client", "add", "shop", "--scope", "events:read", *words, "--json")
    assert (ended.status, ended.err) == (0, "")
    return Credentials(**ended.json)


async def test_a_client_is_added_used_listed_rotated_and_closed(service, command):
    """OAU-08, OAU-10: every step answers JSON alone on standard output, and counts in the running service at once."""
    made = await added(command, "--desk")
    assert (await token_of(service, made)).status_code == 200
    rotated = Credentials(**(await command("client", "rotate", made.client_id, "--json")).json)
    assert [(await token_of(service, one)).status_code for one in (made, rotated)] == [200, 200]
    (listed,) = (await command("client", "list", "--json")).json
    assert listed["client_id"] == made.client_id
    assert (listed["name"], listed["desk"], listed["scopes"], listed["closed_at"]) == (
        "shop",
        True,
        ["events:read"],
        None,
    )
    assert listed["last_used_at"]
    token = (await token_of(service, rotated)).json()["access_token"]
    closed = await command("client", "close", made.client_id, "--json")
    assert (closed.status, closed.json["client_id"]) == (0, made.client_id)
    assert (await token_of(service, rotated)).status_code == 401
    await service.app.state.gate.reload()
    assert await status_with(service, token) == 401
    (listed,) = (await command("client", "list", "--json")).json
    assert listed["closed_at"] == closed.json["closed_at"]


async def test_without_json_the_same_is_said_for_people(service, command):
    made = await command("client", "add", "shop", "--scope", "events:read")
    words = dict(line.split() for line in made.out.splitlines())
    assert (await token_of(service, Credentials(**words))).status_code == 200
    listed = await command("client", "list")
    assert f"client_id={words['client_id']}" in listed.out
    assert words["client_secret"] not in listed.out
    closed = await command("client", "close", words["client_id"])
    assert closed.out == f"{words['client_id']} is closed.\n"


async def test_a_client_with_keys_of_its_own_gets_no_secret(service, command, tmp_path):
    """OAU-18."""
    key = a_key()
    (tmp_path / "keys.json").write_text(json.dumps(key_set(key)), encoding="utf-8")
    made = await added(command, "--jwks", str(tmp_path / "keys.json"))
    assert made.client_secret is None
    form = {"grant_type": "client_credentials", **proven_by(assertion(service, made.client_id, key))}
    assert (await service.http.post("/oauth/token", data=form)).status_code == 200
    refused = await command("client", "rotate", made.client_id)
    assert (refused.status, refused.out) == (1, "")
    assert "authenticates with its own key" in refused.err


KEY_SETS = {
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "no set": b"[]",
    "empty": b'{"keys": []}',
    "secret": json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}]}).encode(),
    "private": json.dumps({"keys": [a_key().as_dict(private=True)]}).encode(),
    "another curve": json.dumps(key_set(a_key("ES384"))).encode(),
    "two of one name": json.dumps(key_set(a_key(), a_key())).encode(),
}


@pytest.mark.parametrize("text", KEY_SETS.values(), ids=KEY_SETS.keys())
async def test_what_is_no_set_of_public_keys_is_refused_in_a_sentence(service, command, tmp_path, text):
    """OAU-18: a private key by mistake most of all."""
    (tmp_path / "keys.json").write_bytes(text)
    ended = await command("client", "add", "shop", "--scope", "events:read", "--jwks", str(tmp_path / "keys.json"))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("This is not a JSON Web Key Set of public keys")
    assert "Traceback" not in ended.err
    assert await service.rows("SELECT count(*) FROM client") == [(0,)]


REFUSED = {
    "scope": (["client", "add", "shop", "--scope", "nothing:read"], 1, "There is no scope 'nothing:read'"),
    "name": (["client", "add", "a<b", "--scope", "events:read"], 1, "A client's name must be"),
    "unknown, rotate": (["client", "rotate", "cli_0", "--json"], 1, "There is no such client"),
    "unknown, close": (["client", "close", "3W08-K7QX-M1C4"], 1, "There is no such client"),
    "no scope": (["client", "add", "shop"], 2, "--scope"),
    "no name": (["client", "add", "--scope", "events:read"], 2, "name"),
    "no id": (["client", "rotate"], 2, "client_id"),
    "option": (["client", "list", "--yaml"], 2, "--yaml"),
    "command": (["client", "open", "cli_0"], 2, "open"),
    "no such key set": (["client", "add", "shop", "--scope", "events:read", "--jwks", "/nothing"], 2, "--jwks"),
    "algorithm": (["keys", "rotate", "--algorithm", "RS512"], 2, "ES256, EdDSA or RS256"),
    "no such key": (["keys", "rewrap", "/nothing"], 2, "new_key_file"),
}


@pytest.mark.parametrize(("words", "status", "reason"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_refused_ends_with_1_and_wrong_usage_with_2(service, command, words, status, reason):
    """api.md: nothing on standard output, a sentence on the other, no traceback, and nothing changed."""
    ended = await command(*words)
    assert (ended.status, ended.out) == (status, "")
    assert reason in ended.err
    assert "Traceback" not in ended.err
    assert await service.rows("SELECT count(*) FROM client") == [(0,)]
    assert await service.rows("SELECT count(*) FROM event") == [(0,)]


async def test_a_database_that_is_away_is_said(service, command):
    ended = await command("client", "list", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert (ended.status, ended.out, ended.err) == (1, "", "The database does not answer.\n")


async def test_a_key_is_rotated_beside_the_running_service(service, command, ring, clock):
    """OAU-14, LOG-02, LOG-05: listed at once, signing ten minutes later; what is listed is no key."""
    rotated = await command("keys", "rotate", "--algorithm", "EdDSA", "--json")
    ((kid, signs_from),) = [row.values() for row in rotated.json]
    listed = (await command("keys", "list", "--json")).json
    assert [row["id"] for row in listed if row["purpose"] == "signing"][-1] == kid
    assert {tuple(row) for row in listed} == {("id", "purpose", "algorithm", "active_from", "revoked_since")}
    assert [row["active_from"] for row in listed if row["id"] == kid] == [signs_from]
    await service.app.state.gate.reload()
    assert kid in [key["kid"] for key in (await service.http.get("/oauth/jwks.json")).json()["keys"]]
    assert service.database.keys.signing(clock()).kid != kid
    clock.advance(minutes=11)
    assert service.database.keys.signing(clock()).kid == kid
    ((actor, data),) = await service.rows("SELECT actor, data FROM event WHERE name = 'keys.rotated'")
    assert (actor, data) == ("operator", {"kid": kid})


async def test_the_master_key_is_changed_and_the_old_one_says_so(service, command, ring, tmp_path):
    """ASVS 13.3.4: the service goes on with the new; whoever comes with the old is told, and changes nothing."""
    token = (await token_of(service, await added(command))).json()["access_token"]
    (tmp_path / "new.key").write_text(f"{NEW_MASTER}\n", encoding="utf-8")
    changed = await command("keys", "rewrap", str(tmp_path / "new.key"), "--json")
    assert (changed.status, changed.json) == (0, {"keys": len(ring)})
    for words in (["keys", "rotate"], ["keys", "rewrap", str(tmp_path / "new.key")]):
        refused = await command(*words)
        assert (refused.status, refused.out) == (1, "")
        assert refused.err == "The key ring was encrypted under another IDENTITY_MASTER_KEY.\n"
    started = await command("serve", IDENTITY_ENVIRONMENT="development")
    assert (started.status, started.err) == (1, refused.err)
    assert (await command("keys", "rotate", "--json", IDENTITY_MASTER_KEY=NEW_MASTER)).status == 0
    assert await status_with(service, token) == 200


BAD_KEYS = {"empty": "", "short": "AAAA", "sample": "changeme" * 6, "repeats": "A" * 43, "no base64": "%" * 43}


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_a_master_key_that_can_be_guessed_is_not_taken(service, command, ring, tmp_path, text):
    (tmp_path / "new.key").write_text(text, encoding="utf-8")
    refused = await command("keys", "rewrap", str(tmp_path / "new.key"))
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("The new master key ")
    assert [row.sealed for row in await service.rows("SELECT sealed FROM encryption_key ORDER BY id")] == [
        row["sealed"] for row in sorted(ring, key=lambda row: row["id"])
    ]


async def test_an_operator_finds_a_persons_messages_and_lifts_on_the_command_line(service, command):
    await a_letter(service, "rejected")
    (found,) = (await command("mail", "find", "Anna@example.com", "--json")).json
    assert (found["state"], found["kind"]) == ("rejected", "test")
    assert found["sentence"] in (await command("mail", "find", "anna@example.com")).out
    assert (await command("mail", "find", "nobody@example.com")).out == "There is no message of this person.\n"
    for row in (await command("mail", "suppressions", "--json")).json:
        assert (await command("mail", "lift", row["suppression_id"])).status == 0
    assert (await command("mail", "suppressions", "--json")).json == []


async def test_a_limit_is_lifted_on_the_command_line(service, command):
    await service.app.state.throttle.hit("staff-name", "1/hour", "ada")
    (row,) = (await command("limit", "list", "ada", "--json")).json
    assert (row["what"], row["who"]) == ("Sign-ins to the console with one name", "ada")
    assert (await command("limit", "list", "ben", "--json")).json == []
    assert (await command("limit", "lift", row["limit"])).out == "The limit staff-name is lifted.\n"
    assert (await command("limit", "lift", row["limit"])).status == 1
    told = await service.rows("SELECT actor, data FROM event WHERE name = 'rate_limit.lifted'")
    assert told == [("operator", {"limit": "staff-name"})]


async def test_shops_are_registered_as_the_guide_says(service, command):
    """OID-02, OID-08, OID-13: its commands as they are printed; a public or native application has no secret."""
    guide = (ROOT / "docs/sign-in.md").read_text("utf-8")
    made = []
    for line in re.findall(r"(?m)^identity-service (client .*)$", guide):
        if line.startswith("client add "):
            made.append((await command(*shlex.split(line), "--json")).json)
        else:
            words = shlex.split(line.replace("CLIENT_ID", made[-1]["client_id"]))
            assert (await command(*words, "--json")).json[0]["backchannel_logout_uri"] in words
    assert [one.get("client_secret") is None for one in made] == [False, True, True, False, False]
    shown = [(await command("client", "sign-in", one["client_id"], "--json")).json[0] for one in made]
    assert [one["kind"] for one in shown] == ["confidential", "public", "native", "confidential", "confidential"]
    assert shown[0]["redirect_uris"] == ["https://shop.example.com/callback"]


async def test_how_a_shop_signs_customers_in_is_changed(service, command):
    """OID-02, OID-10: each option of the guide's table; RS256 makes its key, which the metadata tells then."""
    given = ("--redirect-uri", "https://shop.example.com/callback")
    client_id = (await command("client", "add", "shop", *given, "--json")).json["client_id"]
    told = "https://shop.example.com/logged-out"
    options = (
        "--third-party", "--sign-in-scope", "openid", "--id-token-alg", "RS256", "--response-mode", "form_post",
        "--par", "--no-pkce", "--backchannel-logout-uri", told,
    )  # fmt: skip
    (changed,) = (await command("client", "sign-in", client_id, *options, "--json")).json
    assert changed == {
        **changed, "first_party": False, "scopes": ["openid"], "id_token_alg": "RS256", "response_mode": "form_post",
        "needs_par": True, "needs_pkce": False, "backchannel_logout_uri": told,
        "redirect_uris": ["https://shop.example.com/callback"],
    }  # fmt: skip
    await service.app.state.gate.reload()
    metadata = (await service.http.get("/.well-known/openid-configuration")).json()
    assert metadata["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]
    refused = await command("client", "sign-in", client_id, "--redirect-uri", "http://shop.example.com/")
    assert refused.status != 0
    assert "redirect URI must be canonical" in refused.err
