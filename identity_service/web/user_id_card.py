"""What the card on a page shows of a User ID."""

from fastapi import Request

from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from identity_service.web import pages


def user_id_card(user_id: str, request: Request) -> dict[str, object]:
    """Return the User ID with dashes, and its groups spelled in the reader's language."""
    groups = user_ids.spell_groups(UserId(user_id), pages.translator(request))
    return {"user_id": user_ids.show(user_id), "groups": groups}
