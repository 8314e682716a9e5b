"""Request and response models of resets."""

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator

from identity_service.accounts.schemas import Locale
from identity_service.messages.schemas import MessageWithTimeline
from identity_service.resets import rules
from identity_service.web.schemas import RequestModel, ResponseModel


class NewReset(RequestModel):
    """Exactly one of address and User ID. With an address, `locale` is the language of the email."""

    email: Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})] | None = None
    user_id: Annotated[str, Field(max_length=40)] | None = None
    locale: Locale | None = Field(None, description="null: the default language of the client's brand")

    @model_validator(mode="after")
    def _one(self) -> "NewReset":
        if (self.email is None) == (self.user_id is None):
            raise ValueError("exactly one of email and user_id is needed")
        return self


class ResetRequested(ResponseModel):
    """A requested reset; give `tracking_url` to the customer. Unknown addresses get the same response."""

    reset_id: uuid.UUID
    tracking_url: str = Field(description="the page that shows the timeline of the email, and accepts its code")


class ResetView(ResponseModel):
    """The state of a reset, with the timeline of its message."""

    reset_id: uuid.UUID
    state: rules.State
    reference: str = Field(description="short; the customer can read it out on the phone")
    user_id: str | None
    requested_at: datetime
    opened_at: datetime | None
    used_at: datetime | None
    link_until: datetime
    code_until: datetime
    message: MessageWithTimeline
