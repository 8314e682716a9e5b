"""`restored`: what has to be done once after the database came back from a backup."""

from identity_service import doors
from identity_service.commands import running
from identity_service.commands.running import AsJson
from identity_service.console import actions as console
from identity_service.database import AsyncSession
from identity_service.events import restored as feed
from identity_service.proofs import actions as proofs
from identity_service.signin import actions as signin


def restored(as_json: AsJson = False) -> None:
    """Take the database up after a restore, before anything else is started: feed, links, sessions."""
    done = running.do_with_keys(_restored)
    if as_json:
        running.print_json(done)
        return
    print(
        f"The feed goes on behind position {done['position']}, in epoch {done['epoch']}: readers begin anew. "
        f"{done['sealed']} events got their place; {done['proofs']} links and {done['sessions']} sessions ended."
    )


async def _restored(session: AsyncSession) -> dict[str, int]:
    now = doors.utc_now()
    ended = {
        "proofs": await proofs.end_all(session, now=now),
        "sessions": await signin.end_all(session, now=now) + await console.end_all(session, now=now),
    }
    found = await feed.mark(session, data=ended, now=now)
    return {**found._asdict(), **ended}
