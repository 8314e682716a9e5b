"""Render a page of the console, with what all of its pages need."""

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from identity_service import translations
from identity_service.console import actions, rules
from identity_service.values import currencies, email_addresses, user_ids
from identity_service.values.user_ids import UserId
from identity_service.web import pages


def console_page(request: Request, template: str, staff: actions.SignedInStaff, **facts: Any) -> Response:  # noqa: ANN401
    """Render a template with `facts` and the values that every page of the console needs."""
    return pages.render_page(
        request, template, staff=staff.staff, may=rules.may, show=user_ids.show, mask=email_addresses.mask,
        amount=currencies.write_amount, **facts,
    )  # fmt: skip


def spelled(user_id: str, language: str) -> Sequence[Sequence[str]]:
    """Return the groups of a User ID as they are read out to its owner, in their language."""
    return user_ids.spell_groups(UserId(user_id), translations.catalogue(language).gettext)
