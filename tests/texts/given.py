"""A customer with a telephone number, and the texts that reach it."""

import re

from identity_service.messages import actions as messages
from identity_service.messages.delivery import reaper
from identity_service.messages.delivery.text import TextSender
from identity_service.values.phone_numbers import PhoneNumber
from tests.browser import Browser
from tests.conftest import Service
from tests.texts.carrier import FakeCarrier

NUMBER, OTHER = "+4915112345678", "+4915212345699"
ME = "/me/numbers"


def a_number(last: int, prefix: str = "+491511234") -> PhoneNumber:
    return PhoneNumber(f"{prefix}{last:04d}", "DE")


class Texts:
    """The outbox of texts beside two carriers, A and B."""

    def __init__(self, service: Service, a: FakeCarrier, b: FakeCarrier) -> None:
        self.service, self.a, self.b = service, a, b
        self.database = service.database

    async def put(self, to: PhoneNumber | None = None, **options):
        """Enqueue a text that confirms a number, without an account; return its id."""
        self.id = await self.database.in_transaction(
            lambda s: messages.enqueue(
                s, "number_check", to=to or PhoneNumber(NUMBER, "DE"), locale="en", cause="phone_number.added",
                actor="customer", now=self.service.clock(), **{"user_id": None, "facts": {"code": "482913"}, **options},
            )
        )  # fmt: skip
        return self.id

    async def turn(self) -> int:
        """Bring what is due, once."""
        sender = TextSender(self.database, clock=self.service.clock)
        sender.relays = getattr(self, "relays", sender.relays)
        self.relays = sender.relays
        return await sender.once()

    async def next_turn(self) -> int:
        ((due,),) = await self.service.rows("SELECT next_attempt_at FROM message WHERE id = :id", id=self.id)
        assert due is not None, await self.state()
        self.service.clock.now = max(self.service.clock.now, due)
        return await self.turn()

    async def tend(self) -> None:
        now = self.service.clock()
        await self.database.in_transaction(lambda s: reaper.release_expired_leases(s, now=now))
        await self.database.in_transaction(lambda s: reaper.expire_messages(s, now=now))

    async def message(self) -> dict:
        caller = await self.service.caller("messages:read", "accounts:read_personal", name="looker")
        answer = await caller.get(f"/v1/messages/{self.id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def state(self) -> str:
        ((state,),) = await self.service.rows("SELECT state FROM message WHERE id = :id", id=self.id)
        return state

    async def tries(self) -> list[tuple[str | None, str]]:
        return [(e["relay"], e["kind"]) for e in (await self.message())["timeline"] if e["attempt"] is not None]


def code_in(text: str) -> str:
    """The code in the line that a browser reads."""
    return re.search(r"^@\S+ #(\S+)$", text, re.M)[1]


async def add(texts: Texts, browser: Browser, number: str = NUMBER) -> str:
    """Add a number at the page, and read the code from the text; a page may say why it is not added."""
    await browser.open(ME)
    page = await browser.send(ME, number=number)
    assert page.status_code == 200, browser.text
    await texts.turn()
    return code_in(texts.a.taken[-1].text)


async def confirm(browser: Browser, code: str):
    """Type the code at the first form that asks for one."""
    await browser.open(ME)
    action = re.search(r'action="(/me/numbers/[0-9a-f-]+/confirm)"', browser.page.text)
    assert action, browser.text
    return await browser.send(action[1], code=code)


async def number_ids(service: Service) -> list[str]:
    return [str(row.id) for row in await service.rows("SELECT id FROM phone_number ORDER BY added_at, id")]
