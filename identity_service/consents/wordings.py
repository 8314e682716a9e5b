"""The texts that customers agree to: versioned files, `<purpose>-<version>.<language>.txt`, never edited once used.

What was agreed to is also kept in the database, word for word, so no file is needed to prove it later.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from identity_service.consents.rules import UnknownWording

FOLDER = Path(__file__).parent.parent / "wordings"


class Wording(NamedTuple):
    """One text in one language; `text_hash` is SHA-256 of its UTF-8 bytes."""

    id: str
    language: str
    text: str

    @property
    def purpose(self) -> str:
        """Return what the text asks for."""
        return self.id.partition("-")[0]

    @property
    def text_hash(self) -> bytes:
        """Return what the ledger keeps of the text."""
        return hashlib.sha256(self.text.encode()).digest()


class WordingEdited(Exception):
    """The file of a wording was changed after customers were asked with it; a changed text needs a new version."""


def find(purpose: str, wording_id: str, language: str) -> Wording:
    """Return a wording of this purpose, in this language or in English.

    Raises:
        UnknownWording
    """
    found = every().get((wording_id, language)) or every().get((wording_id, "en"))
    if found is None or found.purpose != purpose:
        raise UnknownWording(known=sorted({w.id for w in every().values() if w.purpose == purpose}))
    return found


def newest(purpose: str, language: str) -> Wording:
    """Return the wording that pages show now."""
    mine = sorted(w.id for w in every().values() if w.purpose == purpose)
    if not mine:
        raise UnknownWording(known=[])
    return find(purpose, mine[-1], language)


@cache
def every() -> dict[tuple[str, str], Wording]:
    """Return all wordings, by id and language."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        wording_id, _, language = path.name.removesuffix(".txt").rpartition(".")
        found[(wording_id, language)] = Wording(wording_id, language, path.read_text(encoding="utf-8").strip())
    return found
