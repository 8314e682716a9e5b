"""Every sentence that people read stands in every language, once, with the same places for values.

English stands in templates and tables, as the key. What is looked up is found in two ways: templates as Babel reads
them, Python by its syntax tree; the tables are read as they are, so no sentence can be forgotten in a catalogue.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from identity_service import app, translations
from identity_service.accounts.rules import PROMISE
from identity_service.clients.rules import SIGN_IN_SCOPES
from identity_service.consents.rules import PURPOSES
from identity_service.contacts.customer_views import METHOD_WORDS, PURPOSE_WORDS
from identity_service.history.rules import KINDS
from identity_service.messages import copy, descriptions, text_copy
from identity_service.one_time_tokens import change_emails, tracking
from identity_service.one_time_tokens.confirmations import AFTER, CONFIRMATIONS, JOINS, LABELS
from identity_service.passwords import rules as password_rules
from identity_service.portal import number_pages
from identity_service.privacy import inventory
from identity_service.privacy.inventory import COLUMN_TITLES, TITLES
from identity_service.registration import actions as registration
from identity_service.values import user_ids
from identity_service.web import problems

PACKAGE = Path(app.__file__).parent
TRANSLATED = sorted(path.stem for path in translations.LOCALES.glob("*.po"))
FOR_PROGRAMS = (
    "audit.recovery", "clients", "database_schema", "events.actions", "events.api", "imports", "keys.signing",
    "messages", "passwords.legacy_hashes", "registration.restoration", "web.authentication",
    "web.idempotency", "web.pagination",
)  # fmt: skip
"""Modules whose refusals no page can show: their doors speak to services and operators, in English."""
TABLES: tuple[Mapping[str, str], ...] = (
    descriptions.CODES, descriptions._ATTEMPT, descriptions._STATE, descriptions._FEEDBACK,
    tracking.NOW_DO, tracking._NOW_DO_ABOUT, tracking._HEADLINES, tracking._ENDS,
    password_rules._WEAK, user_ids._PROBLEMS, PURPOSES, change_emails.VERB_DESCRIPTIONS, KINDS, TITLES,
    COLUMN_TITLES, AFTER, LABELS, user_ids.WORDS, SIGN_IN_SCOPES, METHOD_WORDS, PURPOSE_WORDS,
)  # fmt: skip
_PLACE = re.compile(r"%\([a-z_]+\)s|\{[a-z_]+\}")


def in_templates() -> Iterator[str | tuple[str, str]]:
    for path in sorted((PACKAGE / "templates").rglob("*.*")):
        with path.open("rb") as source:
            for _, _, message, _ in babel_extract(source, ("_", "ngettext"), [], {}):
                if isinstance(message, str):
                    yield message
                elif message is not None:
                    yield message[0], message[1]


def in_python() -> Iterator[str]:
    """What stands as a text in a call of `say` or `gettext`, also behind `.get(…, "…")`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and _speaks(call.func):
                for given in call.args[:1] if ast.unparse(call.func) == "Row" else call.args:
                    texts = given.args if isinstance(given, ast.Call) else [given]
                    yield from (text.value for text in texts if isinstance(text, ast.Constant) and text.value)


def _speaks(called: ast.expr) -> bool:
    if ast.unparse(called) == "Row":
        return True
    if isinstance(called, ast.Call):
        return ast.unparse(called.func) == "pages.say"
    return ast.unparse(called) == "say" or (isinstance(called, ast.Attribute) and called.attr == "gettext")


def in_tables() -> Iterator[str]:
    for table in TABLES:
        yield from table.values()
    for confirmation in CONFIRMATIONS.values():
        yield from filter(None, (*confirmation[:4], confirmation.agrees))
    yield from number_pages.TOLD.values()
    yield from (known.sentence for known in text_copy.TEXTS.values())
    for told in copy.COPY.values():
        yield told.subject
        for part in told.parts:
            yield from filter(None, (part.text, part.button))
    yield from (
        "Confirm",
        "Confirm what we asked you in the email.",
        "Done.",
        "a browser",
        JOINS,
        registration.CLOSED,
        PROMISE,
    )


