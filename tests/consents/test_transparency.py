"""NOM-04: how many letters of which class were written on which day: a recount gives the same, and marketing is 0."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from identity_service.audit import actions as audit
from identity_service.messages import kinds, transparency
from tests.accounts.given import an_account
from tests.consents.given import a_customer, propose

WHERE = "/.well-known/mail-transparency"
KINDS = "SELECT purpose, count(*) FROM message GROUP BY 1"


async def told(service) -> dict:
    answer = await service.http.get(WHERE)
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture
async def letters(service, caller):
    """Letters of every class, on several days."""
    customer = await a_customer(caller, service)
    await customer.grants()
    service.clock.advance(days=1)
    later = await service.caller(name="later")
    for name in ("ben", "carl"):
        await propose(later, await an_account(later, email=f"{name}@example.com"))
    service.clock.advance(days=2)


async def test_what_is_published_equals_a_recount(service, letters):
    """NOM-04: from the rows themselves, day by day and class by class."""
    published = await told(service)
    counted = Counter()
    for at, purpose in await service.rows("SELECT created_at, purpose FROM message"):
        counted[f"{at:%Y-%m-%d}", purpose] += 1
    shown = Counter({
        (day["day"], purpose): day[purpose] for day in published["days"] for purpose in kinds.PURPOSES if day[purpose]
    })  # fmt: skip
    assert shown == counted
    assert {purpose for _, purpose in counted} == set(kinds.PURPOSES)
    assert {day["marketing"] for day in published["days"]} == {0}


async def test_every_one_of_the_last_90_days_is_there(service, letters):
    """NOM-04: a day without letters says 0; one that is missing was left out, and a monitor sees it."""
    days = [day["day"] for day in (await told(service))["days"]]
    today = service.clock().date()
    assert days == [str(today - timedelta(days=back)) for back in reversed(range(90))]


async def test_a_letter_of_the_91st_day_is_not_counted_and_one_of_the_90th_is(service, caller):
    await an_account(caller, email="anna@example.com")
    service.clock.advance(days=89)
    assert sum(day["account"] for day in (await told(service))["days"]) == 1
    service.clock.advance(days=1)
    assert sum(day["account"] for day in (await told(service))["days"]) == 0


async def test_the_statement_signs_the_same_counts_and_the_head_of_the_seals(service, letters, jose):
    """NOM-04: checked by other code than ours."""
    while await service.seal():
        pass
    head = await service.database.in_transaction(lambda s: audit.publish_checkpoint(s, now=service.clock()))
    published = await told(service)
    assert published["head"] == {"position": head.position, "seal": head.seal}
    checked = await jose(published["statement"], typ="mail-transparency+jwt", issuer=service.database.settings.issuer)
    assert checked["claims"]["days"] == published["days"]
    assert checked["claims"]["head"] == published["head"]


async def test_marketing_is_counted_and_not_just_written_down(service, caller, owner):
    """NOM-04: were the CHECK taken away and such a letter written, the counter would show it."""
    await an_account(caller, email="anna@example.com")
    day = str(service.clock().date())
    async with owner.connect() as connection, connection.begin() as work:
        await connection.execute(text("ALTER TABLE message DROP CONSTRAINT fk_message_kind_purpose"))
        await connection.execute(text("UPDATE message SET purpose = 'marketing'"))
        wide = {"first": service.clock() - timedelta(days=2), "end": service.clock() + timedelta(days=2)}
        rows = (await connection.execute(transparency._COUNT, wide)).all()
        await work.rollback()
    assert [(str(row[0]), row[1], row[2]) for row in rows] == [(day, "marketing", 1)]
