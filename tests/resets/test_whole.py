"""A reset is all of it or nothing: a fault at each of its statements, and at the commit, leaves what was before."""

import contextlib

from sqlalchemy import event

from identity_service import app as web
from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from tests.accounts.given import an_account
from tests.browser import Browser
from tests.conftest import BASE
from tests.events.test_whole import AT_COMMIT, AT_ONCE, refused
from tests.resets.given import ANNA, KEPT_FRESH, OTHER, a_password, a_reset, choose, everything, sign_in


class Broken(Exception):
    """The statement that was chosen does not come to be."""


@contextlib.contextmanager
def broken_at(service, number: int):
    """Let the statement with this number, counted from one, fail."""
    seen = 0

    def fail(connection, cursor, statement, parameters, context, executemany) -> None:
        nonlocal seen
        seen += not any(table in f"{statement} " for table in KEPT_FRESH)
        if seen == number:
            raise Broken

    engine = service.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", fail)


async def test_a_fault_at_any_statement_changes_nothing(service, caller, owner):
    """RST-10, ASVS 2.3.3, ATT-07: hash, both moments, notice and events; afterwards the same link works."""
    await a_password(service, caller)
    reset = await a_reset(service)
    for number in range(1, 100):
        before = await everything(service, owner)
        with broken_at(service, number):
            answer = await choose(reset.browser, reset.link, OTHER)
        if answer.status_code == 200:
            break
        assert answer.status_code == 500
        assert await everything(service, owner) == before, number
    assert number > 12
    service.clock.advance(seconds=1)
    assert (await sign_in(reset.browser, password=OTHER)).url.path == "/me"


async def test_what_cannot_be_told_is_not_done(service, caller, owner):
    """RST-10, RST-11, AUD-06: without its event, or without the one of its notice, at once or at the commit."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    before = await everything(service, owner)
    for trigger in (AT_ONCE, AT_COMMIT):
        for name in ("password.set", "account.sessions_ended", "account.email_confirmed", "mail.queued", "reset.used"):
            async with refused(owner, trigger, name):
                assert (await choose(reset.browser, reset.link)).status_code == 500
            assert await everything(service, owner) == before
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"


async def test_a_used_link_is_used_in_a_process_that_starts_anew(service, caller, urls, settings):
    """ATT-16: what was committed before the answer left is there for everybody."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await choose(reset.browser, reset.link)
    fresh = Database(settings, urls.application)
    await key_store_flows.load_key_ring(fresh, settings.key())
    app = web.create_app(fresh, settings.key(), clock=service.clock)
    async with app.router.lifespan_context(app):
        assert (await choose(Browser(app, BASE), reset.link, OTHER)).status_code == 410
    await fresh.close()
