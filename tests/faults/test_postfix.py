"""What really comes back: a letter of ours through a real Postfix, and its notices at our door (case 24 of the outbox).

The notices are Postfix's own, made because a scripted next hop refused or put off the letter. So these tests hold what
no sample of ours can: that a real server keeps our envelope sender and envelope id, and says Action and Status as we
read them.
"""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from identity_service.messages import rendering
from identity_service.messages.delivery.sender import OutboxSender
from identity_service.messages.delivery.smtp import Timeouts
from identity_service.messages.inbound import bounce_server
from identity_service.settings import Relay
from tests.faults import postfix
from tests.faults.conftest import Road
from tests.faults.postfix import Ports, Postfix
from tests.faults.relay import always
from tests.mail.given import everything_read
from tests.mail.test_returned_mail import dsn

pytestmark = pytest.mark.skipif(postfix.missing() is not None, reason=postfix.missing() or "")
over_both = pytest.mark.parametrize("speaks", ["smtp", "lmtp"])


class Tour:
    """A letter's way: our sender, Postfix, the next hop (the road's relay `b`), and our door for what returns."""

    def __init__(self, road: Road, tls, ports: Ports, *, speaks: str, lifetime: str) -> None:
        self.road, self.next_hop, self.speaks = road, road.b, speaks
        self.postfix = Postfix(ports, tls, door=speaks, lifetime=lifetime)
        authority = tls.folder / "certificate.pem"
        road.use(Relay(name="postfix", host="127.0.0.1", port=ports.relay, tls="starttls", ca_file=authority))
        road.sender = OutboxSender(
            road.database, rendering.load_builders(), clock=road.service.clock, timeouts=Timeouts()
        )

    async def open_door(self) -> None:
        port, lmtp = self.postfix.ports.door, self.speaks == "lmtp"
        self.door = await bounce_server.listen_for_bounces(self.road.service.database, "127.0.0.1", port, lmtp=lmtp)

    async def send(self) -> dict:
        """Hand one letter to Postfix."""
        await self.road.put()
        await self.road.turn()
        message = await self.road.message()
        assert "accepted" in [entry["kind"] for entry in message["timeline"]], message
        key = self.road.database.keys.internal()
        self.return_address = rendering.return_address(self.road.id.hex, "identity.example", key)
        self.envelope_id = rendering.envelope_id(self.road.id.hex, key)
        return message

    async def forge(self, raw: bytes, to: str) -> None:
        """Hand Postfix a notice that somebody else made."""

        def hand_over() -> None:
            with smtplib.SMTP("127.0.0.1", self.postfix.ports.relay, local_hostname="mx.example.org") as smtp:
                smtp.sendmail("", [to], raw)

        await asyncio.to_thread(hand_over)

    async def until(self, look: Callable[[], Awaitable[list]]) -> list:
        """Wait for what Postfix does in its own time."""
        for _ in range(1200):
            if found := await look():
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(self.postfix.log)

    async def returned(self, kind: str) -> dict:
        """Wait for a notice, and return its entry in the letter's timeline."""

        async def kept() -> list:
            return await self.road.service.rows("SELECT 1 FROM feedback WHERE type = :kind", kind=kind)

        await self.until(kept)
        (entry,) = [e for e in (await self.road.message())["timeline"] if e["kind"] == kind]
        return entry

    async def inbound(self) -> list:
        """Return every notice that the bounce server has kept and read; one may arrive meanwhile."""
        await everything_read(self.road.service)
        wanted = "envelope_from, envelope_to, parse_status, message_id, raw, detail->>'matched_by' AS matched_by"
        return await self.road.service.rows(
            f"SELECT {wanted} FROM inbound_mail WHERE parse_status <> 'unread' ORDER BY received_at"
        )

    async def suppressions(self) -> int:
        return len(await self.road.service.rows("SELECT 1 FROM suppression"))


@pytest.fixture
def speaks() -> str:
    return "smtp"


@pytest.fixture
def lifetime() -> str:
    return "1d"


@pytest.fixture
async def tour(road: Road, certificate, unused_tcp_port_factory, speaks, lifetime) -> AsyncIterator[Tour]:
    ports = Ports(unused_tcp_port_factory(), road.b.port, unused_tcp_port_factory())
    found = Tour(road, certificate, ports, speaks=speaks, lifetime=lifetime)
    await found.open_door()
    try:
        await found.postfix.start()
        yield found
    finally:
        found.door.close()
        await found.postfix.stop()


