"""`import FILE`: import accounts of another system, with a dry run, a progress bar and a report."""

import asyncio
import base64
import codecs
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from identity_service import clock
from identity_service.brands import rules as brand_rules
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.imports import actions as imports
from identity_service.imports import files, formats, rows
from identity_service.imports.files import FileOptions
from identity_service.passwords.legacy_hashes import FirebaseParameters

_OUR_FIELDS: Final = f"Our fields: {', '.join(rows.FIELDS)}."
_FORMATS: Final = (formats.NATIVE, *formats.FORMATS)
_COUNTS: Final = ("lines", "added", "extended", "duplicates", "refused", "left_out")


_File = Annotated[
    Path,
    typer.Argument(
        help="CSV with a heading (.csv, .tsv, .txt), or JSON: an object a line, an array, or the export of a product "
        "(.json, .jsonl, .ndjson).",
        exists=True, dir_okay=False,
    ),
]  # fmt: skip
_Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", help=f"OURS=THEIRS: our field and the file's name for it; repeat. {_OUR_FIELDS}"),
]
_Constants = Annotated[
    list[str] | None, typer.Option("--set", help="OURS=VALUE: the value of our field where a row has none; repeat.")
]
_FormatName = Annotated[
    str | None,
    typer.Option("--format", help=f"Who wrote the file: {', '.join(_FORMATS)}; if not said, its columns tell."),
]
_Encoding = Annotated[
    str | None, typer.Option(help="The file's encoding, such as windows-1252; UTF-8 and UTF-16 are found out.")
]
_FirebaseFile = Annotated[
    Path | None,
    typer.Option(help="A file with the password hash parameters that Firebase's console shows.", exists=True),
]
_ReportFile = Annotated[Path | None, typer.Option(help="Write what is told of each line to this file (JSON Lines).")]


def import_accounts(
    file: _File,
    mapping: _Mapping = None,
    constants: _Constants = None,
    format_name: _FormatName = None,
    encoding: _Encoding = None,
    firebase_parameters: _FirebaseFile = None,
    source: Annotated[
        str, typer.Option(help="The source of the external references: that of the service which knows them.")
    ] = "import",
    brand: Annotated[str, typer.Option(help="The brand of the new accounts.")] = brand_rules.DEFAULT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row and write nothing.")] = False,
    report: _ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Import accounts; after an interruption the same command continues. Sends no email.

    A row about an account that is there adds to it: a reference, a consent where the customer has said nothing yet, and
    a withdrawal always. Times without a zone are UTC. A value that cannot be read and is not needed is left out; every
    such row, and every row that is refused, is told with its line. Ends with 1 if a row was refused, otherwise with 0.
    """  # fmt: skip
    if file.suffix.lower() not in files.SUFFIXES:
        raise typer.BadParameter(f"The file's name must end in one of: {', '.join(files.SUFFIXES)}.")
    client_rules.check_source_name(source)
    options = FileOptions(
        names=read_pairs("--map", mapping or []), constants=read_pairs("--set", constants or []),
        format_name=_format(format_name), encoding=_encoding(encoding),
        firebase=None if firebase_parameters is None else read_firebase_parameters(firebase_parameters),
    )  # fmt: skip
    found = asyncio.run(_import(file, options, source, brand, dry_run=dry_run, quiet=as_json))
    if report is not None:
        report.write_bytes(b"".join(orjson.dumps(line._asdict()) + b"\n" for line in found.told))
    _print(found, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(1 if found.refused else 0)


def _print(found: imports.Report, *, dry_run: bool, as_json: bool) -> None:
    counts = {name: getattr(found, name) for name in _COUNTS}
    if as_json:
        output.print_json({**counts, "told": [line._asdict() for line in found.told[:1000]]})
        return
    print(
        ("Would add" if dry_run else "Added")
        + " {added} of {lines}; {extended} add to an account, {duplicates} already exist, {refused} refused;"
        " values left out of {left_out}.".format(**counts)
    )
    # Refused rows first: what was lost must not stand behind what was only noticed.
    for line in sorted(found.told, key=lambda line: line.kind != "refused")[:20]:
        print(f"  line {line.line}: {line.reason}")
    if len(found.told) > 20:
        print(f"  … and {len(found.told) - 20} more; --report FILE writes them all.")


def read_pairs(option: str, given: list[str]) -> dict[str, str]:
    """Return what follows the sign for each of our fields, from options like `OURS=THEIRS`.

    Raises:
        typer.BadParameter: no pair, an unknown field of ours, or one of ours twice.
    """
    found: dict[str, str] = {}
    for text in given:
        ours, sign, theirs = text.partition("=")
        if not sign or ours not in rows.FIELDS or ours in found:
            kind = "THEIRS" if option == "--map" else "VALUE"
            raise typer.BadParameter(
                f"{option} needs OURS={kind}, each of ours once and one of: {', '.join(rows.FIELDS)}"
            )
        found[ours] = theirs
    return found


def read_firebase_parameters(file: Path) -> FirebaseParameters:
    """Return the parameters in the form that the console shows (`base64_signer_key: …`), or as JSON.

    Raises:
        typer.BadParameter: one of the four is missing or cannot be read.
    """
    text = file.read_text("utf-8-sig", errors="replace")
    given = dict(re.findall(r"[\"']?(\w+)[\"']?\s*[:=]\s*[\"']?([\w+/=-]+)", text))
    try:
        key, separator = (
            base64.b64decode(given[f"base64_{n}"], validate=True) for n in ("signer_key", "salt_separator")
        )
        return FirebaseParameters(key, separator, int(given["rounds"]), int(given["mem_cost"]))
    except (KeyError, ValueError):
        raise typer.BadParameter(
            "--firebase-parameters needs base64_signer_key, base64_salt_separator, rounds and mem_cost, "
            "as Firebase's console shows them."
        ) from None


def _format(name: str | None) -> str | None:
    if name is not None and name.lower() not in _FORMATS:
        raise typer.BadParameter(f"--format must be one of: {', '.join(_FORMATS)}.")
    return name and name.lower()


def _encoding(name: str | None) -> str | None:
    try:
        found = name and codecs.lookup(name)
        is_text = not found or found._is_text_encoding
    except LookupError:
        is_text = False
    if not is_text:
        raise typer.BadParameter("--encoding must be an encoding of text, such as utf-8, utf-16 or windows-1252.")
    return name and codecs.lookup(name).name


async def _import(
    file: Path, options: FileOptions, source: str, brand: str, *, dry_run: bool, quiet: bool
) -> imports.Report:
    columns = (TextColumn("accounts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
    async with connections.open_with_keys(connections.load_settings()) as database:
        client_rules.check_brand(brand, database.settings.brands.by_key)
        lines = files.read_rows(file, options)
        if dry_run:
            return await imports.dry_run(database, lines, source=source, now=clock.utc_now())
        await database.in_transaction(lambda session: clients.add_source(session, source, now=clock.utc_now()))
        name = await asyncio.to_thread(_job_name, file, source, options)
        job_id = await imports.stage_rows(database, name, lines)
        with bar:
            task = bar.add_task("accounts", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            return await imports.load_rows(
                database, job_id, source=source, brand=brand, now=clock.utc_now(), progress=progress
            )


def _job_name(file: Path, source: str, options: FileOptions) -> str:
    """Return a name that is equal for the same content, source and options."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    # Hashed, because a Firebase project's signer key is among them.
    chosen = hashlib.sha256(repr(sorted(dataclasses.asdict(options).items())).encode()).hexdigest()
    return f"{digest} {source} {chosen[:32]}"
