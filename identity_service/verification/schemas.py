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


class VerificationView(ResponseModel):
    """The result for one input. Members that do not apply are left out."""

    input: str
    status: Literal["valid", "unknown", "malformed", "moved", "closed", "erased"]
    user_id: str = ""
    kind: Literal["consumer", "business"] = "consumer"
    marketing: Literal["never", "allowed", "ask"] = "never"
    moved_to: str = ""
    problem: Literal["too_short", "too_long", "impossible_symbol", "check_failed"] = "check_failed"
    detail: str = ""
    symbol: str = ""
    position: int = 0
    suggestions: list[UserIdSuggestion] = Field(default_factory=list)


class VerificationList(ResponseModel):
    """One result per input, in the same order."""

    results: list[VerificationView]
