"""Request and response models of conversions."""

import uuid
from typing import Annotated

from pydantic import Field, StringConstraints

from identity_service.web.schemas import RequestModel, ResponseModel, SingleLineText


class NewCompany(RequestModel):
    """The company. VAT and registration number are checked for format and check digits."""

    company_name: SingleLineText
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = Field(examples=["DE"])
    vat_number: SingleLineText | None = None
    registration_number: SingleLineText | None = None
    contact_person: SingleLineText | None = None
    billing_address: SingleLineText | None = None


class CallerCheckProof(RequestModel):
    """A desk's proof for a guarded change: the id of a caller check that matched in an open contact at most 15 minutes
    ago. An approval cannot be sent here: a second person gives it in the console."""

    caller_check: Annotated[uuid.UUID, Field(strict=False)]


class BusinessConversion(NewCompany):
    """The company, and for a desk its proof; without a proof the customer's mailbox must confirm."""

    proof: CallerCheckProof | None = None


class ConversionPreview(ResponseModel):
    """What becoming this business would change, and what would stay."""

    changes: list[str] = Field(examples=[["kind: consumer becomes business"]])
    stays: list[str] = Field(examples=[["User ID", "history"]])
