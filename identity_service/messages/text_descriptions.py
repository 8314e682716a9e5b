"""What `descriptions` says of text messages: a carrier takes the place of a relay. Pure."""

from collections.abc import Mapping
from typing import Final

ATTEMPT: Final[Mapping[str, str]] = {
    "accepted": "{relay} has accepted the text message.",
    "permanent.address": "{relay} says that nobody has this number.",
    "permanent.stopped": "The owner of this number has answered that they want no text messages.",
    "policy": "{relay} refused the text message.",
    "login": "{relay} didn't accept our credentials. This is our fault, not yours.",
    "throttled": "{relay} has asked us to send more slowly.",
    "unavailable": "{relay} couldn't be reached.",
    "unknown": (
        "{relay} may have the text message, but never confirmed this. It may arrive twice, with the same content."
    ),
    "lost": (
        "We were interrupted during this attempt. Another of our systems is taking over, so the text message may "
        "arrive twice."
    ),
    "released": "We were interrupted before this attempt began. Another of our systems is taking over.",
    "not_wanted": "This text message was no longer needed, so we didn't send it.",
    "no_relay_available": "None of our carriers was available at this moment.",
    "budget_spent": "Another copy would have cost more than texts may cost today, so we didn't send it.",
    "render_failed": "We couldn't create the text message. This is our fault.",
}
STATE: Final[Mapping[str, str]] = {
    "queued": "The text message is waiting to be sent.",
    "sending": "We're handing the text message over to our carrier now.",
    "deferred": "The text message hasn't been accepted yet. We're still trying.",
    "accepted": "Our carrier has the text message. We don't know yet whether it will arrive.",
    "delivered": "Our carrier reports that the text message has arrived.",
    "unconfirmed": "Our carrier may have the text message, but never confirmed this. It may still arrive.",
    "rejected": "The text message was refused. We've stopped trying to send it.",
    "bounced": "Our carrier reports that the text message didn't arrive.",
    "expired": "Our carrier didn't accept the text message in time, so it won't arrive.",
    "limited": "We didn't send this text message, because there have been too many. Use another way.",
    "suppressed": "We didn't send this text message, because this number gets none from us.",
    "cancelled": "The text message was cancelled before we sent anything.",
    "failed": "We couldn't send this text message. This is our fault, and we know about it.",
}
FEEDBACK: Final[Mapping[str, str]] = {
    "provider_accepted": "The carrier has confirmed that it has the text message.",
    "relayed": "The text message was passed on to the recipient's network.",
    "delivered": "The text message has arrived.",
    "bounced": "The text message didn't arrive.",
    "dropped": "The carrier discarded the text message.",
    "other": "The carrier doesn't know what became of the text message.",
}
QUEUED: Final = "We put the text message in the queue for sending."
