"""The texts that customers agree to: versioned files, `<purpose>-<version>.<language>.txt`, never edited once used.

The database also stores the exact text that was agreed to, so no file is needed to prove it later.
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
        """Return the purpose that the text asks for."""
        return self.id.partition("-")[0]

    @property
    def text_hash(self) -> bytes:
        """Return SHA-256 of the text in UTF-8, which the ledger refers to."""
        return hashlib.sha256(self.text.encode()).digest()


class WordingEdited(Exception):
    """The file of a wording was changed after customers were asked with it; a changed text needs a new version."""


def find_wording(purpose: str, wording_id: str, language: str) -> Wording:
    """Return a wording of this purpose, in this language or in English.

    Raises:
        UnknownWording
    """
    found = all_wordings().get((wording_id, language)) or all_wordings().get((wording_id, "en"))
    if found is None or found.purpose != purpose:
        raise UnknownWording(known=sorted({w.id for w in all_wordings().values() if w.purpose == purpose}))
    return found


def newest_wording(purpose: str, language: str) -> Wording:
    """Return the wording that pages show now.

    Raises:
        UnknownWording: the purpose has no wording.
    """
    mine = sorted(w.id for w in all_wordings().values() if w.purpose == purpose)
    if not mine:
        raise UnknownWording(known=[])
    return find_wording(purpose, mine[-1], language)


@cache
def all_wordings() -> dict[tuple[str, str], Wording]:
    """Return all wordings, by id and language."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        wording_id, _, language = path.name.removesuffix(".txt").rpartition(".")
        found[(wording_id, language)] = Wording(wording_id, language, path.read_text(encoding="utf-8").strip())
    return found
