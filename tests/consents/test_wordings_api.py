"""Whoever asks for consent gets the text and its id from us, before the asking."""

import hashlib

import pytest

from identity_service import translations
from identity_service.consents import wordings
from tests.accounts.given import an_account
from tests.life.given import call


async def test_the_purposes_and_their_wordings_are_listed(service):
    told = (await service.http.get("/v1/wordings")).json()
    purposes = {one["purpose"]: one for one in told["purposes"]}
    assert set(purposes) == set(service.database.settings.purposes)
    assert purposes["email"]["description"] == "marketing by email"
    assert {one["id"] for one in told["items"]} == {wording_id for wording_id, _ in wordings.all_wordings()}
    for one in told["items"]:
        assert one["languages"] == sorted(translations.languages())
        assert one["current"] == (purposes[one["purpose"]]["wording"] == one["id"])


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("purpose", ["email", "phone", "post"])
async def test_the_text_that_is_given_is_the_text_that_the_ledger_names(service, caller, purpose, language):
    user_id = await an_account(caller, email="anna@example.com", locale=language)
    listed = (await service.http.get("/v1/wordings")).json()["purposes"]
    wording = next(one["wording"] for one in listed if one["purpose"] == purpose)
    told = (await service.http.get(f"/v1/wordings/{wording}", params={"language": language})).json()
    assert (told["id"], told["purpose"], told["language"]) == (wording, purpose, language)
    assert told["sha256"] == hashlib.sha256(told["text"].encode()).hexdigest()
    body = {"granted": True, "wording": wording}
    assert (await call(caller, "PUT", f"/v1/accounts/{user_id}/consents/{purpose}", body)).status_code == 202
    stored = await service.rows("SELECT id, language, text, encode(text_hash, 'hex') FROM consent_wording")
    assert stored == [(wording, language, told["text"], told["sha256"])]


async def test_a_missing_language_is_answered_in_english(service):
    told = (await service.http.get("/v1/wordings/email-2026-11?language=ja")).json()
    assert told == (await service.http.get("/v1/wordings/email-2026-11")).json()
    assert told["language"] == "en"


async def test_a_text_that_is_used_no_more_is_still_given(service, caller):
    """The ledger names it, so it can be read for ever."""
    insert = "INSERT INTO consent_wording (id, language, text, text_hash) VALUES ('email-2019', 'de', 'Ja?', '\\x00')"
    async with service.database.engine.begin() as connection:
        await connection.exec_driver_sql(insert)
    told = (await service.http.get("/v1/wordings/email-2019?language=de")).json()
    assert (told["text"], told["language"]) == ("Ja?", "de")
    listed = {one["id"]: one for one in (await service.http.get("/v1/wordings")).json()["items"]}
    assert (listed["email-2019"]["languages"], listed["email-2019"]["current"]) == (["de"], False)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("email-1999", 404, "wording_not_found"), ("email-2026-11?language=d!", 422, "invalid_shape"),
        ("email%00", 422, "invalid_shape"), ("email-2026-11?lang=de", 422, "unknown_parameter"),
    ],
)  # fmt: skip
async def test_what_is_no_wording_is_told(service, path, status, code):
    answer = await service.http.get(f"/v1/wordings/{path}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
