"""A carrier that is described by the settings, or an adapter of one's own before it. Pure.

It takes the fields that the settings name, as JSON or as a form, and answers 2xx with its id of the text. Its reports
are JSON, `{"id": our id, "state": "sent" | "delivered" | "failed" | "unknown_number"}`, its incoming messages
`{"from": number, "text": words}`, both signed as in Standard Webhooks (https://www.standardwebhooks.com).
"""

import base64
import hmac
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

import orjson

from identity_service.messages.carriers import interface
from identity_service.messages.carriers.interface import Call, CarrierInterface, Outgoing, Report, Stop
from identity_service.messages.inbound.dsn import UnsignedNotice

_STATES: Final[Mapping[str, str]] = {
    "sent": "relayed", "delivered": "delivered", "failed": "bounced", "unknown_number": "bounced",
}  # fmt: skip


class Generic(CarrierInterface):
    """`secret` is the value of `header`, `fields` names the fields; `id_field` is where the answer has the carrier's
    id. An error's `code` may be `unknown_number` or `stopped`."""

    unknown_numbers: ClassVar[frozenset[str]] = frozenset({"unknown_number"})
    stopped: ClassVar[frozenset[str]] = frozenset({"stopped"})

    def request(self, *, to: str, text: str, message_id: str, report_url: str) -> Outgoing:
        """Return the request with the fields of the settings."""
        one = self.carrier
        places = {"to": to, "from": one.sender, "text": text, "id": message_id, "report_url": report_url}
        fields = {name: _fill(value, places) for name, value in one.fields.items()}
        kind = "application/x-www-form-urlencoded" if one.as_form else "application/json"
        body = urlencode(fields).encode() if one.as_form else orjson.dumps(fields)
        return Outgoing(one.url, {one.header: one.secret.get_secret_value(), "Content-Type": kind}, body)

    def read_taken(self, content: Mapping[str, Any]) -> str | None:
        """Return the carrier's id."""
        value: object = content
        for name in self.carrier.id_field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return str(value) if isinstance(value, str | int) and value != "" else None

    def error_code(self, content: Mapping[str, Any]) -> str:
        """Return the member `code`."""
        return str(content.get("code", ""))

    def read_call(self, call: Call) -> Report | Stop | None:
        """Read a report or an incoming message."""
        event_id, timestamp, given = (
            call.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
        )
        signed = b".".join((event_id.encode("utf-8", "replace"), timestamp.encode("utf-8", "replace"), call.body))
        right = b"v1," + base64.b64encode(hmac.digest(self._key(), signed, "sha256"))
        signatures = [one.encode("utf-8", "replace") for one in given.split(" ")]
        if not event_id or not any(hmac.compare_digest(right, one) for one in signatures):
            raise UnsignedNotice
        interface.check_fresh(timestamp, call.now)
        content = interface.read_object(call.body)
        if call.message_id is None:
            return Stop(str(content.get("from", ""))) if interface.is_stop(content.get("text")) else None
        message_id, state = interface.own_id(call, content.get("id")), str(content.get("state", ""))
        if state not in _STATES:
            return None
        words = interface.clean(" ".join(str(content.get(name, "")) for name in ("state", "detail")).strip().encode())
        return Report(message_id, event_id[:200], _STATES[state], words, state in self.unknown_numbers)

    def _key(self) -> bytes:
        """Return the key of `whsec_…` in base64."""
        try:
            return base64.b64decode(self.report_key().removeprefix("whsec_"), validate=True)
        except ValueError as unusable:
            raise UnsignedNotice from unusable


def _fill(template: str, places: Mapping[str, str]) -> str:
    """Return a field's value; what is filled in is not read again."""
    return interface.PLACE.sub(lambda place: places.get(place[1], place[0]), template)
