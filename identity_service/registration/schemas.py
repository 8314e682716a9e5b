"""Request and response models of registration."""

from typing import Annotated, Literal

from pydantic import Field

from identity_service.accounts.schemas import AccountView, Locale, WrittenAccount
from identity_service.web.schemas import RequestModel, ResponseModel, SingleLineText

Email = Annotated[str, Field(max_length=320, examples=["anna@example.com"], json_schema_extra={"format": "email"})]


class NewAccount(RequestModel):
    """A customer to register. Every member is optional: a caller who gives no data still gets a User ID."""

    email: Email | None = None
    display_name: SingleLineText | None = None
    locale: Locale | None = Field(None, description="null: the default language of the client's brand")
    external_ref: (
        Annotated[SingleLineText, Field(description="your own reference for this customer, unique per source")] | None
    ) = None


class EmailHint(ResponseModel):
    """A possible mistake to ask the customer about; the request was accepted as it is."""

    code: Literal["similar_domain"]
    detail: str


class RegisteredAccount(AccountView):
    """The account, the promise to read to the customer, and hints."""

    promise: str
    hints: list[EmailHint]


class KnownAccount(WrittenAccount):
    """An account that the address or reference has already, for a caller without `accounts:read`: nothing that the
    caller did not write. Promise and hints as for a new one."""

    promise: str
    hints: list[EmailHint]
