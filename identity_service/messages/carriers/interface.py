"""What every carrier's interface has in common: the meaning of a status, and what is read of an answer. Pure.

Whether a carrier has taken a text decides whether another one may get it too (TXT-11): after a refusal (4xx) it surely
did not, after a server error or silence nobody knows.
"""

import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, NamedTuple

from identity_service.carriers import Carrier
from identity_service.keys import encoding
from identity_service.messages.delivery import replies
from identity_service.messages.inbound.dsn import UnreadableNotice, UnsignedNotice
from identity_service.values import phone_numbers

PLACE: Final = re.compile(r"\{([a-z_]+)\}")
FRESH: Final = timedelta(minutes=5)
"""How old a signed timestamp may be, in either direction."""
STOP_WORDS: Final = frozenset(
    "STOP STOPALL UNSUBSCRIBE CANCEL END QUIT REVOKE OPTOUT ARRET BAJA PARAR ANULEER توقف".split()
)
"""Answers that end texts: those of the carriers, and the same in our languages."""


class Outgoing(NamedTuple):
    """A request to a carrier."""

    url: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What a carrier answered: outcome and class of the attempt, its own id of the text, its words without numbers."""

    outcome: str
    reply_class: str
    words: str
    carrier_id: str | None = None


class Report(NamedTuple):
    """What a carrier reports of a text: `kind` is a feedback type; `is_gone`: nobody has this number."""

    message_id: uuid.UUID
    event_id: str
    kind: str
    words: str
    is_gone: bool = False


class Stop(NamedTuple):
    """A person has answered that they want no more texts."""

    number: str


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a carrier to us, not yet checked; `url` is built from the configured public URL, never from Host."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    now: datetime
    message_id: uuid.UUID | None


class CarrierInterface(ABC):
    """One carrier of the settings, through its interface."""

    unknown_numbers: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say that nobody has the number."""
    stopped: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say that the person wants no texts."""

    def __init__(self, carrier: Carrier) -> None:
        """Keep the settings of the carrier."""
        self.carrier = carrier

    @abstractmethod
    def request(self, *, to: str, text: str, message_id: str, report_url: str) -> Outgoing:
        """Return the request that hands over a text."""

    @abstractmethod
    def read_taken(self, content: Mapping[str, Any]) -> str | None:
        """Return the carrier's id of a text that it has taken, from the answer; None if it does not say so."""

    @abstractmethod
    def error_code(self, content: Mapping[str, Any]) -> str:
        """Return the error code in an answer."""

    @abstractmethod
    def read_call(self, call: Call) -> Report | Stop | None:
        """Return what a call says after its signature is checked; None if it is of no interest.

        Raises:
            UnsignedNotice, UnreadableNotice
        """

    def read_answer(self, status: int, body: bytes, secrets: Iterable[str] = ()) -> Answer:
        """Return what an answer means; `secrets` are the codes of the text, which it may quote."""
        words = clean(body, secrets)
        content = _object(body)
        if 200 <= status < 300:
            taken = self.read_taken(content)
            return (
                Answer("unknown", "unknown", words) if taken is None else Answer("accepted", "accepted", words, taken)
            )
        if status == 408 or status >= 500:
            return Answer("unknown", "unknown", words)
        return Answer(*self._refused(status, self.error_code(content)), words)

    def _refused(self, status: int, code: str) -> tuple[str, str]:
        if code in self.stopped:
            return "permanent", "permanent.stopped"
        if code in self.unknown_numbers:
            return "permanent", "permanent.address"
        if status in (401, 403):
            return "relay_fault", "login"
        if status == 429:
            return "relay_fault", "throttled"
        return ("permanent", "policy") if status in (400, 422) else ("relay_fault", "unavailable")

    def report_key(self) -> str:
        """Return what the carrier's calls are signed with.

        Raises:
            UnsignedNotice: nothing is configured, so that no call can be true.
        """
        if self.carrier.report_key is None:
            raise UnsignedNotice
        return self.carrier.report_key.get_secret_value()


def clean(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Return an answer as it is kept: verbatim, but for numbers, codes and what a database refuses (TXT-12)."""
    words = body.decode("utf-8", "replace")
    for secret in secrets:
        words = words.replace(secret, "[code]")
    return replies.scrub_reply(phone_numbers.mask_all(words) or "")


def is_stop(text: object) -> bool:
    """Return whether somebody answers that they want no more texts."""
    return isinstance(text, str) and text.strip().strip(".!\"'").upper() in STOP_WORDS


def check_fresh(timestamp: str, now: datetime) -> datetime:
    """Return the moment of a signed timestamp, in seconds since 1970.

    Raises:
        UnsignedNotice: it is none, or too far from now.
    """
    if not re.fullmatch(r"[1-9]\d{8,10}", timestamp) or abs(now.timestamp() - int(timestamp)) > FRESH.total_seconds():
        raise UnsignedNotice
    return datetime.fromtimestamp(int(timestamp), now.tzinfo)


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a call.

    Raises:
        UnreadableNotice
    """
    try:
        return encoding.strict_json_object(body)
    except (ValueError, RecursionError) as refused:
        raise UnreadableNotice from refused


def own_id(call: Call, named: object) -> uuid.UUID:
    """Return the id of the message that a call is about: the one in its path, and in what is signed.

    Raises:
        UnreadableNotice: they differ, or there is none.
    """
    if call.message_id is None or str(call.message_id) != named:
        raise UnreadableNotice
    return call.message_id


def _object(body: bytes) -> dict[str, Any]:
    try:
        return encoding.strict_json_object(body)
    except (ValueError, RecursionError):
        return {}
