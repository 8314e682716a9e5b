"""Request and response models of password checks."""

from typing import Annotated

from pydantic import Field, model_validator

from identity_service.passwords import rules
from identity_service.web.schemas import RequestModel, ResponseModel


class PasswordCheck(RequestModel):
    """Exactly one of address and User ID, and the password as it was typed."""

    email: Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})] | None = None
    user_id: Annotated[str, Field(max_length=40)] | None = None
    password: Annotated[str, Field(max_length=2000)]

    @model_validator(mode="after")
    def _one(self) -> "PasswordCheck":
        if (self.email is None) == (self.user_id is None):
            raise ValueError("exactly one of email and user_id is needed")
        return self


class PasswordCheckResult(ResponseModel):
    """`wait`: the attempt was not evaluated; try again after `retry_after` seconds. `change_required`: the password is
    correct, but became known; do not sign the customer in, request a reset and give them its tracking page."""

    result: rules.Result
    user_id: str | None
    retry_after: int | None
