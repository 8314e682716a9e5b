"""Addresses that are left alone: what suppresses, for how long, what lifts it, and what a list of them tells."""

import uuid

import pytest
from sqlalchemy import select

from identity_service.messages import kinds, retries, suppressions
from identity_service.messages import rules as message_rules
from identity_service.messages.inbound import feedback
from identity_service.messages.inbound.dsn import Notice
from tests.accounts.given import an_account
from tests.mail.given import a_letter, claim, end, put


async def listed(service, caller=None) -> list[dict]:
    found = caller or await service.caller("mail:operate", name="operator")
    return (await found.get("/v1/suppressions")).json()["items"]


async def comes_back(service, message_id: str, *, kind="bounced", permanent=True, event="1") -> str:
    """Take a notice that is vouched for."""
    notice = Notice(kind, "ses", event, service.clock(), uuid.UUID(message_id), 550, "5.1.1", permanent=permanent)
    return await service.database.in_transaction(
        lambda s: feedback.apply_notice(s, notice, via="ses", now=service.clock())
    )


async def state_of(service, message_id: str) -> str:
    (row,) = await service.rows("SELECT state FROM message WHERE id = :id", id=message_id)
    return row[0]


async def test_a_refusal_of_the_address_leaves_it_alone_for_three_days(service, caller):
    message_id = await a_letter(service, "rejected")
    (found,) = await listed(service, caller)
    assert (found["scope"], found["reason"], found["domain"], found["message_id"]) == (
        "other", "hard_bounce", "example.com", message_id,
    )  # fmt: skip
    (row,) = await service.rows("SELECT suppressed_until - created_at FROM suppression")
    assert row[0].total_seconds() == 72 * 3600


@pytest.mark.parametrize("state", ["accepted", "deferred", "expired", "unconfirmed", "failed"])
async def test_no_other_ending_suppresses(service, state):
    await a_letter(service, state)
    assert await listed(service) == []


@pytest.mark.parametrize("kind", [kind for kind in message_rules.FeedbackType if kind != "bounced"])
async def test_no_other_feedback_suppresses(service, kind):
    await comes_back(service, await a_letter(service, "accepted"), kind=kind)
    assert await listed(service) == []


@pytest.mark.parametrize("permanent", [True, False])
async def test_a_bounce_suppresses_only_where_the_address_is_dead(service, permanent):
    message_id = await a_letter(service, "accepted")
    assert await comes_back(service, message_id, permanent=permanent) == "applied"
    assert len(await listed(service)) == int(permanent)


async def test_a_suppressed_address_is_not_tried_and_the_letter_says_so(service, caller):
    await a_letter(service, "rejected")
    await an_account(caller, email="anna@example.com")
    await service.deliver()
    (message,) = (await caller.get("/v1/messages?kind=welcome")).json()["items"]
    assert message["state"] == "suppressed"
    assert "We can unblock the address." in message["sentence"]
    assert service.mailbox.letters() == []


async def test_what_waits_for_a_dead_address_is_stopped_and_told(service, caller):
    user_id = await an_account(caller, email="anna@example.com")
    other = await put(service, "berta@example.com")
    await end(service, await claim(service), "deferred")
    await a_letter(service, "rejected")
    (waiting,) = (await caller.get("/v1/messages?kind=welcome")).json()["items"]
    assert waiting["state"] == "suppressed"
    assert await state_of(service, other) == "deferred"
    await service.seal()
    names = [e["type"] for e in (await caller.get(f"/v1/accounts/{user_id}/events")).json()["items"]]
    assert any(name.endswith("mail.suppressed") for name in names)


async def test_other_addresses_of_the_domain_are_written_to(service):
    await a_letter(service, "rejected")
    assert await state_of(service, await put(service, "berta@example.com")) == "queued"


async def test_when_its_time_is_over_the_address_is_tried_again(service):
    await a_letter(service, "rejected")
    service.clock.advance(hours=72)
    assert await listed(service) == []
    assert await state_of(service, await put(service)) == "queued"


async def refuse_again(service, **after) -> float:
    """Have the address refuse another letter some time later; return for how many hours it is left alone."""
    service.clock.advance(**after)
    await put(service, anyway=True)
    await end(service, await claim(service), "rejected")
    (row,) = await service.rows(
        "SELECT extract(epoch FROM suppressed_until - :now)::float FROM suppression", now=service.clock()
    )
    return row[0] / 3600


@pytest.mark.parametrize(
    ("days", "hours"),
    [([1], [720]), ([6], [720]), ([8], [72]), ([10, 2], [72, 720]), ([1, 20], [720, 720 - 480]), ([1, 40], [720, 72])],
)
async def test_two_refusals_within_a_week_count_for_a_month(service, days, hours):
    """The third of a row is measured from the second, and none shortens what holds."""
    await a_letter(service, "rejected")
    assert [await refuse_again(service, days=number) for number in days] == hours


