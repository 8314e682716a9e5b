"""Twilio's Messages resource (https://www.twilio.com/docs/messaging/api/message-resource). Pure."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode

from identity_service.messages.carriers import interface
from identity_service.messages.carriers.interface import Call, CarrierInterface, Outgoing, Report, Stop
from identity_service.messages.inbound.dsn import UnreadableNotice, UnsignedNotice

_STATES: Final[Mapping[str, str]] = {
    "accepted": "provider_accepted", "scheduled": "provider_accepted", "queued": "provider_accepted",
    "sending": "provider_accepted", "sent": "relayed", "delivered": "delivered", "undelivered": "bounced",
    "failed": "bounced", "canceled": "dropped",
}  # fmt: skip


class Twilio(CarrierInterface):
    """`url` is `https://api.twilio.com`, or a region's; `account` the Account SID, `secret` and `report_key` its Auth
    Token. Twilio signs no time: a report is fresh while its text is, and each counts once."""

    # 21211 and 21614: not a number, not a mobile number; 30005, 30006: unknown, or a landline (error dictionary).
    unknown_numbers: ClassVar[frozenset[str]] = frozenset({"21211", "21614", "30005", "30006"})
    stopped: ClassVar[frozenset[str]] = frozenset({"21610"})

    def request(self, *, to: str, text: str, message_id: str, report_url: str) -> Outgoing:
        """Return the form that creates a message."""
        del message_id
        one = self.carrier
        sender = "MessagingServiceSid" if one.sender.startswith("MG") and len(one.sender) == 34 else "From"
        form = {"To": to, sender: one.sender, "Body": text, "StatusCallback": report_url}
        login = base64.b64encode(f"{one.account}:{one.secret.get_secret_value()}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/x-www-form-urlencoded"}
        url = f"{one.url}/2010-04-01/Accounts/{one.account}/Messages.json"
        return Outgoing(url, headers, urlencode(form).encode())

    def read_taken(self, content: Mapping[str, Any]) -> str | None:
        """Return the message's SID."""
        sid = content.get("sid")
        return sid if isinstance(sid, str) and sid else None

    def error_code(self, content: Mapping[str, Any]) -> str:
        """Return Twilio's error code."""
        return str(content.get("code", ""))

    def read_call(self, call: Call) -> Report | Stop | None:
        """Read a status callback or an incoming message, signed as in
        https://www.twilio.com/docs/usage/security#validating-requests (HMAC-SHA1 of URL and sorted parameters)."""
        try:
            pairs = parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=200)
        except ValueError as refused:
            raise UnreadableNotice from refused
        signed = call.url + "".join(name + value for name, value in sorted(set(pairs)))
        right = base64.b64encode(hmac.digest(self.report_key().encode(), signed.encode(), "sha1"))
        if not hmac.compare_digest(right, call.headers.get("x-twilio-signature", "").encode("utf-8", "replace")):
            raise UnsignedNotice
        fields = dict(pairs)
        if fields.get("AccountSid") != self.carrier.account:
            raise UnsignedNotice
        if call.message_id is None:
            stops = fields.get("OptOutType") == "STOP" or interface.is_stop(fields.get("Body"))
            return Stop(fields.get("From", "")) if stops else None
        state, code = fields.get("MessageStatus", ""), fields.get("ErrorCode", "")
        if state not in _STATES:
            return None
        words = interface.clean(" ".join(filter(None, (state, code, fields.get("ErrorMessage", "")))).encode())
        event_id = f"{fields.get('MessageSid', '')}:{state}"[:200]
        return Report(call.message_id, event_id, _STATES[state], words, code in self.unknown_numbers)
