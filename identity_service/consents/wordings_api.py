"""Routes that give the purposes, and the texts that customers are asked to agree to; they need no access token."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from identity_service import translations
from identity_service.consents import rules, wordings
from identity_service.consents.schemas import PurposeView, WordingList, WordingTextView, WordingView
from identity_service.web import problems
from identity_service.web.dependencies import Session, Settings
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["consents"])


@router.get("/wordings", responses=problems.error_responses())
async def list_wordings(session: Session, settings: Settings) -> WordingList:
    """List the purposes with the wording to ask with now, and every wording that was ever asked with."""
    newest = {purpose: wordings.newest_wording_id(purpose) for purpose in settings.purposes}
    return WordingList(
        purposes=[
            PurposeView(purpose=purpose, description=rules.PURPOSES.get(purpose, purpose), wording=newest[purpose])
            for purpose in settings.purposes
        ],
        items=[
            WordingView(
                id=wording_id, purpose=wordings.purpose_of(wording_id), languages=languages,
                current=wording_id in newest.values(),
            )
            for wording_id, languages in (await wordings.list_wordings(session)).items()
        ],
        next=None,
    )  # fmt: skip


@router.get("/wordings/{wording_id}", responses=problems.error_responses(rules.WordingNotFound))
async def read_wording(
    wording_id: Annotated[str, Path(pattern=r"^[a-z0-9_.-]{1,80}$")],
    session: Session,
    language: Annotated[str, Query(pattern=r"^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8}){0,7}$")] = translations.SOURCE,
) -> WordingTextView:
    """Read the text of a wording in a language, or in English where that is missing, as it is when it is asked with."""
    found = await wordings.read_wording(session, wording_id, language)
    return WordingTextView(
        id=found.id, purpose=found.purpose, language=found.language, text=found.text, sha256=found.text_hash.hex()
    )
