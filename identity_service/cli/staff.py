"""`staff add|list|passkeys|remove|remove-passkey`: who may sign in at the console, and with which passkeys."""

import uuid
from typing import Annotated, Any

import typer

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.console import actions, passkeys
from identity_service.database.transactions import DatabaseSession

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


@staff_app.command("passkeys")
def list_passkeys(
    name: Annotated[str, typer.Argument(help="Whose passkeys, as `staff list` shows the name.")],
    as_json: AsJson = False,
) -> None:
    """List the passkeys of a person."""

    async def load(session: DatabaseSession) -> list[dict[str, Any]]:
        found = await passkeys.list_passkeys(session, await actions.find_staff(session, name))
        moments = ("created_at", "last_used_at", "went_back_at")
        return [
            {"id": str(one.id), "label": one.label, "backed_up": one.backed_up}
            | {key: None if (at := getattr(one, key)) is None else at.isoformat() for key in moments}
            for one in found
        ]

    output.print_rows(connections.run_in_transaction(load), as_json=as_json)


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


@staff_app.command("remove-passkey")
def remove_passkey(
    name: Annotated[str, typer.Argument(help="Whose passkey, as `staff list` shows the name.")],
    passkey_id: Annotated[uuid.UUID, typer.Argument(help="Which one, as `staff passkeys` shows the id.")],
    as_json: AsJson = False,
) -> None:
    """Remove a passkey of a person; their sessions end at once."""
    connections.run_in_transaction(
        lambda session: passkeys.remove_passkey(session, name, passkey_id, now=clock.utc_now())
    )
    if as_json:
        output.print_json({"name": name, "passkey_id": str(passkey_id), "removed": True})
    else:
        print(f"The passkey of {name} is removed.")
