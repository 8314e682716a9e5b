"""GET /.well-known/mail-transparency: how many messages of which purpose were enqueued."""

from fastapi import APIRouter

from identity_service.messages import transparency
from identity_service.messages.schemas import MailTransparency
from identity_service.web import problems
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/.well-known", route_class=StrictRoute, tags=["consents"])


@router.get("/mail-transparency", responses=problems.error_responses())
async def read_mail_transparency(session: Session, now: Now) -> MailTransparency:
    """Read the number of messages per purpose for each of the last 90 days; signed and public."""
    return MailTransparency(**await transparency.count_messages(session, now=now))
