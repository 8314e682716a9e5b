"""The request model of an email change."""

from identity_service.registration.schemas import Email
from identity_service.web.schemas import RequestModel


class NewEmail(RequestModel):
    """The new address, or the first one of an account without one."""

    email: Email
