"""Build the account view that a caller may see, and its entity tag."""

import re
from typing import Annotated, Any

from fastapi import Depends, Header

from identity_service.accounts import actions, rules
from identity_service.accounts.schemas import AccountView, WrittenAccount
from identity_service.accounts.tables import Account
from identity_service.database.transactions import DatabaseSession
from identity_service.values import email_addresses
from identity_service.values import user_ids as values_user_ids
from identity_service.web import authentication
from identity_service.web.dependencies import Session

AccountAnswer = AccountView | WrittenAccount
"""What a route answers about an account: the whole view to callers who may read accounts, else a reference to it."""


async def account_view(session: DatabaseSession, account: Account, caller: authentication.Client) -> AccountAnswer:
    """Return an account as this caller may see it; see `AccountView` for what is masked."""
    fields = await account_fields(session, account, caller)
    return AccountView(**fields) if may_read(caller) else WrittenAccount(**fields)


def may_read(caller: authentication.Client) -> bool:
    """Return whether a caller may read accounts, and not only change them."""
    return "accounts:read" in caller.scopes


async def account_fields(session: DatabaseSession, account: Account, caller: authentication.Client) -> dict[str, Any]:
    """Return the members of `AccountView`, or of `WrittenAccount`, for views that add members of their own."""
    details = await actions.load_details(session, account.user_id, caller.source)
    fields = _fields(account, details, session, caller)
    return fields if may_read(caller) else {name: fields[name] for name in WrittenAccount.model_fields}


def new_account_fields(
    session: DatabaseSession, account: Account, caller: authentication.Client, external_ref: str | None
) -> dict[str, Any]:
    """Return the same for an account that this transaction added: other tables have no rows of it, so none is read."""
    details = actions.AccountDetails(None, {}, False, [external_ref] if external_ref else [], account.user_id)
    return _fields(account, details, session, caller)


def _fields(
    account: Account, details: actions.AccountDetails, session: DatabaseSession, caller: authentication.Client
) -> dict[str, Any]:
    sees_address = "accounts:read_personal" in caller.scopes
    return {
        "user_id": values_user_ids.show(account.user_id),
        "kind": account.kind,
        "state": account.state,
        "email": account.email if sees_address or account.email is None else email_addresses.mask(account.email),
        "email_state": account.email_state,
        "further_emails": [
            {**one, "email": one["email"] if sees_address else email_addresses.mask(one["email"])}
            for one in details.further
        ],
        "display_name": account.display_name,
        "locale": account.locale,
        "brand": account.brand,
        "marketing": {
            purpose: rules.marketing_permission(details.decisions.get(purpose)) for purpose in session.settings.purposes
        },
        "has_password": details.has_password,
        "customer_since": account.customer_since,
        "sessions_valid_after": account.sessions_valid_after,
        "business": details.company,
        "external_refs": list(details.references),
        "moved_to": None if account.merged_into is None else values_user_ids.show(details.resolves_to),
        "version": account.version,
    }


_VERSION = re.compile(r'"?([0-9]{1,9})"?', re.ASCII)


def etag(account: Account) -> str:
    """Return the entity tag of an account's version (RFC 9110, 8.8.3)."""
    return f'"{account.version}"'


async def _check_version(
    session: Session,
    user_id: str,
    if_match: Annotated[
        str | None,
        Header(alias="If-Match", max_length=1000, description="entity tags that the change may be based on, or `*`"),
    ] = None,
) -> None:
    versions = _versions_in(if_match)
    if versions is not None:
        await actions.check_version(session, values_user_ids.parse(user_id), versions)


VersionChecked = Depends(_check_version, scope="function")
"""For `dependencies=[…]` of a route that changes the account in its path, after the scope and `Repeatable`: refuses a
change that is based on another version than those in `If-Match`."""


def _versions_in(if_match: str | None) -> frozenset[int] | None:
    """Return the versions in `If-Match`, or `None` if any will do (RFC 9110, 13.1.1).

    A weak tag, and one that is not ours, matches no version.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = (_VERSION.fullmatch(part.strip()) for part in if_match.split(","))
    return frozenset(int(match[1]) for match in found if match is not None)
