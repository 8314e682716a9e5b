"""Request and response models of accounts."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from identity_service import translations
from identity_service.web.schemas import RequestModel, ResponseModel, SingleLineText

Locale = Annotated[
    str,
    Field(
        max_length=translations.TAG_LENGTH, examples=["de-AT"],
        description="a language tag (BCP 47); pages and emails use the nearest language that there is",
    ),
    AfterValidator(translations.read_tag),
]  # fmt: skip


class CompanyDetails(ResponseModel):
    """The company of a business. Numbers are checked for format and check digits, not for whether they exist."""

    company_name: str | None
    country: str
    vat_number: str | None
    registration_number: str | None
    contact_person: str | None
    billing_address: str | None


class FurtherEmail(ResponseModel):
    """A confirmed email address beside `email`, masked like it."""

    email: str
    for_notices: bool = Field(description="whether notices about the account go to it, too")
    recovers_at: datetime | None = Field(
        description="from when it resets the password and signs in; null if it never does"
    )


class AccountView(ResponseModel):
    """One account. Addresses are masked unless the caller has `accounts:read_personal`."""

    user_id: str = Field(examples=["6WPP-C7QF-7FF6"])
    kind: Literal["consumer", "business"]
    state: Literal["active", "closed", "merged"]
    email: str | None
    email_state: Literal["none", "unconfirmed", "confirmed", "failing"]
    further_emails: list[FurtherEmail] = Field(description="the customer's other confirmed addresses, four at most")
    display_name: str | None
    locale: str = Field(examples=["de-AT"], description="the language tag of its emails")
    brand: str = Field(examples=["default"], description="the brand that registered it")
    marketing: dict[str, Literal["never", "allowed"]] = Field(description="permission per purpose, `never` by default")
    has_password: bool
    customer_since: datetime
    sessions_valid_after: datetime | None = Field(description="end every session that you opened before this time")
    business: CompanyDetails | None = Field(description="the company's details; null for a consumer")
    external_refs: list[str] = Field(description="what your own service calls this customer, merged accounts included")
    moved_to: str | None = Field(description="for a merged account, the User ID to use instead")
    version: int


class WrittenAccount(ResponseModel):
    """What a caller without `accounts:read` gets of an account that it changed or named: nothing that it did not write.

    Whether there is a name, a consent, a password or a company is told to readers alone.
    """

    user_id: str = Field(examples=["6WPP-C7QF-7FF6"])
    external_refs: list[str] = Field(description="what your own service calls this customer, merged accounts included")
    moved_to: str | None = Field(description="for a merged account, the User ID to use instead")
    version: int


class AccountList(ResponseModel):
    """The account that was found, or none."""

    items: list[AccountView]
    next: str | None


class AccountSearch(RequestModel):
    """An address or your own reference: exactly one of the two."""

    email: Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})] | None = None
    external_ref: SingleLineText | None = None

    @model_validator(mode="after")
    def _one(self) -> "AccountSearch":
        if (self.email is None) == (self.external_ref is None):
            raise ValueError("exactly one of email and external_ref is needed")
        return self


class ExternalRef(RequestModel):
    """A reference of your source."""

    external_ref: SingleLineText


class ExternalRefPlacement(ExternalRef):
    """A reference of your source, and for one that names another account now, that account's User ID."""

    moved_from: Annotated[str, Field(max_length=40)] | None = None


class AccountUpdate(RequestModel):
    """What can be changed without confirmation. A null display name removes it."""

    display_name: SingleLineText | None = None
    locale: Locale | None = None
