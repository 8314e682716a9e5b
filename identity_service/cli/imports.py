"""`import FILE`: import accounts of another system, with a dry run, a progress bar and a report."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.imports import actions as imports
from identity_service.imports import files, rows

_OUR_FIELDS = f"Our fields: {', '.join(rows.FIELDS)}."


def import_accounts(
    file: Annotated[
        Path, typer.Argument(help="A .csv file with a header line, or a .jsonl file.", exists=True, dir_okay=False)
    ],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help=f"OURS=THEIRS: our field and the file's name for it; repeat. {_OUR_FIELDS}"),
    ] = None,
    source: Annotated[
        str, typer.Option(help="The source of the external references: that of the service which knows them.")
    ] = "import",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row and write nothing.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write every line that was not imported to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import accounts; after an interruption the same command continues. Sends no email."""
    if file.suffix.lower() not in (".csv", ".jsonl"):
        raise typer.BadParameter("The file's name must end in .csv or .jsonl.")
    client_rules.check_source_name(source)
    names = files.read_names(mapping or [])
    found = asyncio.run(_import(file, names, source, dry_run=dry_run, quiet=as_json))
    if report is not None:
        report.write_bytes(b"".join(orjson.dumps(line._asdict()) + b"\n" for line in found.told))
    counts = {name: getattr(found, name) for name in ("lines", "added", "duplicates", "refused")}
    if as_json:
        output.print_json({**counts, "told": [line._asdict() for line in found.told[:1000]]})
    else:
        print(
            ("Would add" if dry_run else "Added")
            + " {added} of {lines}; {duplicates} already exist, {refused} refused.".format(**counts)
        )
        for line in found.told[:20]:
            print(f"  line {line.line}: {line.reason}")
    raise typer.Exit(1 if found.refused else 0)


async def _import(file: Path, names: dict[str, str], source: str, *, dry_run: bool, quiet: bool) -> imports.Report:
    columns = (TextColumn("accounts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
    async with connections.open_with_keys(connections.load_settings()) as database:
        if dry_run:
            return await imports.dry_run(database, files.read_rows(file, names), source=source, now=clock.utc_now())
        await database.in_transaction(lambda session: clients.add_source(session, source, now=clock.utc_now()))
        name = await asyncio.to_thread(_job_name, file, source, names)
        job_id = await imports.stage_rows(database, name, files.read_rows(file, names))
        with bar:
            task = bar.add_task("accounts", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            return await imports.load_rows(database, job_id, source=source, now=clock.utc_now(), progress=progress)


def _job_name(file: Path, source: str, names: dict[str, str]) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return f"{digest} {source} {json.dumps(names, sort_keys=True)}"
