"""Load the key ring at the start of a process."""

from identity_service import clock
from identity_service.database.transactions import Database
from identity_service.key_store import actions


async def load_key_ring(database: Database, master_key: bytes) -> None:
    """Create missing keys, and set `database.keys`; WrongMasterKey if the ring cannot be decrypted."""
    await database.in_transaction(lambda session: actions.ensure_keys(session, master_key, now=clock.utc_now()))
    database.keys = await database.in_transaction(lambda session: actions.load_keys(session, master_key))
