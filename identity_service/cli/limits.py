"""`limit list|lift`: rate limits that hold somebody up."""

from typing import Annotated

import typer

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.clients.actions import OPERATOR
from identity_service.console import limits
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.web import rate_limits

limit_app = typer.Typer(no_args_is_help=True, help="Rate limits.")


@limit_app.command("list")
def list_limits(
    who: Annotated[
        str | None, typer.Argument(help="An address, a User ID, a network, or the name of staff or a client.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the limits that refuse requests now, of somebody or of everybody."""

    async def find(session: DatabaseSession) -> list[limits.LimitInForce]:
        names = {client.id: client.name for client in await clients.list_open_clients(session)}
        return await limits.list_limits(session, names, who)

    rows = [
        {"limit": one.key, "what": one.what, "who": one.who, "ends_at": one.until.isoformat(timespec="seconds")}
        for one in connections.run_in_transaction(find)
    ]
    output.print_rows(rows, as_json=as_json)


@limit_app.command("lift")
def lift_limit(
    limit: Annotated[str, typer.Argument(help="The limit, as `limit list` shows it.")], as_json: AsJson = False
) -> None:
    """Lift one limit, so that whom it holds up need not wait."""

    async def lift(session: DatabaseSession) -> str | None:
        lifted = await rate_limits.lift_limit(session, limit)
        if lifted is not None:
            data = {"limit": lifted}
            await events.record_event(session, "rate_limit.lifted", actor=OPERATOR, data=data, now=clock.utc_now())
        return lifted

    lifted = connections.run_in_transaction(lift)
    if lifted is None:
        output.fail("There is no such limit now; `identity-service limit list` shows those that there are.")
    if as_json:
        output.print_json({"limit": lifted, "lifted": True})
    else:
        print(f"The limit {lifted} is lifted.")
