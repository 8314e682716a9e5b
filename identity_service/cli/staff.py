"""`staff add|list|remove`: who may sign in at the console."""

from typing import Annotated

import typer

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.console import actions

staff_app = typer.Typer(no_args_is_help=True, help="Staff who sign in at the console.")


@staff_app.command("add")
def add_staff(
    name: Annotated[str, typer.Argument(help="The name to sign in with, like clara.clerk.")],
    role: Annotated[str, typer.Option(help="What they may do: clerk, lead or auditor.")] = "clerk",
    as_json: AsJson = False,
) -> None:
    """Add a person, and print the link for their enrolment, valid once and for 24 hours."""
    secret = connections.run_with_keys(lambda session: actions.add_staff(session, name, role, now=clock.utc_now()))
    link = f"{connections.load_settings().public_url}/console/enrol#{secret}"
    if as_json:
        output.print_json({"name": name, "role": role, "link": link})
    else:
        print(f"Enrolment link of {name} ({role}), valid once and for 24 hours:\n  {link}")


@staff_app.command("list")
def list_staff(as_json: AsJson = False) -> None:
    """List all staff."""
    rows = [
        {"name": one.name, "role": one.role, "enrolled": one.phc is not None, "added_at": one.added_at.isoformat()}
        for one in connections.run_in_transaction(actions.list_staff)
    ]
    output.print_rows(rows, as_json=as_json)


@staff_app.command("remove")
def remove_staff(
    name: Annotated[str, typer.Argument(help="Whom to remove, as `staff list` shows the name.")],
    as_json: AsJson = False,
) -> None:
    """Remove a person from the staff; their sessions end at once."""
    connections.run_in_transaction(lambda session: actions.remove_staff(session, name, now=clock.utc_now()))
    if as_json:
        output.print_json({"name": name, "removed": True})
    else:
        print(f"{name} is removed from the staff.")
