"""The route that suggests a desk."""

import dataclasses

from fastapi import APIRouter

from identity_service.accounts import rules as account_rules
from identity_service.contacts import desks
from identity_service.contacts.schemas import DeskSuggestionView
from identity_service.values import user_ids
from identity_service.web import authentication, problems
from identity_service.web.dependencies import Session, Settings
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["contacts"])


@router.get(
    "/accounts/{user_id}/desk-suggestion",
    dependencies=[authentication.requires("accounts:read")],
    responses=problems.error_responses(*account_rules.ACCOUNT_ERRORS, *authentication.AUTH_ERRORS),
)
async def read_desk_suggestion(user_id: str, session: Session, settings: Settings) -> DeskSuggestionView:
    """Read which desk should serve a customer, with the reasons, and whether to offer becoming a business."""
    return DeskSuggestionView(
        **dataclasses.asdict(await desks.suggest_desk_for(session, user_ids.parse(user_id), settings))
    )
