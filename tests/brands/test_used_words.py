"""BRD-09: what a brand words is pinned before it is sent, and what was sent can be made again from its version."""

import hashlib
import json
import re
import uuid

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from identity_service.brand_records import flows, words
from identity_service.cli import processes
from identity_service.database.transactions import Database
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import load_builders
from tests.brands.given import ACME, write_brand
from tests.brands.test_faces import a_client, register
from tests.given import run

OLD = (
    '[reset]\nsubject = "Ihr Kennwort bei Acme"\nwhy = "Für die Kundennummer {user_id} soll es neu sein."\n'
    '[welcome]\nsubject = "Willkommen bei Acme, {user_id}"\n'
)
NEW = '[reset]\nsubject = "Ein neues Kennwort"\nwhy = "Es geht um {user_id}."\n'


@pytest.fixture
def settings(settings, tmp_path):
    folder = tmp_path / "worded"
    write_brand(folder, "acme", ACME, words_de=OLD)
    return settings.model_copy(update={"brands_dir": folder})


def digest(value: dict) -> str:
    """Recompute a hash as the documentation says it, with another library."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


async def reworded(service, urls, own: str, name: str) -> Database:
    """Return the database of a process that starts with other sentences in the brand's files."""
    folder = service.database.settings.brands_dir.parent / name
    write_brand(folder, "acme", ACME, words_de=own)
    changed = service.database.settings.model_copy(update={"brands_dir": folder})
    changed.__dict__.pop("brands", None)
    database = Database(changed, urls.application)
    database.keys = service.database.keys
    return database


async def pinned(service) -> list[dict]:
    found = await service.rows("SELECT data FROM event WHERE name = 'brand.words_loaded' ORDER BY id")
    return [data for (data,) in found]


async def test_each_email_language_and_version_is_pinned_once_by_an_event_with_its_hash(service, urls):
    for _ in range(2):
        await flows.start(service.database)
    own = service.database.settings.brands.find("acme").words["de"]
    version = digest(own)[:16]
    first = [
        {"brand": "acme", "language": "de", "version": version, "kind": kind, "hash": digest(own[kind])} for kind in own
    ]
    assert await pinned(service) == first
    assert {one["kind"] for one in first} == {"reset", "welcome"}
    other = await reworded(service, urls, NEW, "later")
    await flows.start(other)
    await other.close()
    assert [one["kind"] for one in await pinned(service)] == ["reset", "welcome", "reset"]
    assert await service.seal() > 0
    actors = await service.rows(
        "SELECT DISTINCT e.actor, s.seal IS NOT NULL FROM event e JOIN sealed_event s ON s.event_id = e.id "
        "WHERE e.name = 'brand.words_loaded'"
    )
    assert actors == [("operator", True)]


async def test_the_email_that_was_sent_is_made_again_from_its_version(service, urls):
    """After the brand's files have other words: from what was stored, and it is what the customer has."""
    await flows.start(service.database)
    acme = await a_client(service, "acme")
    anna = await register(service, acme, "anna@example.com")
    await service.deliver()
    await service.http.post("/v1/resets", json={"user_id": anna["user_id"]}, headers=acme)
    await service.deliver()
    ((version, message_id),) = await service.rows(
        "SELECT a.words, m.id FROM attempt a JOIN message m ON m.id = a.message_id WHERE m.kind = 'reset'"
    )
    sent = service.letter("anna@example.com", "Ihr Kennwort bei Acme")
    later = await reworded(service, urls, NEW, "later")
    await flows.start(later)
    assert (await made_again(later, message_id)).subject == "Ein neues Kennwort"
    found = await later.in_transaction(lambda session: words.list_pinned(session, version))
    assert {one.kind for one in found} == {"reset", "welcome"}
    assert all(one.is_intact for one in found)
    stored = "\n".join(
        f"[{one.kind}]\n" + "\n".join(f"{name} = {json.dumps(text)}" for name, text in one.sentences.items())
        for one in found
    )
    then = await reworded(service, urls, stored, "then")
    email = await made_again(then, message_id)
    assert email.words == version
    assert (email.subject, plain(email.text)) == (sent["subject"], plain(sent["text"]))
    for database in (later, then):
        await database.close()


def plain(email: str) -> str:
    return email.replace("\r\n", "\n").strip()


async def made_again(database: Database, message_id: uuid.UUID):
    async with database.transaction() as session:
        row = (
            await session.execute(text("SELECT * FROM message WHERE id = :id"), {"id": message_id})
        ).mappings().one()  # fmt: skip
        fields = {name: row[name] for name in ClaimedMessage.__slots__ if name != "token"}
        email = await load_builders()[row["kind"]](session, ClaimedMessage(**fields, token=uuid.uuid4()))
    assert email is not None
    return email


async def test_words_that_were_altered_in_the_database_are_told(service, owner, urls, tmp_path):
    """Only its owner can, past the trigger; the event is sealed, so its hash says it."""
    await flows.start(service.database)
    ended = run("brand", "used", "--json", folder=tmp_path, DATABASE_URL=urls.application)
    assert ended.returncode == 0, ended.stderr
    assert [(row["kind"], row["is_intact"]) for row in json.loads(ended.stdout)] == [("reset", True), ("welcome", True)]
    async with owner.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        altered = "UPDATE brand_words SET sentences = '{\"why\": \"Kaufen Sie.\"}' WHERE kind = 'reset'"
        await connection.execute(text(altered))
    ended = run("brand", "used", folder=tmp_path, DATABASE_URL=urls.application)
    assert ended.returncode == 1
    assert [bool(re.search("is_intact=True", line)) for line in ended.stdout.splitlines()] == [False, True]


async def test_a_process_pins_before_it_sends_anything(service, urls):
    """`serve`, `worker` and `bounce-server` begin alike."""
    stored = service.database.settings.model_copy(update={"database_url": SecretStr(urls.application)})
    database = await processes.open_database(stored)
    await database.close()
    assert {one["kind"] for one in await pinned(service)} == {"reset", "welcome"}
