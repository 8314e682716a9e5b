"""Letters in every state, made by the outbox's own verbs, and relays to bring them to."""

import asyncio
import uuid

from identity_service.messages import actions as messages
from identity_service.messages import budget
from identity_service.messages import rules as message_rules
from identity_service.messages.delivery import queue
from identity_service.messages.delivery.queue import AttemptReport, AttemptResult
from identity_service.settings import Relay
from identity_service.values import email_addresses

TAKEN = AttemptReport(
    "eod", "accepted", "accepted", 250, "2.0.0", "2.0.0 ok: queued as 77", relay="first", queue_id="77"
)
LATER = AttemptReport("rcpt", "transient", "transient", 451, "4.3.0", "4.3.0 later", relay="first")
UNKNOWN = AttemptReport("eod", "unknown", "unknown", reply="no answer within 60 s", relay="first")
NO_SUCH = AttemptReport("rcpt", "permanent", "permanent.address", 550, "5.1.1", "5.1.1 no such user", relay="first")
ABORTED = AttemptReport("claimed", "aborted", "not_wanted")
ENDINGS = {
    "accepted": TAKEN, "deferred": LATER, "rejected": NO_SUCH, "failed": ABORTED, "cancelled": ABORTED,
    "expired": LATER, "unconfirmed": UNKNOWN,
}  # fmt: skip


async def put(service, to: str = "anna@example.com", kind: str = "test", **options) -> str:
    """Put a letter into the outbox; return its id."""
    address = email_addresses.parse(to, special_use=True)
    given = {
        "user_id": None,
        "locale": "en",
        "cause": "account.registered",
        "actor": "operator",
        "now": service.clock(),
        **options,
    }
    return str(await service.database.in_transaction(lambda s: messages.enqueue(s, kind, to=address, **given)))


async def claim(service, priority: int = 0) -> queue.ClaimedMessage:
    """Take the one letter of a priority that is due."""
    now = service.clock()
    (claimed,), _ = await service.database.in_transaction(
        lambda s: queue.claim_messages(s, worker="w", priority=priority, limit=1, relay="first", now=now)
    )
    return claimed


async def end(service, claimed: queue.ClaimedMessage, state: str, report: AttemptReport | None = None, **step) -> None:
    """End a lease in this state."""
    due = {"next_attempt_at": message_rules.AFTER_UNKNOWN[0] + service.clock()} if state == "deferred" else {}
    finish = AttemptResult(
        claimed, claimed.attempts, report or ENDINGS[state],
        message_rules.Transition(state, **{"possibly_sent": state == "unconfirmed", **due, **step}),
    )  # fmt: skip
    await service.database.in_transaction(lambda s: queue.record_results(s, [finish], now=service.clock()))


async def a_letter(service, state: str, to: str = "anna@example.com", **options) -> str:
    """Return the id of a letter in this state."""
    if state == "limited":
        for _ in range(budget.SHARES["about_account"].per_hour):
            await put(service, to, **options)
        return await put(service, to, **options)
    if state == "suppressed":
        await a_letter(service, "rejected", to)
        return await put(service, to, **options)
    message_id = await put(service, to, **options)
    if state == "queued":
        return message_id
    claimed = await claim(service)
    assert claimed.id == uuid.UUID(message_id)
    if state in ("delivered", "bounced"):
        await end(service, claimed, "accepted")
        await service.database.in_transaction(
            lambda s: queue.apply_feedback(s, claimed.id, state, code=None, enhanced=None, now=service.clock())
        )
    elif state != "sending":
        await end(service, claimed, state)
    return message_id


def relays(service, *servers, **options) -> tuple[Relay, ...]:
    """Let the service know these servers as relays `a`, `b`, …"""
    named = zip("abc", servers, strict=False)
    found = tuple(Relay(name=n, host="127.0.0.1", port=s.port, **{"tls": "none", **options}) for n, s in named)
    settings = service.database.settings.model_copy(update={"relays": found})
    service.database.settings = settings
    return found


async def everything_read(service) -> None:
    """Wait until the bounce server has read all that it stored."""
    async with asyncio.timeout(60):
        while await service.rows("SELECT 1 FROM inbound_mail WHERE unread IS NOT NULL"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
