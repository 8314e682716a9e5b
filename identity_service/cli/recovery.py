"""`recover`: recover once after a restore from a backup. `recover-accounts`: bring back accounts that it lost."""

import asyncio
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from identity_service import clock
from identity_service.audit import recovery as feed
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.console import actions as console
from identity_service.database.transactions import DatabaseSession
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.registration import restoration
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


def recover_accounts(
    file: Annotated[
        Path,
        typer.Argument(
            help="A service's list (.csv with a header line, or .jsonl) with the fields "
            f"{', '.join(restoration.FIELDS)}, or events of the feed (.jsonl, one a line).",
            exists=True, dir_okay=False,
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(help="The source of the references: that of the service which sent the list."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Register accounts that a restore lost again, under the same User IDs. Sends no email."""
    if file.suffix.lower() not in (".csv", ".jsonl"):
        raise typer.BadParameter("The file's name must end in .csv or .jsonl.")
    lines = list(_csv(file) if file.suffix.lower() == ".csv" else _objects(file))
    if source is None and any(line.get("reference") for _, line in lines):
        raise typer.BadParameter(
            "The list has references, which are found again only under the source of the service that sent it: "
            "name it with --source."
        )
    done = asyncio.run(_recover_accounts(lines, source, dry_run=dry_run))
    if as_json:
        output.print_json(done._asdict())
    else:
        print(
            f"{'Would restore' if dry_run else 'Restored'} {done.restored} accounts; {done.skipped} events are of "
            f"accounts that were not lost, {len(done.refused)} lines refused."
        )
        for number, reason in done.refused[:20]:
            print(f"  line {number}: {reason}")
    raise typer.Exit(1 if done.refused else 0)


async def _recover_accounts(
    lines: list[restoration.Line], source: str | None, *, dry_run: bool
) -> restoration.Restoration:
    async with connections.open_with_keys(connections.load_settings()) as database:
        if source is not None and not dry_run:
            await database.in_transaction(lambda session: clients.add_source(session, source, now=clock.utc_now()))
        return await restoration.restore_accounts(database, lines, source=source, dry_run=dry_run, now=clock.utc_now())


def _csv(file: Path) -> Iterator[restoration.Line]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.DictReader(text, restkey="")
        for row in reader:
            yield reader.line_num, row


def _objects(file: Path) -> Iterator[restoration.Line]:
    with file.open(encoding="utf-8-sig", errors="replace") as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                # An unreadable line has no fields, and is refused with its number.
                yield number, value if isinstance(value, dict) else {}
