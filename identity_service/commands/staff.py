"""`staff add|list|remove`: who gets in at the console."""

from typing import Annotated

import typer

from identity_service import doors
from identity_service.commands import running
from identity_service.commands.running import AsJson
from identity_service.console import actions

staff_app = typer.Typer(no_args_is_help=True, help="People at the console.")


@staff_app.command("add")
def add_staff(
    name: str,
    role: Annotated[str, typer.Option(help="clerk, lead or auditor")] = "clerk",
    as_json: AsJson = False,
) -> None:
    """Add a person, and print the link with which he enrols: good once, and for a day."""
    secret = running.do_with_keys(lambda session: actions.add(session, name, role, now=doors.utc_now()))
    link = f"{running.local().public_url}/console/enrol#{secret}"
    if as_json:
        running.print_json({"name": name, "role": role, "link": link})
    else:
        print(f"{name} ({role}) enrols here, once, within 24 hours:\n  {link}")


@staff_app.command("list")
def list_staff(as_json: AsJson = False) -> None:
    """List everybody on the staff."""
    rows = [
        {"name": one.name, "role": one.role, "enrolled": one.phc is not None, "added_at": one.added_at.isoformat()}
        for one in running.do(actions.listing)
    ]
    running.print_rows(rows, as_json=as_json)


@staff_app.command("remove")
def remove_staff(name: str, as_json: AsJson = False) -> None:
    """Take a person off the staff; every session ends at once."""
    running.do(lambda session: actions.remove(session, name, now=doors.utc_now()))
    if as_json:
        running.print_json({"name": name, "removed": True})
    else:
        print(f"{name} is off the staff.")
