"""Request and response models of merges."""

from typing import Annotated

from pydantic import Field

from identity_service.web.schemas import RequestModel, ResponseModel


class MergeAccounts(RequestModel):
    """The account to merge into the one in the path; its User ID will resolve to that one."""

    duplicate: Annotated[str, Field(max_length=40)]


class MergeDifference(ResponseModel):
    """One point of a merge: the value of both accounts, and the outcome."""

    what: str
    survivor: str
    duplicate: str
    outcome: str


class MergePreview(ResponseModel):
    """Each point of a merge and its outcome."""

    points: list[MergeDifference]