@over_both
async def test_a_refused_letter_comes_back_to_its_signed_address_and_says_why(tour: Tour):
    """ATT-48: the notice has the null sender, and nobody answers it."""
    tour.next_hop.will("RCPT", "550 5.1.1 no such user here")
    await tour.send()
    bounced = await tour.returned("bounced")
    assert (bounced["code"], bounced["enhanced"]) == (550, "5.1.1")
    assert "550 5.1.1 no such user here" in bounced["reply"]
    assert (await tour.road.message())["state"] == "bounced"
    (notice,) = await tour.inbound()
    assert (notice.envelope_from, notice.envelope_to) == ("<>", tour.return_address)
    assert (notice.parse_status, notice.matched_by) == ("read", "return_address")
    for line in (
        f"Original-Envelope-Id: {tour.envelope_id}", "Action: failed", "Status: 5.1.1",
        "Final-Recipient: rfc822; anna@example.com", "Remote-MTA: dns; 127.0.0.1",
    ):  # fmt: skip
        assert line in notice.raw
    assert await tour.suppressions() == 1


async def test_postfix_is_told_how_to_answer_and_gives_its_own_name_for_the_letter(tour: Tour):
    message = await tour.send()
    await tour.until(_letters(tour))
    assert f"{message['relay_queue_id']}: to=<anna@example.com>" in tour.postfix.log
    assert f"C: MAIL FROM:<{tour.return_address}>" in [line.partition(" SIZE")[0] for line in tour.next_hop.transcript]
    (row,) = await tour.road.service.rows("SELECT tls_version, transcript::text FROM attempt")
    assert row[0].startswith("TLSv1")
    assert await tour.inbound() == [], "nobody asked for a notice of success"


async def test_a_refusal_of_the_content_bounces_and_leaves_the_address_alone(tour: Tour):
    tour.next_hop.will("eod", "554 5.6.0 not like this")
    await tour.send()
    bounced = await tour.returned("bounced")
    assert (bounced["code"], bounced["enhanced"]) == (554, "5.6.0")
    assert await tour.suppressions() == 0


@over_both
async def test_a_delay_is_told_and_the_letter_stays_on_its_way(tour: Tour):
    tour.next_hop.will("RCPT", *always("450 4.2.0 greylisted"))
    await tour.send()
    delayed = await tour.returned("delayed")
    assert (delayed["code"], delayed["enhanced"]) == (450, "4.2.0")
    message = await tour.road.message()
    assert (message["state"], message["delayed_since"] is None) == ("accepted", False)
    (notice,) = await tour.inbound()
    assert notice.envelope_from == "<>"
    assert "Action: delayed" in notice.raw
    assert f"Original-Envelope-Id: {tour.envelope_id}" in notice.raw
    tour.next_hop.script.clear()
    await tour.until(_letters(tour))
    assert (await tour.road.message())["state"] == "accepted"


@pytest.mark.parametrize("lifetime", ["2s"])
async def test_a_letter_given_up_after_delays_has_bounced_and_the_address_is_not_dead(tour: Tour):
    """Postfix gives up with Action failed and the last *temporary* status, not with 4.4.7."""
    tour.next_hop.will("RCPT", *always("450 4.2.0 greylisted"))
    await tour.send()
    bounced = await tour.returned("bounced")
    assert (bounced["code"], bounced["enhanced"]) == (450, "4.2.0")
    assert (await tour.road.message())["state"] == "bounced"
    assert await tour.suppressions() == 0


@pytest.mark.parametrize("forged", ["other_tag", "other_letter"])
async def test_a_forged_notice_brought_by_postfix_is_kept_and_changes_nothing(tour: Tour, forged: str):
    await tour.send()
    first = tour.return_address
    await tour.send()
    name, _, domain = first.partition("@")
    tag = "0123456789" if forged == "other_tag" else tour.return_address.partition("@")[0][-10:]
    await tour.forge(dsn(to=first), f"{name[:-10]}{tag}@{domain}")
    (notice,) = await tour.until(tour.inbound)
    assert (notice.parse_status, notice.message_id) == ("unmatched", None)
    states = await tour.road.service.rows("SELECT state FROM message")
    assert [row[0] for row in states] == ["accepted", "accepted"]
    assert await tour.suppressions() == 0


async def test_a_forged_notice_to_no_return_address_of_ours_is_refused_at_the_door(tour: Tour):
    await tour.send()
    await tour.forge(dsn(), "postmaster@identity.example")

    async def refused() -> list:
        return [line for line in tour.postfix.log.splitlines() if "550 5.1.1 no such return address" in line]

    await tour.until(refused)
    assert await tour.inbound() == []


async def test_a_notice_that_finds_the_door_closed_is_brought_again_and_counts_once(tour: Tour):
    tour.door.close()
    tour.next_hop.will("RCPT", "550 5.1.1 no such user here")
    await tour.send()

    async def turned_away() -> list:
        return [line for line in tour.postfix.log.splitlines() if "status=deferred" in line and "refused" in line]

    await tour.until(turned_away)
    await tour.open_door()
    await tour.returned("bounced")
    assert len(await tour.inbound()) == 1


def _letters(tour: Tour) -> Callable[[], Awaitable[list]]:
    async def there() -> list:
        return tour.next_hop.mails

    return there
