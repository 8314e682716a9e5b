"""Sinch's SMS REST API, "XMS" (https://developers.sinch.com/docs/sms/api-reference). Pure."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

from identity_service.messages.carriers import interface
from identity_service.messages.carriers.interface import Call, CarrierInterface, Outgoing, Report, Stop
from identity_service.messages.inbound.dsn import UnsignedNotice

_STATES: Final[Mapping[str, str]] = {
    "queued": "provider_accepted", "dispatched": "relayed", "delivered": "delivered", "failed": "bounced",
    "rejected": "bounced", "expired": "bounced", "aborted": "bounced", "cancelled": "dropped", "deleted": "dropped",
    "unknown": "other",
}  # fmt: skip


class Sinch(CarrierInterface):
    """`url` is a region's (`https://eu.sms.api.sinch.com`), `account` the service plan, `secret` its API token,
    `report_key` the secret for callbacks, which Sinch's account managers set (HMAC). None of its codes says that nobody
    has a number."""

    def request(self, *, to: str, text: str, message_id: str, report_url: str) -> Outgoing:
        """Return the batch of one text that goes to one number."""
        one = self.carrier
        content = {
            "from": one.sender, "to": [to], "body": text, "delivery_report": "per_recipient",
            "callback_url": report_url, "client_reference": message_id, "max_number_of_message_parts": 1,
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {one.secret.get_secret_value()}", "Content-Type": "application/json"}
        return Outgoing(f"{one.url}/xms/v1/{one.account}/batches", headers, orjson.dumps(content))

    def read_taken(self, content: Mapping[str, Any]) -> str | None:
        """Return the batch's id."""
        batch = content.get("id")
        return batch if isinstance(batch, str) and batch else None

    def error_code(self, content: Mapping[str, Any]) -> str:
        """Return Sinch's error code, a name."""
        return str(content.get("code", ""))

    def read_call(self, call: Call) -> Report | Stop | None:
        """Read a callback, signed with time and nonce: HMAC-SHA256 of `body.nonce.timestamp`, base64."""
        timestamp, nonce, given = (
            call.headers.get(f"x-sinch-webhook-signature{name}", "") for name in ("-timestamp", "-nonce", "")
        )
        signed = b".".join((call.body, nonce.encode("utf-8", "replace"), timestamp.encode("utf-8", "replace")))
        right = base64.b64encode(hmac.digest(self.report_key().encode(), signed, "sha256"))
        if not nonce or not hmac.compare_digest(right, given.encode("utf-8", "replace")):
            raise UnsignedNotice
        interface.check_fresh(timestamp, call.now)
        content = interface.read_object(call.body)
        if call.message_id is None:
            stops = content.get("type") == "mo_text" and interface.is_stop(content.get("body"))
            return Stop(str(content.get("from", ""))) if stops else None
        message_id = interface.own_id(call, content.get("client_reference"))
        state = str(content.get("status", "")).lower()
        if state not in _STATES:
            return None
        words = interface.clean(f"{content.get('status')} {content.get('code', '')}".strip().encode())
        return Report(message_id, f"{content.get('batch_id', '')}:{state}"[:200], _STATES[state], words)
