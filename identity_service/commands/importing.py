"""`import FILE`: take accounts over from another system, with a dry run, a progress bar and a report."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from identity_service import doors
from identity_service.commands import reading, running
from identity_service.commands.running import AsJson
from identity_service.life import importing, incoming

_OURS = f"Ours are {', '.join(incoming.FIELDS)}."


def import_accounts(
    file: Annotated[
        Path, typer.Argument(help="A .csv file with a heading, or a .jsonl file.", exists=True, dir_okay=False)
    ],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help=f"OURS=THEIRS: a field of ours and the file's name for it; repeat. {_OURS}"),
    ] = None,
    source: Annotated[
        str, typer.Option(help="Who knows the customers by their old numbers: a client's id.")
    ] = "import",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge every row and write nothing.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write every line that did not go in to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import accounts; killed, the same command goes on where it was. Sends no letter."""
    if file.suffix.lower() not in (".csv", ".jsonl"):
        raise typer.BadParameter("The file's name ends in .csv or in .jsonl.")
    names = reading.names(mapping or [])
    found = asyncio.run(_import(file, names, source, dry_run=dry_run, quiet=as_json))
    if report is not None:
        report.write_bytes(b"".join(orjson.dumps(line._asdict()) + b"\n" for line in found.told))
    counts = {name: getattr(found, name) for name in ("lines", "added", "duplicates", "refused")}
    if as_json:
        running.print_json({**counts, "told": [line._asdict() for line in found.told[:1000]]})
    else:
        print(
            ("Would add" if dry_run else "Added")
            + " {added} of {lines}; {duplicates} were there, {refused} refused.".format(**counts)
        )
        for line in found.told[:20]:
            print(f"  line {line.line}: {line.why}")
    raise typer.Exit(1 if found.refused else 0)


async def _import(file: Path, names: dict[str, str], source: str, *, dry_run: bool, quiet: bool) -> importing.Report:
    columns = (TextColumn("accounts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
    async with running.with_keys(running.local()) as database:
        if dry_run:
            return await importing.dry_run(database, reading.rows(file, names), source=source, now=doors.utc_now())
        name = await asyncio.to_thread(_name, file, source, names)
        job_id = await importing.stage(database, name, reading.rows(file, names))
        with bar:
            task = bar.add_task("accounts", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            return await importing.take(database, job_id, source=source, now=doors.utc_now(), progress=progress)


def _name(file: Path, source: str, names: dict[str, str]) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return f"{digest} {source} {json.dumps(names, sort_keys=True)}"
