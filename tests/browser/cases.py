"""The fault cases of an outbox that one process can play, each as what the relays do and what is waited for.

A case is called with a road and with `ask`, which asks for a new password at the page; it returns the state in which
the letter ends. The cases of a killed worker and of a lost database need processes of their own: `tests/faults`.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Awaitable, Callable

from identity_service.messages import kinds
from identity_service.messages.inbound import bounce_server
from tests.faults.conftest import Road
from tests.faults.relay import DROP, ENDLESS, GARBAGE, HANG, FaultRelay, always
from tests.mail.given import everything_read

Ask = Callable[[], Awaitable[None]]
NOTICE = """\
From: MAILER-DAEMON@mx.example.org
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I am sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {words}
--b--
"""


async def case_00_nothing_is_wrong(road: Road, ask: Ask) -> str:
    await ask()
    await road.turn()
    return "accepted"


async def case_01_refused_then_up(road: Road, ask: Ask) -> str:
    road.use(road.relay("a", road.a))
    await ask()
    port = road.a.port
    await road.a.stop()
    await road.turns(3)
    road.a = await FaultRelay().start(port)
    await road.wait_for_next()
    await road.turn()
    return "accepted"


async def case_02_refused_and_the_other_takes_it(road: Road, ask: Ask) -> str:
    await ask()
    await road.a.stop()
    await road.turn()
    return "accepted"


async def case_03_too_busy_at_connect(road: Road, ask: Ask) -> str:
    road.a.will("connect", "421 4.3.2 too busy")
    await ask()
    await road.turn()
    return "accepted"


async def case_04_hangs_at_the_greeting(road: Road, ask: Ask) -> str:
    road.a.will("connect", HANG)
    await ask()
    await road.turn()
    return "accepted"


async def case_05_encryption_stripped(road: Road, ask: Ask) -> str:
    road.use(road.relay("a", road.a, tls="starttls"), road.relay("b", road.b))
    await ask()
    await road.turn()
    return "accepted"


async def case_06_wrong_certificate(road: Road, ask: Ask, certificate: ssl.SSLContext) -> str:
    road.a.extensions, road.a.tls = ("STARTTLS",), certificate
    return await case_05_encryption_stripped(road, ask)


async def case_07_login_refused(road: Road, ask: Ask) -> str:
    road.a.will("AUTH", "535 5.7.8 bad credentials")
    road.a.extensions = ("AUTH PLAIN",)
    road.use(road.relay("a", road.a, username="u", password="p"), road.relay("b", road.b))
    await ask()
    await road.turn()
    return "accepted"


async def case_08_greylisted_and_still_waiting(road: Road, ask: Ask) -> str:
    road.a.will("RCPT", "450 4.2.0 greylisted, try again later")
    await ask()
    await road.turn()
    return "deferred"


async def case_08_greylisted_then_taken(road: Road, ask: Ask) -> str:
    await case_08_greylisted_and_still_waiting(road, ask)
    await road.wait_for_next()
    await road.turn()
    return "accepted"


async def case_09_refused_after_the_dot(road: Road, ask: Ask) -> str:
    road.a.will("eod", "451 4.3.0 queue file write error")
    await ask()
    await road.turns(2)
    return "accepted"


async def case_10_unknown_mailbox(road: Road, ask: Ask) -> str:
    road.a.will("RCPT", "550 5.1.1 <{to}> no such user; ask <postmaster@faulty.example>")
    await ask()
    await road.turn()
    return "rejected"


async def case_11_unknown_mailbox_and_rset_hangs(road: Road, ask: Ask) -> str:
    road.a.will("RCPT", "550 5.1.1 no such user").will("RSET", HANG)
    await ask()
    await road.turn()
    return "rejected"


async def case_12_mailbox_full_to_the_end(road: Road, ask: Ask) -> str:
    road.a.will("RCPT", *always("552 5.2.2 mailbox full"))
    await ask()
    await road.turns(3)
    await past_deadline(road)
    return "expired"


async def case_13_policy_here_taken_there(road: Road, ask: Ask) -> str:
    road.a.will("RCPT", "554 5.7.1 relay access denied")
    await ask()
    await road.turn()
    return "accepted"


async def case_13_policy_at_both(road: Road, ask: Ask) -> str:
    road.b.will("RCPT", "550 5.7.23 SPF validation failed")
    await case_13_policy_here_taken_there(road, ask)
    return "rejected"


async def case_14_too_big(road: Road, ask: Ask) -> str:
    road.a.will("MAIL", "552 5.3.4 message too big")
    await ask()
    await road.turn()
    return "failed"


async def case_15_a_reused_connection_had_died(road: Road, ask: Ask) -> str:
    await road.put("first@example.com")
    await road.turn()
    road.a.will("MAIL", DROP)
    await ask()
    await road.turn()
    return "accepted"


async def case_16_dropped_after_the_dot(road: Road, ask: Ask) -> str:
    road.a.will("eod", DROP)
    await ask()
    await road.turns(2)
    return "accepted"


async def case_17_silent_after_the_dot_to_the_end(road: Road, ask: Ask) -> str:
    road.use(road.relay("a", road.a))
    road.a.will("eod", *always(HANG))
    await ask()
    await road.turns(2)
    await past_deadline(road)
    return "unconfirmed"


async def case_18_taken_but_too_late_for_us(road: Road, ask: Ask) -> str:
    road.use(road.relay("a", road.a))
    road.a.late = 2.0
    await ask()
    await road.turn()
    road.a.late = 0
    await road.wait_for_next()
    await road.turn()
    return "accepted"


async def case_19_one_byte_after_the_other(road: Road, ask: Ask) -> str:
    road.a.will("connect", "220 slow")
    road.a.drip = 0.2
    await ask()
    await road.turn()
    return "accepted"


async def case_20_garbage(road: Road, ask: Ask) -> str:
    road.a.will("MAIL", GARBAGE)
    await ask()
    await road.turn()
    return await _at_last(road)


async def case_20_an_endless_reply(road: Road, ask: Ask) -> str:
    road.a.will("MAIL", ENDLESS)
    await ask()
    await road.turn()
    return await _at_last(road)


async def case_24_taken_and_returned(road: Road, ask: Ask) -> str:
    await case_00_nothing_is_wrong(road, ask)
    await _returns(road, action="failed", status="5.1.1", words="550 5.1.1 <{to}> no such user")
    return "bounced"


async def case_24_taken_and_delayed(road: Road, ask: Ask) -> str:
    await case_00_nothing_is_wrong(road, ask)
    await _returns(road, action="delayed", status="4.4.1", words="connect timed out")
    return "accepted"


async def case_25_every_relay_down_to_the_end(road: Road, ask: Ask) -> str:
    await ask()
    await road.a.stop()
    await road.b.stop()
    await road.turns(3)
    await past_deadline(road)
    return "expired"


async def past_deadline(road: Road) -> None:
    road.service.clock.now += kinds.KINDS["reset"].hand_over
    await road.tend()


async def _at_last(road: Road) -> str:
    if (await road.message())["state"] == "deferred":
        await road.wait_for_next()
        await road.turn()
    return "accepted"


async def _returns(road: Road, *, action: str, status: str, words: str) -> None:
    """A notice comes back to the address that stood in the envelope of the letter."""
    sender, recipient, _ = road.a.mails[-1]
    to = sender.partition("<")[2].partition(">")[0]
    notice = NOTICE.format(to=to, recipient=recipient, action=action, status=status, words=words.format(to=recipient))
    door = await bounce_server.listen_for_bounces(road.service.database, "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="mx.example.org") as smtp:
            smtp.sendmail("", [to], notice.encode())

    await asyncio.to_thread(send)
    await everything_read(road.service)
    door.close()
    await door.wait_closed()


CASES = {name.removeprefix("case_"): value for name, value in globals().items() if name.startswith("case_")}
