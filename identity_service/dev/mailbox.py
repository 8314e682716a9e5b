"""The development mailbox: a real SMTP server that catches every email and shows it at `/dev/mailbox`.

It can simulate a failing relay (`PUT /dev/mailbox/behaviour`): refuse with any reply, hang, or drop the connection, in
any phase of the conversation, for one recipient or for all.
"""

import asyncio
import email
import email.policy
import json
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from identity_service.web import pages
from identity_service.web.routing import StrictRoute
from identity_service.web.schemas import RequestModel, SingleLineText

KEPT = 500
Phase = Literal["connect", "mail", "rcpt", "data", "eod"]


@dataclass(slots=True)
class Behaviour:
    """A simulated failure: what the mailbox does in one phase instead of accepting."""

    phase: str
    to: str | None = None
    reply: str | None = None
    hang_s: float | None = None
    drop: bool = False
    times: int | None = None

    def concerns(self, phase: str, to: str | None) -> bool:
        """Return whether this applies to the phase and recipient."""
        return self.phase == phase and self.times != 0 and (self.to is None or self.to == to)


@dataclass(slots=True)
class Mailbox:
    """Emails in a folder, and the simulated failures."""

    folder: Path
    behaviours: list[Behaviour] = field(default_factory=list)
    port: int = 0

    async def misbehave(self, server: SMTP, phase: str, to: str | None) -> str | None:
        """Return the reply to refuse with, after a delay if one is set; None: continue as usual."""
        for behaviour in self.behaviours:
            if behaviour.concerns(phase, to):
                if behaviour.times is not None:
                    behaviour.times -= 1
                if behaviour.hang_s:
                    await asyncio.sleep(behaviour.hang_s)
                if behaviour.drop:
                    _close(server)
                    return "421 4.4.2 dropped"
                return behaviour.reply
        return None

    def keep(self, envelope: Envelope) -> str:
        """Write an email to the folder, delete all but the newest 500; return its queue id."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Links in these emails are good; a folder of an earlier version may be open to other users of the machine.
        self.folder.chmod(0o700)
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}"
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        head = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "received_at": now.isoformat().replace("+00:00", "Z"),
        }
        (self.folder / f"{name}.eml").write_bytes(json.dumps(head).encode() + b"\n" + raw)
        for old in sorted(self.folder.glob("*.eml"))[:-KEPT]:
            old.unlink(missing_ok=True)
        return name[-6:].upper()

    def letters(self, to: str | None = None) -> list[dict[str, Any]]:
        """Return the emails, newest first; `to` selects those of one recipient."""
        found = [_read(path) for path in sorted(self.folder.glob("*.eml"), reverse=True)]
        return [mail for mail in found if to is None or to.lower() in (a.lower() for a in mail["to"])]

    # aiosmtpd calls the following methods by these names.

    async def handle_EHLO(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """Accept EHLO, or simulate a failure."""
        session.host_name = hostname
        reply = await self.misbehave(server, "connect", None)
        return [reply] if reply else responses

    async def handle_MAIL(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Accept the sender, or simulate a failure."""
        reply = await self.misbehave(server, "mail", None)
        if reply:
            return reply
        envelope.mail_from = address
        return "250 2.1.0 sender ok"

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Accept the recipient, or simulate a failure; DATA has no hook in aiosmtpd, so its failures come here too."""
        reply = await self.misbehave(server, "rcpt", address)
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        data = await self.misbehave(server, "data", address)
        return data or "250 2.1.5 recipient ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Store the email, or simulate a failure."""
        reply = await self.misbehave(server, "eod", envelope.rcpt_tos[0] if envelope.rcpt_tos else None)
        return reply or f"250 2.0.0 ok: queued as {self.keep(envelope)}"


async def listen(mailbox: Mailbox) -> asyncio.Server:
    """Listen on a free loopback port, and set `mailbox.port`."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="mailbox.localhost", ident="development mailbox", enable_SMTPUTF8=True),
        "127.0.0.1",
        0,
    )
    mailbox.port = server.sockets[0].getsockname()[1]
    return server


class NewBehaviour(RequestModel):
    """A failure that the mailbox simulates from now on."""

    phase: Phase
    to: SingleLineText | None = None
    reply: Annotated[str, Field(pattern=r"^[245]\d\d .{1,400}$")] | None = None
    hang_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    drop: bool = False
    times: Annotated[int, Field(ge=1)] | None = None


router = APIRouter(prefix="/dev/mailbox", route_class=StrictRoute, include_in_schema=False)


@router.get("")
async def show_mailbox(request: Request) -> HTMLResponse:
    """Show all emails as a page."""
    policy = f"{pages.LOCAL_POLICY}; frame-src 'self'"
    page = pages.render("dev/mailbox.html", letters=_mailbox(request).letters())
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


@router.get("/messages")
async def list_emails(request: Request, to: Annotated[str | None, Query()] = None) -> JSONResponse:
    """Return the emails, newest first; `to` selects those of one recipient."""
    return JSONResponse({"items": _mailbox(request).letters(to)})


@router.delete("/messages")
async def empty_mailbox(request: Request) -> Response:
    """Delete every email."""
    for path in _mailbox(request).folder.glob("*.eml"):
        path.unlink(missing_ok=True)
    return Response(status_code=204)


@router.get("/messages/{name}")
async def show_email(request: Request, name: str) -> HTMLResponse:
    """Show an email's HTML as a mail program would, without our page around it."""
    found = next((mail for mail in _mailbox(request).letters() if mail["name"] == name), None)
    if found is None:
        raise HTTPException(404)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
    return HTMLResponse(found["html"] or f"<pre>{found['text']}</pre>", headers={"Content-Security-Policy": policy})


@router.put("/behaviour")
async def change_behaviour(request: Request, body: NewBehaviour) -> JSONResponse:
    """Add a simulated failure: refuse, hang or drop."""
    mailbox = _mailbox(request)
    mailbox.behaviours.append(Behaviour(**body.model_dump()))
    return JSONResponse({"behaviours": [asdict(behaviour) for behaviour in mailbox.behaviours]})


@router.delete("/behaviour")
async def clear_behaviour(request: Request) -> Response:
    """Remove every simulated failure."""
    _mailbox(request).behaviours.clear()
    return Response(status_code=204)


def _mailbox(request: Request) -> Mailbox:
    mailbox: Mailbox = request.app.state.mailbox
    return mailbox


def _close(server: SMTP) -> None:
    if server.transport is not None:
        server.transport.close()


def _read(path: Path) -> dict[str, Any]:
    head, _, raw = path.read_bytes().partition(b"\n")
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return {
        **json.loads(head),
        "name": path.stem,
        "subject": str(mail["subject"]),
        "headers": {name: str(value) for name, value in mail.items()},
        "text": plain.get_content() if plain else "",
        "html": html.get_content() if html else "",
    }
