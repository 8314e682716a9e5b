"""Pin the sentences that brands word themselves, before an email says them, and find them again (BRD-09)."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from identity_service.brand_records.tables import BrandWords
from identity_service.brands.rules import Brand
from identity_service.clients import actions as clients
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events.tables import Event
from identity_service.messages import words


class PinnedWords(NamedTuple):
    """The sentences of one email by name; `is_intact` tells that they have the hash that their event pinned."""

    brand: str
    language: str
    version: str
    kind: str
    sentences: Mapping[str, str]
    loaded_at: datetime
    is_intact: bool


async def pin(session: DatabaseSession, *, now: datetime) -> int:
    """Store what each brand words itself, with an event that has its hash, where it is new; return how many were."""
    pinned = 0
    for brand in session.settings.brands.by_key.values():
        for language, kinds in brand.words.items():
            for kind, sentences in kinds.items():
                pinned += await _pin(session, brand, language, kind, sentences, now=now)
    return pinned


async def _pin(
    session: DatabaseSession, brand: Brand, language: str, kind: str, sentences: Mapping[str, str], *, now: datetime
) -> bool:
    key = {"brand": brand.key, "language": language, "version": words.version(brand, language), "kind": kind}
    made = insert(BrandWords).values(**key, sentences=sentences, loaded_at=now).on_conflict_do_nothing()
    if (await session.execute(made.returning(BrandWords.kind))).scalar_one_or_none() is None:
        return False
    data = {**key, "hash": words.hash_of(sentences)}
    await events.record_event(session, "brand.words_loaded", actor=clients.OPERATOR, data=data, now=now)
    return True


async def list_pinned(session: DatabaseSession, version: str | None = None) -> list[PinnedWords]:
    """Return what brands have worded, or one version of it, oldest first."""
    key = ("brand", "language", "version", "kind")
    same = [getattr(BrandWords, name) == Event.data[name].as_string() for name in key]
    wanted = select(BrandWords, Event.data["hash"].as_string()).outerjoin(
        Event, (Event.name == "brand.words_loaded") & same[0] & same[1] & same[2] & same[3]
    )
    if version is not None:
        wanted = wanted.where(BrandWords.version == version)
    found = await session.execute(wanted.order_by(BrandWords.loaded_at, *(getattr(BrandWords, name) for name in key)))
    return [
        PinnedWords(
            row.brand, row.language, row.version, row.kind, row.sentences, row.loaded_at,
            pinned == words.hash_of(row.sentences),
        )
        for row, pinned in found
    ]  # fmt: skip
