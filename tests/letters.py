"""Every email as it is read, in every language: `make letters` writes them, and a changed word shows in the change."""

from collections.abc import Iterator
from pathlib import Path

from identity_service import translations
from identity_service.brands.rules import Brand
from identity_service.dev import previews
from identity_service.messages.copy import COPY
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import change_emails

FOLDER = Path(__file__).parent / "mail" / "letters"
RULE = "=" * 78
SHOP = Brand(
    name="Example Shop", legal_name="Example Shop Ltd", postal_address="1 High Street, London W1A 1AA",
    telephone="+44 20 7946 0000",
)  # fmt: skip


EVERY = [(words, locale) for words in COPY for locale in translations.languages()]


def sample(words: str, locale: str = "en") -> RenderedEmail:
    return previews.sample(words, locale, SHOP)


def path(locale: str) -> Path:
    return FOLDER / f"{locale}.txt"


def written(locale: str) -> str:
    """Return every email in one language, one after the other: its kind, its subject, its text."""
    return "\n".join(f"{RULE}\n{kind}: {subject}\n{RULE}\n{text.strip()}\n" for kind, subject, text in _all(locale))


def _all(locale: str) -> Iterator[tuple[str, str, str]]:
    for words in COPY:
        email = sample(words, locale)
        yield words, email.subject, email.text
    for verb in change_emails.VERB_DESCRIPTIONS:
        for words in ("change_confirmation", "stop_link"):
            email = previews.sample(words, locale, SHOP, verb=verb)
            yield f"{words}, {verb}", email.subject, email.text


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for language in translations.languages():
        path(language).write_text(written(language), encoding="utf-8")
