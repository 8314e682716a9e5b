"""NOM-01: every email's text stands in the repository as it is read, so a changed sentence shows in the change."""

import pytest

from identity_service import translations
from identity_service.messages import rendering
from identity_service.messages.delivery.sender import OutboxSender
from tests import letters
from tests.accounts.given import an_account
from tests.conftest import QUICK

HOW = "the text of an email has changed: read it, then run `make letters`"


@pytest.mark.parametrize("locale", translations.languages())
def test_every_email_reads_as_it_was_written_down(locale):
    """NOM-01: templates, translations, subjects and the sentences that stand in code."""
    assert letters.path(locale).read_text(encoding="utf-8") == letters.written(locale), HOW


@pytest.mark.parametrize("locale", translations.languages())
def test_no_email_has_the_header_of_the_catalogue_in_it(locale):
    """A missing text must not be looked up: the catalogue's header is the translation of nothing."""
    said = letters.written(locale)
    assert "Project-Id-Version" not in said
    assert "None" not in said


async def test_an_email_that_cannot_be_rendered_waits(service, caller):
    """It is our own fault, recorded as one; the message waits and is sent once it can be rendered."""

    async def refuses(session, message):
        raise ValueError("no such template")

    await an_account(caller, email="anna@example.com")
    sender = OutboxSender(
        service.database, {**rendering.load_builders(), "welcome": refuses}, clock=service.clock, timeouts=QUICK
    )
    await sender.once()
    await sender.relays.close()
    assert service.mailbox.letters() == []
    recorded = "SELECT m.state, a.reply_class, a.reply FROM message m JOIN attempt a ON a.message_id = m.id"
    assert await service.rows(recorded) == [
        ("deferred", "render_failed", "ValueError: the email could not be rendered")
    ]
    service.clock.advance(minutes=10)
    await service.deliver()
    assert len(service.mailbox.letters("anna@example.com")) == 1
