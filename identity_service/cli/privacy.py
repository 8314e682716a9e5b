"""`privacy inventory` and `privacy affected`: what a supervisory authority may request (GDPR, articles 30 and 33)."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.events import actions as events
from identity_service.privacy import inventory
from identity_service.values import user_ids

privacy_app = typer.Typer(
    no_args_is_help=True, help="The inventory of personal data, and customers affected by an incident."
)
Timestamp = typer.Argument(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ"], help="In UTC.")
_OF_PEOPLE = ("personal", "proving", "kept")


@privacy_app.command("inventory")
def show_inventory(as_json: AsJson = False) -> None:
    """Print every table with the privacy class of its columns and what erasing does to its rows."""
    rows = [
        {
            "table": name,
            "title": inventory.TITLES.get(name, ""),
            "erasing": entry.erase,
            **{kind: entry.of(kind) for kind in ("id", "fact", *_OF_PEOPLE)},
        }
        for name, entry in inventory.INVENTORY.items()
    ]
    output.print_rows(rows, as_json=as_json)


@privacy_app.command("affected")
def list_affected(
    since: Annotated[datetime, Timestamp],
    until: Annotated[datetime, Timestamp],
    actor: Annotated[str | None, typer.Option(help="Only events of this actor: client:cli_…, staff:NAME.")] = None,
    as_json: AsJson = False,
) -> None:
    """List every customer with events in this time: the events, their actors, first and last."""
    begin, end = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)
    found = connections.run_in_transaction(
        lambda session: events.list_affected(session, since=begin, until=end, actor=actor)
    )
    rows = [
        {
            "user_id": user_ids.show(row.user_id),
            "events": sorted(row.events),
            "actors": sorted(row.actors),
            "first_at": row.first_at.isoformat(),
            "last_at": row.last_at.isoformat(),
        }
        for row in found
    ]
    output.print_rows(rows, as_json=as_json)
