"""NOM-01: every letter's text is pinned; an edited one is seen in the change, and is not sent before it was."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from identity_service.accounts.rules import LANGUAGES
from identity_service.mail import pins
from identity_service.mail.courier import Courier
from identity_service.worker import COMPOSERS
from tests import letters
from tests.accounts.given import an_account
from tests.conftest import QUICK

HOW = f"a letter's text has changed: look at it, then run `{pins.RENEW}`"


def test_every_letter_and_wording_is_the_pinned_one():
    """NOM-01: this is what a changed letter fails, with the command that pins it anew."""
    assert pins.FILE.read_text(encoding="utf-8") == pins.shown(pins.current()), HOW


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_letter_reads_as_it_was_written_down(locale):
    """NOM-01: subjects and the changes of an account stand in code; a changed word of theirs shows here."""
    assert letters.path(locale).read_text(encoding="utf-8") == letters.written(locale), HOW


@pytest.mark.parametrize("locale", LANGUAGES)
def test_no_letter_says_what_is_none_of_its_words(locale):
    """A word that is missing is not looked up: the catalogue's header is what stands under no word."""
    said = letters.written(locale)
    assert "Project-Id-Version" not in said
    assert "None" not in said


def test_every_letter_is_pinned_in_both_forms():
    names = {name.removeprefix("templates/mail/") for name in pins.pinned() if name.startswith("templates/mail/")}
    texts, pages = ({name[: -len(end)] for name in names if name.endswith(end)} for end in (".txt", ".html"))
    assert pages == {*texts, "base"}
    assert {"welcome", "reset", "consent_confirmation", "consent_granted"} <= texts


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A copy of the package whose letters may be edited."""
    shutil.copytree(pins.HERE, tmp_path / "identity_service", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    """Return what `identity-service mail letters` says of a copy."""
    code = "from identity_service.mail import pins; print(pins.shown(pins.current()), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return {name: hashed for hashed, _, name in (line.partition("  ") for line in done.stdout.splitlines())}


EDITS = {
    "templates/mail/welcome.txt": ("{{ signed }}", "{{ signed }} has offers for you."),
    "templates/mail/base.html": ("<footer>", '<img src="https://pixel.example/1.gif"><footer>'),
    "wordings/email-2026-11.en.txt": ("twice a month", "twice a day"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_the_hash_of_that_text_and_of_no_other(elsewhere, name):
    """NOM-01."""
    path = elsewhere / "identity_service" / name
    path.write_text(path.read_text(encoding="utf-8").replace(*EDITS[name]), encoding="utf-8")
    found = hashes(elsewhere)
    assert {other for other in found if found[other] != pins.pinned()[other]} == {name}


def test_an_edited_translation_changes_the_hash_of_the_letters_that_say_it(elsewhere):
    """NOM-01: the words in another language are pinned with the template, other words of the catalogue are not."""
    path = elsewhere / "identity_service" / "locales" / "de.po"
    said = path.read_text(encoding="utf-8")
    assert 'msgstr "Am Telefon gesprochen:"' in said
    added = '\nmsgid "not in any letter"\nmsgstr "in keinem Brief"\n'
    path.write_text(said.replace("Am Telefon gesprochen:", "Jetzt im Angebot:") + added, encoding="utf-8")
    found = hashes(elsewhere)
    changed = {other for other in found if found[other] != pins.pinned()[other]}
    assert changed == {"templates/mail/welcome.txt", "templates/mail/welcome.html"}


RENDER = """
from identity_service.mail import letters
letters.render("test", "en", signed="x")
letters.render("welcome", "en", user_id="x", groups=[], customer=None, promise="x", receipt_page="x", signed="x")
"""


@pytest.mark.parametrize("name", ["templates/mail/welcome.txt", "templates/mail/base.html"])
def test_no_letter_is_made_from_a_text_that_is_another(elsewhere, name):
    """NOM-01: the courier makes every letter by this one function."""
    path = elsewhere / "identity_service" / name
    path.write_text(path.read_text(encoding="utf-8").replace(*EDITS[name]), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", RENDER], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"LetterNotPinned: {name} differs from its pinned hash" in done.stderr


def test_the_unedited_copy_makes_its_letters(elsewhere):
    done = subprocess.run([sys.executable, "-c", RENDER], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_the_courier_records_a_letter_that_could_not_be_made(service, caller, tmp_path):
    """NOM-01: it is our own fault, recorded as one; the letter waits, and leaves once its text is right again."""

    async def refuses(session, message):
        raise pins.LetterNotPinned("templates/mail/welcome.txt")

    await an_account(caller, email="anna@example.com")
    courier = Courier(service.database, {**COMPOSERS, "welcome": refuses}, clock=service.clock, timeouts=QUICK)
    await courier.once()
    await courier.relays.close()
    assert service.mailbox.letters() == []
    told = "SELECT m.state, a.reply_class, a.reply FROM message m JOIN attempt a ON a.message_id = m.id"
    assert await service.rows(told) == [("deferred", "letter", "LetterNotPinned: the letter could not be made")]
    service.clock.advance(minutes=10)
    await service.deliver()
    assert len(service.mailbox.letters("anna@example.com")) == 1


def test_a_letter_without_a_pin_is_refused_by_name():
    with pytest.raises(pins.LetterNotPinned) as refused:
        pins.check("problem.html")
    assert "templates/problem.html differs from its pinned hash" in str(refused.value)
    assert pins.RENEW in str(refused.value)
