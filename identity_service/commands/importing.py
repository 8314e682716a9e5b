"""`import FILE`: take accounts over from another system, with a dry run, a progress bar and a report."""

import asyncio
import csv
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from identity_service import doors
from identity_service.commands import running
from identity_service.commands.running import AsJson
from identity_service.life import importing

Row = tuple[int, Mapping[str, str]]


def import_accounts(
    file: Annotated[
        Path, typer.Argument(help="A .csv file with a heading, or a .jsonl file.", exists=True, dir_okay=False)
    ],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="OURS=THEIRS: a field of ours and the file's name for it; repeat.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="Who knows the customers by their old numbers: a client's id.")
    ] = "import",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge every row and write nothing.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write every line that did not go in to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import accounts; killed, the same command goes on where it was. Sends no letter."""
    names = dict(_pair(text) for text in mapping or [])
    found = asyncio.run(_import(file, names, source, dry_run=dry_run, quiet=as_json))
    if report is not None:
        report.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in found.told))
    counts = {name: getattr(found, name) for name in ("lines", "added", "duplicates", "refused")}
    if as_json:
        running.print_json({**counts, "told": found.told[:1000]})
    else:
        print(
            ("Would add" if dry_run else "Added")
            + " {added} of {lines}; {duplicates} were there, {refused} refused.".format(**counts)
        )
        for line in found.told[:20]:
            print(f"  line {line['line']}: {line['why']}")
    raise typer.Exit(1 if found.refused else 0)


async def _import(file: Path, names: dict[str, str], source: str, *, dry_run: bool, quiet: bool) -> importing.Report:
    columns = (TextColumn("accounts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
    async with running.with_keys(running.local()) as database:
        if dry_run:
            return await importing.dry_run(database, _rows(file, names), now=doors.utc_now())
        name = await asyncio.to_thread(_name, file, source, names)
        job_id = await importing.stage(database, name, _rows(file, names))
        with bar:
            task = bar.add_task("accounts", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            return await importing.take(database, job_id, source=source, now=doors.utc_now(), progress=progress)


def _name(file: Path, source: str, names: dict[str, str]) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return f"{digest} {source} {json.dumps(names, sort_keys=True)}"


async def _rows(file: Path, names: dict[str, str]) -> AsyncIterator[Row]:
    theirs = {theirs: ours for ours, theirs in names.items()}
    with file.open(encoding="utf-8-sig", newline="") as text:
        for line, row in lines(text, as_csv=file.suffix == ".csv"):
            yield line, {theirs.get(name, name): value for name, value in row.items() if not names or name in theirs}


def lines(text: Iterable[str], *, as_csv: bool) -> Iterator[Row]:
    """Yield the rows of a file with the number of their line.

    Raises:
        importing.CannotImport: this is no text, or no CSV; nothing of it is taken.
    """
    try:
        yield from _of_csv(text) if as_csv else _of_json(text)
    except (UnicodeDecodeError, csv.Error) as refused:
        raise importing.CannotImport("This file is no CSV and no JSON lines in UTF-8; nothing was taken.") from refused


def _of_csv(text: Iterable[str]) -> Iterator[Row]:
    reader = csv.DictReader(text, restkey="too_many", restval="")
    for row in reader:
        yield reader.line_num, {str(name): _text(value) for name, value in row.items()}


def _of_json(text: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        if line.strip():
            yield number, _object(line)


def _object(line: str) -> dict[str, str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    # A line that is no object has a field that cannot be, so it is refused by its number like any other.
    return {name: _text(v) for name, v in value.items()} if isinstance(value, dict) else {"this line is no JSON": ""}


def _text(value: Any) -> str:  # noqa: ANN401
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _pair(text: str) -> tuple[str, str]:
    ours, sign, theirs = text.partition("=")
    if not sign or ours not in importing.FIELDS:
        raise typer.BadParameter(f"--map wants OURS=THEIRS, ours one of: {', '.join(importing.FIELDS)}")
    return ours, theirs
