"""`password mark-compromised`: mark a customer's password as compromised."""

from typing import Annotated

import typer

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients.actions import OPERATOR
from identity_service.passwords import actions as passwords
from identity_service.values import user_ids

password_app = typer.Typer(no_args_is_help=True, help="Passwords of customers.")


@password_app.callback()
def _group() -> None:
    """Mark passwords as compromised; operators cannot see or set one."""


@password_app.command("mark-compromised")
def mark_compromised(
    user_id: Annotated[str, typer.Argument(help="The User ID of the customer.")], as_json: AsJson = False
) -> None:
    """Mark a password as compromised: it can only be used to set a new one; every session of the account ends."""
    wanted, now = user_ids.parse(user_id), clock.utc_now()
    connections.run_in_transaction(lambda session: passwords.mark_compromised(session, wanted, actor=OPERATOR, now=now))
    shown = user_ids.show(wanted)
    if as_json:
        output.print_json({"user_id": shown, "compromised_at": now.isoformat()})
    else:
        print(f"The password of {shown} is marked as compromised: the next sign-in with it must set a new one.")
