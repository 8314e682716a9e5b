"""`password retire`: what an operator does when a customer's password has become known."""

import typer

from identity_service import doors, user_ids
from identity_service.clients.actions import OPERATOR
from identity_service.commands import running
from identity_service.commands.running import AsJson
from identity_service.passwords import actions as passwords

password_app = typer.Typer(no_args_is_help=True, help="Passwords of customers.")


@password_app.callback()
def _of_customers() -> None:
    """Do what an operator may do about a password; never see one or set one."""


@password_app.command("retire")
def retire(user_id: str, as_json: AsJson = False) -> None:
    """Let a password that became known lead nowhere but to a new one, and end every session of its account."""
    wanted, now = user_ids.parse(user_id), doors.utc_now()
    running.do(lambda session: passwords.retire(session, wanted, actor=OPERATOR, now=now))
    shown = user_ids.show(wanted)
    if as_json:
        running.print_json({"user_id": shown, "retired_at": now.isoformat()})
    else:
        print(f"The password of {shown} is retired: the next right one leads to setting a new one.")
