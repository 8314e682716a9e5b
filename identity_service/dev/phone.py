"""The development telephone: a carrier of text messages that shows every text at `/dev/phone`.

It refuses, answers late, or answers an error after it has taken the text (`PUT /dev/phone/behaviour`), and reports what
became of a text, or that its owner wants no more of them, signed as a carrier does.
"""

import asyncio
import base64
import hmac
import secrets
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import httpx2
import orjson
import phonenumbers
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field, SecretStr
from starlette.exceptions import HTTPException

from identity_service.carriers import Carrier
from identity_service.messages.text_rendering import REPORTS
from identity_service.settings import Settings
from identity_service.web import pages
from identity_service.web.routing import StrictRoute
from identity_service.web.schemas import RequestModel

NAME: Final = "phone"
KEPT: Final = 500
State = Literal["sent", "delivered", "failed", "unknown_number"]


@dataclass(slots=True)
class Behaviour:
    """What the telephone does with the next texts: answer this status, after a while, taken all the same or not."""

    status: int = 201
    code: str = ""
    wait_s: float = 0.0
    takes: bool = False
    times: int = 1


@dataclass(slots=True)
class Text:
    """A text as it came."""

    id: str
    to: str
    text: str
    report_url: str
    received_at: str


@dataclass(slots=True)
class Phone:
    """The texts of this process, newest first, and what it does with the next ones."""

    secret: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    report_key: bytes = field(default_factory=lambda: secrets.token_bytes(24))
    texts: list[Text] = field(default_factory=list)
    behaviours: list[Behaviour] = field(default_factory=list)

    def settings(self, settings: Settings) -> dict[str, Any]:
        """Return the settings by which texts go to this telephone, to every country, where none are set."""
        if settings.carriers:
            return {}
        carrier = Carrier(
            name=NAME, api="generic", url=f"http://127.0.0.1:{settings.port}/dev/phone/send", sender="Shop",
            secret=SecretStr(self.secret),
            report_key=SecretStr("whsec_" + base64.b64encode(self.report_key).decode()),
        )  # fmt: skip
        prices = dict.fromkeys(sorted(phonenumbers.SUPPORTED_REGIONS), Decimal("0.05"))
        return {"carriers": (carrier,), "text_prices": prices, "text_day_budget": Decimal(100)}

    def next_behaviour(self) -> Behaviour:
        """Return what to do with a text now."""
        for behaviour in self.behaviours:
            if behaviour.times > 0:
                behaviour.times -= 1
                return behaviour
        return Behaviour()

    async def call(self, url: str, content: dict[str, str]) -> int:
        """Send a signed call to the service, as a carrier does; return the status of the answer."""
        body, event_id = orjson.dumps(content), f"evt-{uuid.uuid4().hex}"
        timestamp = str(int(datetime.now(UTC).timestamp()))
        signature = hmac.digest(self.report_key, f"{event_id}.{timestamp}.".encode() + body, "sha256")
        headers = {
            "webhook-id": event_id, "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }  # fmt: skip
        async with httpx2.AsyncClient(timeout=10) as client:
            return (await client.post(url, content=body, headers=headers)).status_code


class NewBehaviour(RequestModel):
    """What the telephone does with the next texts."""

    status: Annotated[int, Field(ge=200, le=599)] = 201
    code: Annotated[str, Field(pattern=r"^[a-z_]{0,40}$")] = ""
    wait_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    takes: bool = False
    times: Annotated[int, Field(ge=1, le=1000)] = 1


class NewReport(RequestModel):
    """What became of a text."""

    state: State


class NewText(RequestModel):
    """A text as the service hands it over."""

    to: Annotated[str, Field(max_length=40)]
    from_: Annotated[str, Field(alias="from", max_length=50)]
    text: Annotated[str, Field(max_length=500)]
    id: Annotated[str, Field(max_length=50)]
    report_url: Annotated[str, Field(max_length=500)]


router = APIRouter(prefix="/dev/phone", route_class=StrictRoute, include_in_schema=False)


@router.get("")
async def show_phone(request: Request) -> HTMLResponse:
    """Show all texts as a page."""
    page = pages.render("dev/phone.html", texts=_phone(request).texts)
    return HTMLResponse(page, headers={"Content-Security-Policy": pages.LOCAL_POLICY})


@router.get("/messages")
async def list_texts(request: Request) -> JSONResponse:
    """Return the texts, newest first."""
    return JSONResponse({"items": [asdict(text) for text in _phone(request).texts]})


@router.post("/send")
async def take_text(request: Request, body: NewText) -> JSONResponse:
    """Take a text from the service, or do what was asked for instead."""
    phone = _phone(request)
    if not hmac.compare_digest(request.headers.get("authorization", "").encode(), phone.secret.encode()):
        raise HTTPException(404)
    behaviour = phone.next_behaviour()
    await asyncio.sleep(behaviour.wait_s)
    if behaviour.status < 300 or behaviour.takes:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        phone.texts.insert(0, Text(body.id, body.to, body.text, body.report_url, now))
        del phone.texts[KEPT:]
    return JSONResponse({"id": f"phone-{body.id}", "code": behaviour.code}, status_code=behaviour.status)


@router.put("/behaviour")
async def change_behaviour(request: Request, body: NewBehaviour) -> JSONResponse:
    """Say what happens to the next texts."""
    phone = _phone(request)
    phone.behaviours.append(Behaviour(**body.model_dump()))
    return JSONResponse({"behaviours": [asdict(behaviour) for behaviour in phone.behaviours]})


@router.delete("/behaviour")
async def clear_behaviour(request: Request) -> Response:
    """Take every text again."""
    _phone(request).behaviours.clear()
    return Response(status_code=204)


@router.post("/messages/{text_id}/report")
async def report(request: Request, text_id: str, body: NewReport) -> JSONResponse:
    """Report what became of a text, at the URL that came with it."""
    text = _find(request, text_id)
    status = await _phone(request).call(text.report_url, {"id": text.id, "state": body.state})
    return JSONResponse({"answered": status})


@router.post("/messages/{text_id}/stop")
async def stop(request: Request, text_id: str) -> JSONResponse:
    """Answer STOP to a text."""
    text = _find(request, text_id)
    url = f"{text.report_url.partition(REPORTS)[0]}{REPORTS}/{NAME}"
    return JSONResponse({"answered": await _phone(request).call(url, {"from": text.to, "text": "STOP"})})


def _find(request: Request, text_id: str) -> Text:
    found = next((text for text in _phone(request).texts if text.id == text_id), None)
    if found is None:
        raise HTTPException(404)
    return found


def _phone(request: Request) -> Phone:
    phone: Phone = request.app.state.phone
    return phone
