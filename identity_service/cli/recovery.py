"""`restored`: recover once after the database was restored from a backup."""

from identity_service import clock
from identity_service.audit import recovery as feed
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.console import actions as console
from identity_service.database.transactions import DatabaseSession
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.sign_in import actions as sign_in


def recover(as_json: AsJson = False) -> None:
    """Recover after a restore, before any process starts: new epoch of the feed; links and sessions end."""
    done = connections.run_with_keys(_recover)
    if as_json:
        output.print_json(done)
        return
    print(
        f"The feed continues after position {done['position']} in epoch {done['epoch']}: readers must start again. "
        f"{done['sealed']} events were sealed; {done['proofs']} links and {done['sessions']} sessions ended."
    )


async def _recover(session: DatabaseSession) -> dict[str, int]:
    now = clock.utc_now()
    ended = {
        "proofs": await one_time_tokens.end_tokens(session, now=now),
        "sessions": await sign_in.end_all_sessions(session, now=now)
        + await console.end_staff_sessions(session, now=now),
    }
    found = await feed.recover_after_restore(session, data=ended, now=now)
    return {**found._asdict(), **ended}