async def test_one_letter_that_comes_back_twice_is_one_refusal(service):
    """By its notice and by a provider's hook, say."""
    message_id = await a_letter(service, "accepted")
    await comes_back(service, message_id, event="1")
    await comes_back(service, message_id, event="2")
    (row,) = await service.rows("SELECT suppressed_until - created_at FROM suppression")
    assert row[0].days == 3


async def test_a_letter_that_is_taken_lifts_it(service, caller):
    await a_letter(service, "rejected")
    await put(service, anyway=True)
    await end(service, await claim(service), "accepted")
    assert await listed(service, caller) == []
    assert await service.rows("SELECT lifted_by FROM suppression") == [("delivery",)]


async def test_a_bounce_that_overtook_the_relays_own_answer_is_not_lifted_by_it(service):
    message_id = await put(service)
    claimed = await claim(service)
    assert await comes_back(service, message_id) == "kept"
    await end(service, claimed, "accepted")
    assert await state_of(service, message_id) == "bounced"
    assert len(await listed(service)) == 1


async def test_a_person_may_lift_it(service, caller):
    await a_letter(service, "rejected")
    (found,) = await listed(service, caller)
    answer = await caller.post(f"/v1/suppressions/{found['id']}/lift")
    assert (answer.status_code, answer.json()) == (200, found)
    assert await listed(service, caller) == []
    assert await state_of(service, await put(service)) == "queued"
    await service.seal()
    (event,) = [e for e in (await caller.get("/v1/events")).json()["items"] if "suppression_lifted" in e["type"]]
    assert event["data"]["suppression_id"] == found["id"]
    assert "example.com" not in str(event["data"])


async def test_what_is_lifted_or_never_was_cannot_be_lifted(service, caller):
    await a_letter(service, "rejected")
    (found,) = await listed(service, caller)
    for suppression in (found["id"], found["id"], str(uuid.uuid4())):
        answer = await caller.post(f"/v1/suppressions/{suppression}/lift")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_suppression")
    assert len(await service.rows("SELECT 1 FROM suppression WHERE lifted_at IS NOT NULL")) == 1


async def test_lifting_under_the_same_key_is_answered_again(service, caller):
    """API-02: a POST without a body is repeatable too."""
    await a_letter(service, "rejected")
    (found,) = await listed(service, caller)
    path, key = f"/v1/suppressions/{found['id']}/lift", {"Idempotency-Key": "once"}
    first, second = [await caller.post(path, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"


async def test_after_it_was_lifted_the_next_refusal_makes_another(service, caller):
    await a_letter(service, "rejected")
    (found,) = await listed(service, caller)
    await caller.post(f"/v1/suppressions/{found['id']}/lift")
    await a_letter(service, "rejected")
    (again,) = await listed(service, caller)
    assert again["id"] != found["id"]


async def test_asks_and_the_rest_are_counted_apart(service):
    """So that `suppressed` on a page never tells a stranger that we have written here before."""
    await a_letter(service, "rejected")
    (row,) = await service.rows("SELECT recipient_hash FROM suppression")

    async def live(kind: str) -> bool:
        held = suppressions.suppression_values(row[0], kind, now=service.clock())
        return await service.database.in_transaction(lambda s: s.scalar(select(suppressions.IS_SUPPRESSED), held))

    assert [kind for kind in kinds.KINDS if not await live(kind)] == [
        kind for kind, rules in kinds.KINDS.items() if rules.asked_for
    ]


async def test_the_list_tells_a_domain_and_no_address(service, caller):
    """NOM-05."""
    await a_letter(service, "rejected")
    (row,) = await service.rows("SELECT recipient_hash FROM suppression")
    text = (await caller.get("/v1/suppressions")).text
    assert "anna" not in text
    assert row[0].hex() not in text


async def test_a_long_list_is_read_page_by_page(service, caller):
    for number in range(5):
        await a_letter(service, "rejected", f"customer{number}@example.com")
    answer = (await caller.get("/v1/suppressions?limit=2")).json()
    found = [answer["items"]]
    while answer["next"]:
        answer = (await caller.get(f"/v1/suppressions?limit=2&after={answer['next']}")).json()
        found.append(answer["items"])
    assert [len(page) for page in found] == [2, 2, 1]
    assert len({item["id"] for page in found for item in page}) == 5


async def test_a_person_may_try_anyway(service):
    """Send again goes past a suppression for whoever may, and is an event."""
    message_id = await a_letter(service, "suppressed")
    successor = await service.database.in_transaction(
        lambda s: retries.retry_message(
            s, uuid.UUID(message_id), relay=None, despite_suppression=True, actor="operator", now=service.clock()
        )
    )
    assert await state_of(service, str(successor)) == "queued"
    assert await service.deliver() == 1