def in_refusals() -> Iterator[str]:
    """The sentences of every error class there is, so every module is loaded first."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "identity_service."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for problem in problems.all_problems():
        if not f"{problem.__module__}.".startswith(tuple(f"identity_service.{name}." for name in FOR_PROGRAMS)):
            yield problem.title()
            yield from _particulars(problem)


def _particulars(problem: type) -> Iterator[str]:
    """The sentences of single cases: `raise MalformedEmailAddress("…")`, constants filled in."""
    module = importlib.import_module(problem.__module__)
    if not module.__name__.endswith((".email_addresses", ".forms", ".company_numbers", ".business.rules")):
        return
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            yield eval(compile(ast.Expression(node.exc.args[0]), module.__name__, "eval"), vars(module))


def needed() -> set[str | tuple[str, str]]:
    return {*in_templates(), *in_python(), *in_tables(), *in_refusals()}


def catalogue(locale: str) -> Catalog:
    with (translations.LOCALES / f"{locale}.po").open("rb") as source:
        return read_po(source, locale=locale, abort_invalid=True)


def sentences(locale: str) -> dict[str | tuple[str, str], str | tuple[str, ...]]:
    return {message.id: message.string for message in catalogue(locale) if message.id}


def test_every_language_but_english_has_a_catalogue():
    assert set(TRANSLATED) == set(translations.languages()) - {"en"}
    assert {"de", "fr", "es", "it", "nl", "pl", "pt", "ar"} <= set(TRANSLATED)


@pytest.mark.parametrize("locale", TRANSLATED)
def test_the_header_names_the_language_of_the_file(locale: str):
    text = (translations.LOCALES / f"{locale}.po").read_text("utf-8")
    assert re.findall(r'(?m)^"Language: (.*)\\n"$', text) == [locale]


def test_the_search_finds_sentences_of_every_kind():
    """A search that found nothing would let every other test here pass."""
    found = needed()
    for sentence in (
        "Get a User ID", "This is your User ID. Keep it safe, and quote it when you contact us.", "as in",
        "Last attempt:", "{relay} couldn't accept the email.",
        "The email address or password isn't right. Check both, or set a new password.",
        "This is a good password.",
        "Your sign-in code", "See both accounts", "it will be closed", "refund",
        "An email address has at most 254 characters.", "the mailbox is full",
        ("We said yes once.", "We said yes %(num)s times."),
    ):  # fmt: skip
        assert sentence in found, sentence
    assert len(found) > 250


@pytest.mark.parametrize("locale", TRANSLATED)
def test_no_sentence_is_missing(locale: str):
    missing = needed() - set(sentences(locale))
    assert not missing, sorted(map(str, missing))


@pytest.mark.parametrize("locale", TRANSLATED)
def test_no_sentence_is_stale(locale: str):
    stale = set(sentences(locale)) - needed()
    assert not stale, sorted(map(str, stale))


@pytest.mark.parametrize("locale", TRANSLATED)
def test_every_sentence_is_translated_once(locale: str):
    text = (translations.LOCALES / f"{locale}.po").read_text(encoding="utf-8")
    ids = [line for line in text.splitlines() if line.startswith("msgid ") and line != 'msgid ""']
    assert len(ids) == len(set(ids)), sorted({line for line in ids if ids.count(line) > 1})
    read = catalogue(locale)
    for sentence, translation in sentences(locale).items():
        forms = translation if isinstance(translation, tuple) else (translation,)
        assert all(forms), sentence
        assert not read[sentence].fuzzy, sentence
        assert len(forms) == (read.num_plurals if isinstance(sentence, tuple) else 1), sentence


@pytest.mark.parametrize("locale", TRANSLATED)
def test_the_places_for_values_are_the_same(locale: str):
    """BRD-10."""
    for sentence, translation in sentences(locale).items():
        whole = sentence if isinstance(sentence, tuple) else (sentence,)
        forms = translation if isinstance(translation, tuple) else (translation,)
        # The form for one may say it in a word ("once"); the form for many is the last of both.
        wanted = sorted(_PLACE.findall(whole[-1]))
        assert sorted(_PLACE.findall(forms[-1])) == wanted, sentence
        assert all(set(_PLACE.findall(form)) <= set(wanted) for form in forms), sentence


@pytest.mark.parametrize("locale", TRANSLATED)
def test_sentences_end_as_the_english_ones_do(locale: str):
    for sentence, translation in sentences(locale).items():
        if isinstance(sentence, str) and sentence[-1] in ".:…":
            assert translation[-1] == sentence[-1], sentence


def test_every_table_that_a_customer_reads_of_himself_has_a_heading():
    """Those with rows of his own, and those that hang on his letters and conversations."""
    assert set(TITLES) == {*inventory.customer_tables(), "permission_check"}


@pytest.mark.parametrize("locale", translations.languages())
def test_the_promise_reads_the_same_everywhere(locale: str):
    """Pages have it in a template, emails and receipts from the rules."""
    parts = (PACKAGE / "templates" / "_parts.html").read_text(encoding="utf-8")
    assert f'_("{PROMISE}")' in parts
    assert (translations.catalogue(locale).gettext(PROMISE) == PROMISE) == (locale == "en")


@pytest.mark.parametrize(("times", "german"), [(1, "einmal"), (2, "%(num)s-mal"), (11, "%(num)s-mal")])
def test_german_counts(times: int, german: str):
    one, many = "We said yes once.", "We said yes %(num)s times."
    assert german in translations.catalogue("de").ngettext(one, many, times)


def test_a_language_without_a_catalogue_reads_english():
    assert translations.catalogue("tlh").gettext("Get a User ID") == "Get a User ID"
