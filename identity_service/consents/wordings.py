"""The texts that customers agree to: versioned files, `<purpose>-<version>.<language>.txt`, never edited once used.

The database also stores the exact text that was agreed to, so no file is needed to prove it later.
"""

import hashlib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from identity_service import translations
from identity_service.consents.rules import UnknownWording, WordingNotFound
from identity_service.consents.tables import ConsentWording
from identity_service.database.transactions import DatabaseSession

FOLDER = Path(__file__).parent.parent / "wordings"


class Wording(NamedTuple):
    """One text in one language; `text_hash` is SHA-256 of its UTF-8 bytes."""

    id: str
    language: str
    text: str

    @property
    def purpose(self) -> str:
        """Return the purpose that the text asks for."""
        return purpose_of(self.id)

    @property
    def text_hash(self) -> bytes:
        """Return SHA-256 of the text in UTF-8, which the ledger refers to."""
        return hashlib.sha256(self.text.encode()).digest()


class WordingEdited(Exception):
    """The file of a wording was changed after customers were asked with it; a changed text needs a new version."""


def find_wording(purpose: str, wording_id: str, language: str) -> Wording:
    """Return a wording of this purpose, in the nearest language to this tag, or in English.

    Raises:
        UnknownWording
    """
    has = [known for one, known in all_wordings() if one == wording_id]
    found = all_wordings().get((wording_id, translations.find_language(language, has)))
    if found is None or found.purpose != purpose:
        raise UnknownWording(known=sorted({w.id for w in all_wordings().values() if w.purpose == purpose}))
    return found


def purpose_of(wording_id: str) -> str:
    """Return the purpose that the wording of this id asks for."""
    return wording_id.partition("-")[0]


def newest_wording_id(purpose: str) -> str | None:
    """Return the id of the wording to ask with now, `None` if the purpose has none."""
    return max((w.id for w in all_wordings().values() if w.purpose == purpose), default=None)


def newest_wording(purpose: str, language: str) -> Wording:
    """Return the wording that pages show now.

    Raises:
        UnknownWording: the purpose has no wording.
    """
    newest = newest_wording_id(purpose)
    if newest is None:
        raise UnknownWording(known=[])
    return find_wording(purpose, newest, language)


@cache
def all_wordings() -> dict[tuple[str, str], Wording]:
    """Return all wordings, by id and language."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        wording_id, _, language = path.name.removesuffix(".txt").rpartition(".")
        found[(wording_id, language)] = Wording(wording_id, language, path.read_text(encoding="utf-8").strip())
    return found


async def list_wordings(session: DatabaseSession) -> dict[str, list[str]]:
    """Return the id of every wording with its languages: those of the files, and those that the ledger still names."""
    stored = await session.execute(select(ConsentWording.id, ConsentWording.language))
    languages = defaultdict(set)
    for wording_id, language in (*all_wordings(), *stored):
        languages[wording_id].add(language)
    return {wording_id: sorted(languages[wording_id]) for wording_id in sorted(languages)}


async def read_wording(session: DatabaseSession, wording_id: str, language: str) -> Wording:
    """Return a wording, in this language or in English, also one whose file is gone.

    Raises:
        WordingNotFound
    """
    for wanted in dict.fromkeys((language, translations.find_language(language), translations.SOURCE)):
        found = all_wordings().get((wording_id, wanted))
        if found is not None:
            return found
        stored = await session.get(ConsentWording, (wording_id, wanted))
        if stored is not None:
            return Wording(stored.id, stored.language, stored.text)
    raise WordingNotFound
