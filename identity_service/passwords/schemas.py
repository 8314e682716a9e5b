"""Request and response models of password checks."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from identity_service.passwords import rules
from identity_service.web import networks
from identity_service.web.schemas import RequestModel, ResponseModel


class PasswordCheck(RequestModel):
    """Exactly one of address and User ID, and the password as it was typed.

    `network` is the IP address of whoever typed it at your form. Give it: then a program that guesses there is limited
    by its own address, and your other customers go on signing in.
    """

    email: Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})] | None = None
    user_id: Annotated[str, Field(max_length=40)] | None = None
    password: Annotated[str, Field(max_length=2000)]
    network: Annotated[str, Field(max_length=64, examples=["198.51.100.7"])] | None = None

    @model_validator(mode="after")
    def _one(self) -> "PasswordCheck":
        if (self.email is None) == (self.user_id is None):
            raise ValueError("exactly one of email and user_id is needed")
        return self

    @field_validator("network")
    @classmethod
    def _network(cls, value: str | None) -> str | None:
        found = None if value is None else networks.read_network(value)
        if value is not None and found is None:
            raise ValueError("is not an IP address")
        return found


class PasswordCheckResult(ResponseModel):
    """`wait`: the attempt was not evaluated; try again after `retry_after` seconds. `change_required`: the password is
    correct, but became known; do not sign the customer in, request a reset and give them its tracking page.
    `second_factor_needed`: the password is correct, but the account has a second factor; sign the customer in at our
    page (`/oauth/authorize`)."""

    result: rules.Result
    user_id: str | None
    retry_after: int | None
    checked_at: datetime = Field(
        description="our time; keep it with your session, which ends when `sessions_valid_after` is later"
    )
