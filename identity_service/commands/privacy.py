"""`privacy record` and `privacy affected`: what a supervisory authority asks for (GDPR, articles 30 and 33)."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from identity_service import user_ids
from identity_service.commands import running
from identity_service.commands.running import AsJson
from identity_service.events import actions as events
from identity_service.life import data_map

privacy_app = typer.Typer(no_args_is_help=True, help="What is held of people, and who was touched by what happened.")
Moment = typer.Argument(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ"], help="In UTC.")
_OF_PEOPLE = ("personal", "proving", "kept")


@privacy_app.command("record")
def record(as_json: AsJson = False) -> None:
    """Print every table with what its columns hold and what erasing does to it, as the code itself reads it."""
    rows = [
        {
            "table": name,
            "title": data_map.TITLES.get(name, ""),
            "erasing": entry.erase,
            **{kind: entry.of(kind) for kind in ("id", "fact", *_OF_PEOPLE)},
        }
        for name, entry in data_map.MAP.items()
    ]
    running.print_rows(rows, as_json=as_json)


@privacy_app.command("affected")
def affected(
    since: Annotated[datetime, Moment],
    until: Annotated[datetime, Moment],
    actor: Annotated[str | None, typer.Option(help="Only what this one did: client:cli_…, staff:NAME.")] = None,
    as_json: AsJson = False,
) -> None:
    """List every customer that an event of this time names: what happened, by whom, first and last."""
    begin, end = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)
    found = running.do(lambda session: events.affected(session, since=begin, until=end, actor=actor))
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
    running.print_rows(rows, as_json=as_json)
