"""Every letter as it is read, in every language: `make letters` writes them, and a changed word shows in the change.

The pins cover templates and translations; sentences that stand in code (subjects, the changes of an account) are seen
here alone.
"""

from collections.abc import Iterator
from pathlib import Path

from identity_service.accounts.rules import LANGUAGES
from identity_service.dev.previews import PREVIEWS
from identity_service.one_time_tokens import change_emails

FOLDER = Path(__file__).parent / "mail"
RULE = "=" * 78


def path(locale: str) -> Path:
    return FOLDER / f"letters.{locale}.txt"


def written(locale: str) -> str:
    """Return every letter in one language, one after the other: its kind, its subject, its text."""
    return "\n".join(f"{RULE}\n{kind}: {subject}\n{RULE}\n{text.strip()}\n" for kind, subject, text in _all(locale))


def _all(locale: str) -> Iterator[tuple[str, str, str]]:
    for kind, make in PREVIEWS.items():
        letter = make(locale)
        yield kind, letter.subject, letter.text
    for verb in change_emails.VERB_DESCRIPTIONS:
        for kind in ("change_confirmation", "stop_link"):
            letter = change_emails.render_change_email(
                kind,
                locale,
                "KQ7XM1C43W08",
                {"verb": verb, "target": "j…@example.com"},
                "Example Shop",
                link="https://…",
                code="K7QXM-1C43W",
            )
            yield f"{kind}, {verb}", letter.subject, letter.text


if __name__ == "__main__":
    for language in LANGUAGES:
        path(language).write_text(written(language), encoding="utf-8")
