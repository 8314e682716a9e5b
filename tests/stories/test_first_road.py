"""The first road, whole: a service registers a customer by email alone, the letter leaves, a support tool verifies."""

from tests.conftest import Service


async def test_a_customer_exists_by_address_alone_and_gets_the_id_by_mail(service: Service):
    shop = await service.caller("accounts:write")
    made = await shop.post("/v1/accounts", {"email": "anna@example.com"})
    assert made.status_code == 201
    user_id = made.json()["user_id"]
    assert made.headers["Location"] == f"/v1/accounts/{user_id}"
    assert made.json()["promise"].startswith("We'll never send you marketing.")
    assert made.json()["marketing"] == {"email": "never", "phone": "never", "post": "never"}

    assert await service.deliver() == 1
    (letter,) = service.mailbox.letters("anna@example.com")
    assert letter["subject"] == f"Your User ID is {user_id}"
    assert user_id in letter["text"]
    assert user_id in letter["html"]
    assert "We'll never send you marketing." in letter["text"]

    desk = await service.caller("accounts:verify", name="desk")
    verified = await desk.post("/v1/accounts/verifications", {"user_ids": [user_id.lower().replace("-", " ")]})
    assert verified.json()["results"] == [
        {"input": user_id.lower().replace("-", " "), "user_id": user_id, "status": "valid", "kind": "consumer",
         "marketing": "never"}
    ]  # fmt: skip


async def test_a_mistyped_id_is_answered_with_the_right_suggestion(service: Service, caller):
    user_id = (await caller.post("/v1/accounts", {"email": "anna@example.com"})).json()["user_id"]
    wrong = ("0" if user_id[0] != "0" else "1") + user_id[1:]
    answer = await caller.post("/v1/accounts/verifications", {"user_ids": [wrong]})
    (result,) = answer.json()["results"]
    assert result["status"] == "malformed"
    assert user_id in [suggestion["user_id"] for suggestion in result["suggestions"]]


async def test_the_feed_shows_it_all_in_order(service: Service, caller):
    user_id = (await caller.post("/v1/accounts", {"email": "anna@example.com"})).json()["user_id"]
    await service.deliver()
    await service.seal()
    answer = await caller.get("/v1/events")
    mine = [event["type"] for event in answer.json()["items"] if event["subject"] == user_id]
    assert mine == ["account.registered", "mail.queued", "mail.accepted"]
    assert "anna" not in answer.text


async def test_a_german_customer_gets_a_german_letter(service: Service, caller):
    await caller.post("/v1/accounts", {"email": "jürgen@example.com".replace("ü", "ue"), "locale": "de"})
    await service.deliver()
    (letter,) = service.mailbox.letters()
    assert letter["subject"].startswith("Ihre Kundennummer ist ")
    assert "Wir senden Ihnen niemals Werbung." in letter["text"]
    assert letter["headers"]["Content-Language"] == "de"
