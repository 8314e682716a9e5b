"""Sign in by a code that was emailed to an address of the account."""

from datetime import datetime

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import elsewhere, requests
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passkeys import actions as passkeys
from identity_service.sign_in import actions, rules
from identity_service.sign_in.actions import NewSession, PendingCookie
from identity_service.values.email_addresses import EmailAddress
from identity_service.web.rate_limits import RateLimiter

PURPOSE = ("signin", "signin_elsewhere")
"""A sign-in, and one whose code went to another address of the customer (ADR-09)."""


async def request_code(
    session: DatabaseSession,
    limits: RateLimiter,
    address: EmailAddress,
    *,
    locale: str,
    where_from: str,
    browser: KnownBrowser,
    network: str,
    now: datetime,
) -> str:
    """Email a code to sign in with, or, if there is no account, a message that says so; return the handle of the
    tracking page. The same statements run for known and unknown addresses, as for a reset.

    Raises:
        rules.SignInByMailOff, rate_limits.TooManyRequests
    """
    settings = session.settings
    if not settings.sign_in_by_mail:
        raise rules.SignInByMailOff
    followed = await requests.count_request(
        session, limits, "signin", address, rules.CODES_PER_ADDRESS, browser=browser, network=network, now=now
    )
    if followed is not None:
        return await one_time_tokens.create_tracking_link(session, followed.token.id, now=now)
    found = await ownership.owner_of_address(session, address, recovers_at=now, hold=True)
    await events.record_event(session, "sign_in.requested", user_id=found.active, actor="customer", now=now)
    token = await one_time_tokens.send_token(
        session, "signin", kind="no_account_signin" if found.active is None else "signin_code", to=found.address,
        user_id=found.active, locale=found.language(locale), facts={"from": where_from}, once=True,
        cause="sign_in.requested", actor="customer", now=now,
    )  # fmt: skip
    return await one_time_tokens.create_tracking_link(session, token.id, now=now)


async def request_code_elsewhere(
    session: DatabaseSession, handle: str, address: EmailAddress, *, locale: str, where_from: str, now: datetime
) -> str:
    """Email a code to another address of the customer that a tracking page is about; return the handle of its own page.
    Nothing is sent to an address that does not belong to the account, and the answer is the same (ADR-09).

    Raises:
        rules.SignInByMailOff, one_time_tokens.rules.UnknownTracking
    """
    if not session.settings.sign_in_by_mail:
        raise rules.SignInByMailOff
    first = await one_time_tokens.find_by_tracking(session, handle, ("signin",), now=now)
    await events.record_event(session, "sign_in.requested", user_id=first.token.user_id, actor="customer", now=now)
    return await elsewhere.send_elsewhere(
        session, first, address, purpose="signin_elsewhere", kind="signin_code", locale=locale,
        facts={"from": where_from}, cause="sign_in.requested", now=now,
    )  # fmt: skip


async def sign_in_by_code(
    database: Database,
    limits: RateLimiter,
    handle: str,
    code: str,
    *,
    browser: str,
    known: KnownBrowser | None = None,
    replaces: str | None = None,
    now: datetime,
) -> NewSession | PendingCookie:
    """Sign in with the code from the email, on its tracking page; return what `begin_session` does. `replaces` as in
    `sign_in_by_password`.

    Raises:
        rules.SignInByMailOff: also for a code that was sent before it was turned off.
        one_time_tokens.rules.UnknownTracking, one_time_tokens.rules.CodeWrong, one_time_tokens.rules.CodeIsUserId,
        LinkInvalid, rate_limits.TooManyRequests
    """
    if not database.settings.sign_in_by_mail:
        raise rules.SignInByMailOff
    typed = token_rules.read_code(code)
    found = await database.in_transaction(
        lambda session: one_time_tokens.find_by_tracking(session, handle, PURPOSE, now=now)
    )
    await one_time_tokens.count_code_attempt(database, limits, found.token, tracked_by=handle, browser=known)
    async with database.transaction() as session:
        one_time_tokens.check_code(session, found.token, typed)
        account = await accounts.find_for_sign_in(session, found.token.user_id or "")
        if account is None or await passkeys.is_only_way(session, account):
            raise LinkInvalid
        one_time_tokens.check_valid(session, found, valid_after=account.tokens_valid_after, by="code", now=now)
        proof = await one_time_tokens.consume(session, found, now=now)
        if credentials.is_first_proof(session, account, proof):
            await credentials.confirm_mailbox(session, proof.user_id, proof, now=now)
        new = await actions.begin_session(
            session, proof.user_id, "mail", proof.recipient_hash, browser=browser, replaces=replaces, now=now
        )
        await actions.tell_weaker(session, new, known, now=now)
    return new
