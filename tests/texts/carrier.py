"""A carrier of text messages on a real socket, which takes, refuses, delays or breaks off on command."""

import asyncio
import base64
import contextlib
import hmac
import json
from collections import deque
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from identity_service.carriers import Carrier

HANG, DROP, TAKE_AND_DROP = "hang", "drop", "take and drop"
REPORT_KEY = base64.b64encode(b"a key of the carrier for reports").decode()
SECRET = "carrier-secret-4711"
REFUSALS = {
    "no such number": {"twilio": (400, {"code": 21211}), "generic": (404, {"code": "unknown_number"})},
    "stopped": {"twilio": (400, {"code": 21610}), "generic": (400, {"code": "stopped"})},
}


class Taken(NamedTuple):
    """A text that the carrier has taken, whatever it answered."""

    to: str
    text: str
    report_url: str
    headers: dict[str, str]
    path: str


class FakeCarrier:
    """`will` says what to do instead of taking, one request after the other: a status with its JSON, or an act."""

    def __init__(self, api: str = "generic", name: str = "one") -> None:
        self.api, self.name = api, name
        self.script: deque[Any] = deque()
        self.taken: list[Taken] = []
        self.requests = 0
        self.port = 0

    def will(self, *acts: Any) -> None:
        self.script.extend(acts)

    async def start(self, port: int = 0) -> "FakeCarrier":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._held: set[asyncio.StreamWriter] = set()
        return self

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._held):
            writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def settings(self) -> Carrier:
        url = f"http://127.0.0.1:{self.port}"
        key = "whsec_" + REPORT_KEY if self.api == "generic" else REPORT_KEY
        return Carrier(
            name=self.name, api=self.api, url=url, account=f"AC-{self.name}", secret=SECRET, sender="Shop",
            report_key=key,
        )  # fmt: skip

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._held.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests += 1
            act = self.script.popleft() if self.script else None
            if act == HANG:
                return
            if act is None or act == TAKE_AND_DROP or (isinstance(act, tuple) and act[0] >= 500):
                self.taken.append(self._read(head[0].split()[1], headers, body))
            if act in (DROP, TAKE_AND_DROP):
                writer.transport.abort()
                return
            status, answer = act or (201, self._answer())
            content = json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % (status, len(content))
                + content
            )
            await writer.drain()
        if act != HANG:
            writer.close()
            self._held.discard(writer)

    def _read(self, path: str, headers: dict[str, str], body: bytes) -> Taken:
        if self.api == "twilio":
            form = dict(parse_qsl(body.decode()))
            return Taken(form["To"], form["Body"], form["StatusCallback"], headers, path)
        content = json.loads(body)
        if self.api == "sinch":
            return Taken(content["to"][0], content["body"], content["callback_url"], headers, path)
        return Taken(content["to"], content["text"], content["report_url"], headers, path)

    def _answer(self) -> dict[str, Any]:
        """What this carrier answers to a text that it takes; it quotes number and text, as real ones do."""
        last = self.taken[-1]
        number = {"to": last.to, "body": last.text}
        if self.api == "twilio":
            return {"sid": f"SM{len(self.taken):032x}", "status": "queued", "error_code": None, **number}
        return {"id": f"T{len(self.taken)}", "canceled": False, **number}


def report(carrier: FakeCarrier, url: str, state: str, *, now: float, key: str = REPORT_KEY, **changes: Any):
    """Body and headers of a signed report about the text that was handed over with this URL."""
    message_id = url.rpartition("/")[2]
    if carrier.api == "twilio":
        fields = {"MessageSid": "SM1", "MessageStatus": state, "AccountSid": "AC-" + carrier.name, **changes}
        return signed_by_twilio(url, fields, key)
    if carrier.api == "sinch":
        content = {"type": "recipient_delivery_report_sms", "batch_id": "T1", "client_reference": message_id,
                   "status": state, "code": 0, **changes}  # fmt: skip
        return signed_by_sinch(content, now=now, key=key)
    return signed_by_standard({"id": message_id, "state": state, **changes}, now=now, key=key)


def signed_by_twilio(url: str, fields: dict[str, str], key: str = REPORT_KEY):
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    signature = base64.b64encode(hmac.digest(key.encode(), signed.encode(), "sha1")).decode()
    return {"data": fields, "headers": {"X-Twilio-Signature": signature}}


def signed_by_sinch(content: dict[str, Any], *, now: float, key: str = REPORT_KEY):
    body, nonce, timestamp = json.dumps(content).encode(), "01FJA8B4A7BM43YGWSG9GBV067", str(int(now))
    signature = hmac.digest(key.encode(), b".".join((body, nonce.encode(), timestamp.encode())), "sha256")
    prefix = "x-sinch-webhook-signature"
    headers = {f"{prefix}-timestamp": timestamp, f"{prefix}-nonce": nonce, f"{prefix}-algorithm": "HmacSHA256"}
    return {"content": body, "headers": {**headers, prefix: base64.b64encode(signature).decode()}}


def signed_by_standard(content: dict[str, Any], *, now: float, key: str = REPORT_KEY, event_id: str = ""):
    body, event_id, timestamp = json.dumps(content).encode(), event_id or f"evt-{content}", str(int(now))
    event_id = "".join(sign for sign in event_id if sign.isalnum() or sign == "-")
    signature = hmac.digest(base64.b64decode(key), f"{event_id}.{timestamp}.".encode() + body, "sha256")
    headers = {"webhook-id": event_id, "webhook-timestamp": timestamp}
    return {"content": body, "headers": {**headers, "webhook-signature": "v1," + base64.b64encode(signature).decode()}}
