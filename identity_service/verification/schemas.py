"""Request and response models of verifications."""

from typing import Annotated, Literal

from pydantic import Field

from identity_service.web.schemas import RequestModel, ResponseModel


class VerificationRequest(RequestModel):
    """User IDs as they were heard or typed; case, blanks, dashes and dots do not matter."""

    user_ids: Annotated[list[str], Field(min_length=1, max_length=1000)]


class UserIdSuggestion(ResponseModel):
    """A User ID that the customer may have meant; ask them, never assume it."""

    user_id: str
    reason: str
    position: int | None


class KnownUserId(ResponseModel):
    """A User ID of a customer; `closed` if the account was closed. `marketing` is never, allowed or ask."""

    input: str
    status: Literal["valid", "closed"]
    user_id: str
    kind: Literal["consumer", "business"]
    marketing: Literal["never", "allowed", "ask"]


class UnknownUserIdView(ResponseModel):
    """A well-formed User ID that nobody has: it was never issued, or its customer was erased."""

    input: str
    status: Literal["unknown", "erased"]
    user_id: str


class MovedUserId(ResponseModel):
    """A User ID whose account was merged into the one that `moved_to` names."""

    input: str
    status: Literal["moved"]
    user_id: str
    moved_to: str


class MalformedUserIdView(ResponseModel):
    """An input that is no User ID; `symbol` and `position` are there if one symbol is impossible."""

    input: str
    status: Literal["malformed"]
    problem: Literal["too_short", "too_long", "impossible_symbol", "check_failed"]
    detail: str
    symbol: str = ""
    position: int = 0
    suggestions: list[UserIdSuggestion]


VerificationView = Annotated[
    KnownUserId | UnknownUserIdView | MovedUserId | MalformedUserIdView, Field(discriminator="status")
]
"""The result for one input; `status` tells which members there are."""


class VerificationList(ResponseModel):
    """One result per input, in the same order."""

    results: list[VerificationView]
