"""`account reopen`: what a console that is down leaves undone."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.privacy import closing
from identity_service.values import user_ids

account_app = typer.Typer(no_args_is_help=True, help="Single accounts.")


@account_app.command("reopen")
def reopen(
    user_id: Annotated[str, typer.Argument(help="The User ID of the closed account.")],
    as_json: AsJson = False,
) -> None:
    """Open an account again that was closed within the last 30 days; its owner is told by email."""
    wanted = user_ids.parse(user_id)
    account = connections.run_in_transaction(
        lambda session: closing.reopen_account(session, wanted, actor="operator", now=datetime.now(UTC))
    )
    shown = user_ids.show(account.user_id)
    if as_json:
        output.print_json({"user_id": shown, "state": account.state})
    else:
        print(f"{shown} is open again.")
